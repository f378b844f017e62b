// Verifies requests with the library of the specification: one JSON object a line in, `ok` or the error out.
import { createInterface } from 'node:readline'
import { Webhook } from 'standardwebhooks'

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line)
  try {
    new Webhook(secret).verify(body, headers)
    console.log('ok')
  } catch (error) {
    console.log(String(error))
  }
}

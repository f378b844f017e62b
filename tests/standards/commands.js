// Commands from a test: one JSON object a line from standard input, and an answer a line to standard output.
import { createInterface } from 'node:readline';

// The words of an error of OAuth, wherever a library keeps them.
function describe(error) {
  const challenges = Array.isArray(error.cause) ? error.cause : [];
  const [challenge] = challenges;
  return {
    error: error.error ?? challenge?.parameters?.error ?? challenge?.scheme ?? error.message,
    status: error.status ?? error.cause?.status ?? error.response?.status,
  };
}

export async function serve(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...rest } = JSON.parse(line);
    let answer;
    try {
      answer = { result: await commands[command](rest) };
    } catch (error) {
      answer = describe(error);
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

// Requests to the gateway, by a token of its own.

/** The status of `/whoami` with the token that a visitor's browser has. */
export async function statusOf(token) {
  const answer = await fetch(`http://${process.env.GATEWAY.replace(/^http:\/\//, "").replace(/\/.*$/, "")}/whoami`, {
    headers: { authorization: `Bearer ${token}` },
  });
  await answer.arrayBuffer();
  return answer.status;
}

/** The access token of a visitor's session. */
export async function tokenOf(visitor) {
  const cookies = await visitor.context.cookies();
  return cookies.find((cookie) => cookie.name === "__Host-session").value;
}

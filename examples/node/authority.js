// Calls to the authority: a deadline on each, and errors by reason.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const TENANT = "acme";
// The `aud` of tokens that this application takes.
const AUDIENCE = "gateway";
const DEADLINE_MILLISECONDS = 3_000;
// The authority cannot answer now. Nothing is known about the session, so nobody may be signed out by it.
const UNAVAILABLE = new Set([
  grpc.status.UNAVAILABLE,
  grpc.status.DEADLINE_EXCEEDED,
  grpc.status.RESOURCE_EXHAUSTED,
  grpc.status.CANCELLED,
  grpc.status.INTERNAL,
  grpc.status.UNKNOWN,
]);
// The refresh token is dead for good.
const REFRESH_ENDED = new Set(["REFRESH_TOKEN_INVALID", "REFRESH_TOKEN_REUSED", "SESSION_ENDED", "USER_DISABLED"]);

const protos = process.env.PROTO ?? fileURLToPath(new URL("../../proto", import.meta.url));
const contract = loader.loadSync("portcullis/v1/session_service.proto", {
  includeDirs: [protos],
  keepCase: true,
  enums: String,
  longs: Number,
  defaults: true,
});
const { SessionService } = grpc.loadPackageDefinition(contract).portcullis.v1;
const credentials = JSON.parse(readFileSync(process.env.CREDENTIALS ?? "portcullis-data/dev-credentials.json"));
const sessions = new SessionService(process.env.AUTHORITY ?? "127.0.0.1:7400", grpc.credentials.createInsecure());

// The details of an error, as gRPC carries them.
const { Status, ErrorInfo } = protobuf.parse(`
  syntax = "proto3";
  message Any { string typeUrl = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; }
`).root.nested;

/** The authority cannot answer now: answer 503, and keep the cookies. */
export class Unavailable extends Error {
  constructor(code) {
    super(grpc.status[code]);
    // An authority with too much to do is not asked again at once.
    this.mayRepeat = code !== grpc.status.RESOURCE_EXHAUSTED;
  }
}

/** The session has ended. `end` says how, if that is known. */
export class Ended extends Error {
  constructor(end = null) {
    super("the session has ended");
    this.end = end;
  }
}

/** The authority refuses the call. `reason` is one of `docs/reference/errors.md`. */
export class Refused extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

function call(credential, method, request) {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${credential}`);
  const deadline = Date.now() + DEADLINE_MILLISECONDS;
  return new Promise((resolve, reject) => {
    sessions[method](request, metadata, { deadline }, (error, answer) => {
      if (!error) resolve(answer);
      // Errors of our own: a gRPC error repeats what was sent, and must not reach a log.
      else reject(UNAVAILABLE.has(error.code) ? new Unavailable(error.code) : new Refused(reasonOf(error)));
    });
  });
}

/** Repeats a call whose answer was lost. Only for calls that change nothing the second time. */
async function callTwice(credential, method, request) {
  try {
    return await call(credential, method, request);
  } catch (error) {
    if (!error.mayRepeat) throw error;
    return call(credential, method, request);
  }
}

/** Calls with the user's own token: the authority shows and ends nothing but their own sessions. */
async function asUser(accessToken, method, request) {
  try {
    return await callTwice(accessToken, method, request);
  } catch (error) {
    // Of a user's token this is the end of the session. Of our own credential it would be a wrong configuration.
    if (error.reason === "CREDENTIALS_INVALID") throw new Ended(await endOf(accessToken));
    throw error;
  }
}

function reasonOf(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = bytes ? Status.decode(bytes).details : [];
  const info = details.find((detail) => detail.typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return info ? ErrorInfo.decode(info.value).reason : grpc.status[error.code];
}

export function signIn(userId, client, rememberMe) {
  return callTwice(credentials.login, "CreateSession", {
    tenant_id: TENANT,
    user: { id: userId, user_name: userId },
    client,
    remember_me: rememberMe,
    amr: ["pwd"],
    // With it the repeated call returns the same session.
    request_id: randomUUID(),
  });
}

/** The same token returns the same successor, so it may be presented again when an answer was lost. */
export async function refresh(refreshToken, client, accessToken) {
  try {
    return await callTwice(credentials.login, "RefreshSession", { tenant_id: TENANT, refresh_token: refreshToken, client });
  } catch (error) {
    if (REFRESH_ENDED.has(error.reason)) throw new Ended(await endOf(accessToken));
    throw error;
  }
}

/** Decides about a token, for a request of the user: with the role `gateway` it counts as use of the session. */
export async function introspect(accessToken, client, page) {
  const answer = await callTwice(credentials.gateway, "IntrospectToken", {
    tenant_id: TENANT,
    token: accessToken,
    client_ip: client.ip,
    page,
  });
  // The authority does not know for whom the token was meant. It has verified the claims that are read here.
  if (answer.active && !claims(accessToken).aud.includes(AUDIENCE)) {
    return { active: false, inactive_reason: "wrong_audience" };
  }
  return answer;
}

function claims(accessToken) {
  return JSON.parse(Buffer.from(accessToken.split(".")[1], "base64url"));
}

/** The end of the user's own session, also with a token that has expired. `null` if it is not known. */
export async function endOf(accessToken) {
  if (!accessToken) return null;
  try {
    const answer = await call(accessToken, "IntrospectToken", {});
    return answer.session?.end ?? null;
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

export async function devices(accessToken) {
  const answer = await asUser(accessToken, "ListSessions", { page_size: 200 });
  return answer.sessions;
}

/** Ends the session of an access token or a refresh token. Succeeds for every token. */
export function signOut(token, client) {
  return callTwice(credentials.login, "RevokeToken", { tenant_id: TENANT, token, client_ip: client.ip });
}

export function signOutDevice(accessToken, sessionId) {
  return asUser(accessToken, "RevokeSession", { session_id: sessionId });
}

export function signOutOthers(accessToken, andThisOne) {
  return asUser(accessToken, "RevokeOtherSessions", { include_current: andThisOne });
}

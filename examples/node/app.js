// A web application whose sessions Portcullis keeps: sign-in, refresh, "your devices", sign-out.
// `docs/start/application.md` explains the order of things and the mistakes to avoid.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { fileURLToPath } from "node:url";
import cookieParser from "cookie-parser";
import express from "express";
import * as authority from "./authority.js";

// Your own check of passwords stands here. The authority authenticates nobody.
const PASSWORDS = new Map([
  ["ada", "lovelace"],
  ["bob", "builder"],
]);

// `__Host-`: a browser takes the cookie over https (or localhost) only, for this host alone, and no other host can plant
// one. Scripts of the page cannot read it.
const ACCESS = "__Host-session";
const REFRESH = "__Host-refresh";
const DEVICE = "__Host-device";
const COOKIE = { path: "/", secure: true, httpOnly: true, sameSite: "lax" };
const YEAR_MILLISECONDS = 365 * 24 * 60 * 60 * 1_000;

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
};

// A token with one of these has a session that ended. With any other reason the next token may be good.
const ENDED = new Set(["revoked", "signed_out"]);

const WHY = {
  SESSION_END_CAUSE_USER: "You signed out.",
  SESSION_END_CAUSE_ANOTHER_DEVICE: "You signed this device out from another one.",
  SESSION_END_CAUSE_ADMINISTRATOR: "An administrator signed you out.",
  SESSION_END_CAUSE_USER_DISABLED: "Your account was disabled.",
  SESSION_END_CAUSE_REFRESH_TOKEN_REUSED: "A copy of this session was used. Change your password.",
  SESSION_END_CAUSE_REPLACED: "You signed in again on this device.",
  SESSION_END_CAUSE_RECOVERY: "Everybody was signed out after an incident.",
  SESSION_END_CAUSE_POLICY: "The rules for sessions have changed.",
  SESSION_END_CAUSE_IDLE: "You were away for too long.",
  SESSION_END_CAUSE_PASSWORD_CHANGED: "Your password was changed.",
  SESSION_END_CAUSE_SECOND_FACTOR_CHANGED: "Your second factor was changed.",
  SESSION_END_CAUSE_SESSION_LIMIT: "You signed in on too many devices.",
};

const REFUSALS = {
  POLICY_FORBIDS: [403, "Your organisation does not allow this."],
  REAUTHENTICATION_REQUIRED: [403, "Sign in again to do this."],
  SESSION_LIMIT: [409, "You are signed in on too many devices. Sign out one of them first."],
  SESSION_NOT_FOUND: [404, "There is no such session."],
  USER_DISABLED: [403, "This account is disabled."],
};

/** Nobody is signed in. */
class Anonymous extends Error {}

const app = express();
app.disable("x-powered-by");
// EJS escapes every `<%= %>`: names of devices and messages are other people's text.
app.set("view engine", "ejs");
app.set("views", fileURLToPath(new URL("views", import.meta.url)));
// The addresses and networks of your own proxies. By default nobody is believed about the client's address.
app.set("trust proxy", process.env.TRUSTED_PROXIES?.split(",") ?? false);
app.use(guard, express.urlencoded({ extended: false, limit: "8kb" }), cookieParser());

/** Refuses forged requests: a browser names the page that sends a form. `SameSite` alone trusts all our subdomains. */
function guard(request, response, next) {
  response.set(HEADERS);
  if (["GET", "HEAD"].includes(request.method) || isOwnPage(request)) return next();
  notice(response, 403, "This form was not sent by this site.");
}

function isOwnPage(request) {
  const origin = request.get("origin");
  return URL.canParse(origin ?? "") && new URL(origin).host === request.get("host");
}

function clientOf(request) {
  // `request.ip` is the peer, or the address that a trusted proxy told.
  return {
    ip: request.ip ?? "",
    user_agent: request.get("user-agent") ?? "",
    device_id: request.cookies[DEVICE] ?? "",
  };
}

/** Finds out who calls. A handler behind it runs for signed-in people only. */
async function visitor(request, response, next) {
  const access = request.cookies[ACCESS];
  const refresh = request.cookies[REFRESH];
  const client = clientOf(request);
  if (!access && !refresh) throw new Anonymous();
  if (access) {
    const answer = await authority.introspect(access, client, request.path);
    if (answer.active) return admit(request, answer.session, access, next);
    if (ENDED.has(answer.inactive_reason)) throw new authority.Ended(await authority.endOf(access));
  }
  if (!refresh) throw new Anonymous();

  // Refreshed when the old token is used up, and not by a timer. Two tabs may do so at once, and an answer may be lost:
  // the same refresh token returns the same successor.
  const tokens = await authority.refresh(refresh, client, access);
  keep(response, tokens);
  const answer = await authority.introspect(tokens.access_token, client, request.path);
  if (!answer.active) throw new authority.Ended(await authority.endOf(tokens.access_token));
  admit(request, answer.session, tokens.access_token, next);
}

function admit(request, session, accessToken, next) {
  request.session = session;
  request.accessToken = accessToken;
  next();
}

function keep(response, { session, access_token, refresh_token }) {
  // The access token's cookie lives as long as the session: an expired token still asks why the session ended.
  const maxAge = session.remember_me ? session.expire_time.seconds * 1_000 - Date.now() : undefined;
  response.cookie(ACCESS, access_token, { ...COOKIE, maxAge });
  response.cookie(REFRESH, refresh_token, { ...COOKIE, maxAge });
}

function forget(response) {
  response.clearCookie(ACCESS, COOKIE).clearCookie(REFRESH, COOKIE);
}

function notice(response, status, text, message = "") {
  response.status(status).render("notice", { text, message });
}

app.get("/", visitor, (request, response) => {
  response.render("home", { session: request.session });
});

app.get("/sign-in", (request, response) => {
  response.render("sign_in", { problem: "" });
});

app.post("/sign-in", async (request, response) => {
  const { user = "", password = "", remember_me } = request.body ?? {};
  if (!isPassword(PASSWORDS.get(user), password)) {
    return response.status(401).render("sign_in", { problem: "The name or the password is wrong." });
  }
  const client = clientOf(request);
  // A random name of this browser, so that "your devices" shows it once.
  client.device_id ||= randomBytes(16).toString("base64url");
  const tokens = await authority.signIn(user, client, remember_me === "true");
  keep(response, tokens);
  response.cookie(DEVICE, client.device_id, { ...COOKIE, maxAge: YEAR_MILLISECONDS });

  // The browser's old session would live on without its cookie.
  if (request.cookies[REFRESH]) await authority.signOut(request.cookies[REFRESH], client);
  response.redirect(303, "/");
});

function isPassword(expected, given) {
  const digest = (text) => createHash("sha256").update(String(text)).digest();
  return timingSafeEqual(digest(expected), digest(given)) && expected !== undefined;
}

app.post("/sign-out", async (request, response) => {
  // Needs no good token: signing out always works.
  const token = request.cookies[REFRESH] ?? request.cookies[ACCESS];
  if (token) await authority.signOut(token, clientOf(request));
  forget(response);
  notice(response, 200, "You signed out.");
});

app.get("/devices", visitor, async (request, response) => {
  // With the user's own token: the authority shows them their own sessions, and marks this one as current.
  response.render("devices", { sessions: await authority.devices(request.accessToken) });
});

app.post("/devices/sign-out-others", visitor, async (request, response) => {
  await authority.signOutOthers(request.accessToken, false);
  response.redirect(303, "/devices");
});

app.post("/devices/sign-out-all", visitor, async (request, response) => {
  await authority.signOutOthers(request.accessToken, true);
  response.removeHeader("set-cookie");
  forget(response);
  notice(response, 200, "You signed out everywhere.");
});

app.post("/devices/:session/sign-out", visitor, async (request, response) => {
  await authority.signOutDevice(request.accessToken, request.params.session);
  response.redirect(303, "/devices");
});

app.use((error, request, response, next) => {
  if (error instanceof Anonymous) {
    response.status(request.path === "/" ? 200 : 401).render("sign_in", { problem: "" });
  } else if (error instanceof authority.Ended) {
    // Also of a refresh that came too late: the tokens in the cookies are dead.
    response.removeHeader("set-cookie");
    forget(response);
    notice(response, 401, WHY[error.end?.cause] ?? "Your session has ended.", error.end?.user_message);
  } else if (error instanceof authority.Unavailable) {
    // Nothing is known about the session, so the cookies stay.
    response.set("retry-after", "1");
    notice(response, 503, "We cannot check your session now. Try again in a moment.");
  } else {
    // A reason that is not expected here is a fault of this application, for example a wrong credential.
    const [status, text] = REFUSALS[error.reason] ?? [error.status ?? 500, "Something went wrong here."];
    if (status === 500) console.error(error.stack);
    notice(response, status, text);
  }
});

const [host, port] = (process.env.LISTEN ?? "127.0.0.1:8000").split(/:(?=\d+$)/);
const server = app.listen(Number(port), host, () => {
  console.log(`listening on http://${host}:${server.address().port}`);
});

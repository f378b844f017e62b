"""A web application whose sessions Portcullis keeps: sign-in, refresh, "your devices", sign-out.

`docs/start/application.md` explains the order of things and the mistakes to avoid.
"""

import hmac
import os
import secrets
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import Depends, FastAPI, Form, Request
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from portcullis.v1 import session_service_pb2 as v1

import authority
from authority import Ended, Refused, Unavailable

# Your own check of passwords stands here. The authority authenticates nobody.
PASSWORDS = {"ada": "lovelace", "bob": "builder"}

# `__Host-`: a browser takes the cookie over https (or localhost) only, for this host alone, and no other host can plant
# one. Scripts of the page cannot read it.
ACCESS, REFRESH, DEVICE = "__Host-session", "__Host-refresh", "__Host-device"
COOKIE = {"path": "/", "secure": True, "httponly": True, "samesite": "lax"}
YEAR_SECONDS = 365 * 24 * 60 * 60

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}

# A token with one of these has a session that ended. With any other reason the next token may be good.
ENDED = {"revoked", "signed_out"}

WHY = {
    v1.SESSION_END_CAUSE_USER: "You signed out.",
    v1.SESSION_END_CAUSE_ANOTHER_DEVICE: "You signed this device out from another one.",
    v1.SESSION_END_CAUSE_ADMINISTRATOR: "An administrator signed you out.",
    v1.SESSION_END_CAUSE_USER_DISABLED: "Your account was disabled.",
    v1.SESSION_END_CAUSE_REFRESH_TOKEN_REUSED: "A copy of this session was used. Change your password.",
    v1.SESSION_END_CAUSE_REPLACED: "You signed in again on this device.",
    v1.SESSION_END_CAUSE_RECOVERY: "Everybody was signed out after an incident.",
    v1.SESSION_END_CAUSE_POLICY: "The rules for sessions have changed.",
    v1.SESSION_END_CAUSE_IDLE: "You were away for too long.",
    v1.SESSION_END_CAUSE_PASSWORD_CHANGED: "Your password was changed.",
    v1.SESSION_END_CAUSE_SECOND_FACTOR_CHANGED: "Your second factor was changed.",
    v1.SESSION_END_CAUSE_SESSION_LIMIT: "You signed in on too many devices.",
}

REFUSALS = {
    "POLICY_FORBIDS": (403, "Your organisation does not allow this."),
    "REAUTHENTICATION_REQUIRED": (403, "Sign in again to do this."),
    "SESSION_LIMIT": (409, "You are signed in on too many devices. Sign out one of them first."),
    "SESSION_NOT_FOUND": (404, "There is no such session."),
    "USER_DISABLED": (403, "This account is disabled."),
}

app = FastAPI(openapi_url=None)
# Jinja2 escapes every value: names of devices and messages are other people's text.
templates = Jinja2Templates(Path(__file__).parent / "templates")


class Anonymous(Exception):
    """Nobody is signed in."""


class Visitor:
    """A person who is signed in, with a token that is good now."""

    def __init__(self, session, access_token):
        self.session, self.access_token = session, access_token


def client(request):
    # `request.client` is the peer, or the address that a trusted proxy told: see `main`.
    ip = request.client.host if request.client else ""
    user_agent = request.headers.get("user-agent", "")
    return authority.client(ip, user_agent, request.cookies.get(DEVICE, ""))


def visitor(request: Request):
    """Finds out who calls. A handler that depends on it runs for signed-in people only."""
    access, refresh = request.cookies.get(ACCESS, ""), request.cookies.get(REFRESH, "")
    facts, path = client(request), request.url.path
    if not access and not refresh:
        raise Anonymous
    if access:
        answer = authority.introspect(access, facts, path)
        if answer.active:
            return Visitor(answer.session, access)
        if answer.inactive_reason in ENDED:
            raise Ended(authority.end_of(access))
    if not refresh:
        raise Anonymous

    # Refreshed when the old token is used up, and not by a timer. Two tabs may do so at once, and an answer may be lost:
    # the same refresh token returns the same successor.
    tokens = authority.refresh(refresh, facts, access)
    request.state.tokens = tokens
    answer = authority.introspect(tokens.access_token, facts, path)
    if not answer.active:
        raise Ended(authority.end_of(tokens.access_token))
    return Visitor(answer.session, tokens.access_token)


@app.middleware("http")
async def guard(request: Request, call_next):
    # Against forged requests: a browser names the page that sends a form. `SameSite` alone trusts all our subdomains.
    if request.method not in ("GET", "HEAD") and not is_own_page(request):
        response = notice(request, 403, "This form was not sent by this site.")
    else:
        response = await call_next(request)
    if tokens := getattr(request.state, "tokens", None):
        keep(response, tokens)
    response.headers.update(HEADERS)
    return response


def is_own_page(request):
    origin = request.headers.get("origin", "")
    return urlsplit(origin).netloc == request.headers.get("host")


def keep(response, tokens):
    # The access token's cookie lives as long as the session: an expired token still asks why the session ended.
    session = tokens.session
    lifetime = session.expire_time.seconds - int(time.time()) if session.remember_me else None
    response.set_cookie(ACCESS, tokens.access_token, max_age=lifetime, **COOKIE)
    response.set_cookie(REFRESH, tokens.refresh_token, max_age=lifetime, **COOKIE)


def forget(response):
    response.delete_cookie(ACCESS, **COOKIE)
    response.delete_cookie(REFRESH, **COOKIE)
    return response


def page(request, template, status=200, **values):
    return templates.TemplateResponse(request, template, values, status_code=status)


def notice(request, status, text, message=""):
    return page(request, "notice.html", status, text=text, message=message)


@app.exception_handler(Anonymous)
def anonymous(request: Request, _):
    return page(request, "sign_in.html", 200 if request.url.path == "/" else 401)


@app.exception_handler(Ended)
def ended(request: Request, error: Ended):
    # Also of a refresh that came too late: the tokens in the cookies are dead.
    request.state.tokens = None
    text = WHY.get(error.end.cause) if error.end else None
    message = error.end.user_message if error.end else ""
    return forget(notice(request, 401, text or "Your session has ended.", message))


@app.exception_handler(Unavailable)
def unavailable(request: Request, _):
    # Nothing is known about the session, so the cookies stay.
    response = notice(request, 503, "We cannot check your session now. Try again in a moment.")
    response.headers["retry-after"] = "1"
    return response


@app.exception_handler(Refused)
def refused(request: Request, error: Refused):
    # A reason that is not expected here is a fault of this application, for example a wrong credential.
    status, text = REFUSALS.get(error.reason, (500, "Something went wrong here."))
    return notice(request, status, text)


@app.get("/")
def home(request: Request, visitor: Visitor = Depends(visitor)):
    return page(request, "home.html", session=visitor.session)


@app.get("/sign-in")
def sign_in_form(request: Request):
    return page(request, "sign_in.html")


@app.post("/sign-in")
def sign_in(request: Request, user: str = Form(""), password: str = Form(""), remember_me: bool = Form(False)):
    expected = PASSWORDS.get(user, "")
    is_right = hmac.compare_digest(expected.encode(), password.encode())
    if not expected or not is_right:
        return page(request, "sign_in.html", 401, problem="The name or the password is wrong.")
    facts = client(request)
    # A random name of this browser, so that "your devices" shows it once.
    facts.device_id = facts.device_id or secrets.token_urlsafe(16)
    request.state.tokens = authority.sign_in(user, facts, remember_me)
    response = RedirectResponse("/", 303)
    response.set_cookie(DEVICE, facts.device_id, max_age=YEAR_SECONDS, **COOKIE)

    # The browser's old session would live on without its cookie.
    if old := request.cookies.get(REFRESH):
        authority.sign_out(old, facts)
    return response


@app.post("/sign-out")
def sign_out(request: Request):
    # Needs no good token: signing out always works.
    if token := request.cookies.get(REFRESH) or request.cookies.get(ACCESS):
        authority.sign_out(token, client(request))
    return forget(notice(request, 200, "You signed out."))


@app.get("/devices")
def devices(request: Request, visitor: Visitor = Depends(visitor)):
    # With the user's own token: the authority shows them their own sessions, and marks this one as current.
    return page(request, "devices.html", sessions=authority.devices(visitor.access_token))


@app.post("/devices/{session_id}/sign-out")
def sign_out_device(session_id: str, visitor: Visitor = Depends(visitor)):
    authority.sign_out_device(visitor.access_token, session_id)
    return RedirectResponse("/devices", 303)


@app.post("/devices/sign-out-others")
def sign_out_others(visitor: Visitor = Depends(visitor)):
    authority.sign_out_others(visitor.access_token, and_this_one=False)
    return RedirectResponse("/devices", 303)


@app.post("/devices/sign-out-all")
def sign_out_all(request: Request, visitor: Visitor = Depends(visitor)):
    authority.sign_out_others(visitor.access_token, and_this_one=True)
    request.state.tokens = None
    return forget(notice(request, 200, "You signed out everywhere."))


def main():
    host, port = os.environ.get("LISTEN", "127.0.0.1:8000").rsplit(":", 1)
    listener = socket.create_server((host, int(port)))
    print(f"listening on http://{host}:{listener.getsockname()[1]}", flush=True)
    # The addresses and networks of your own proxies. By default nobody is believed about the client's address.
    proxies = os.environ.get("TRUSTED_PROXIES", "")
    config = uvicorn.Config(app, proxy_headers=bool(proxies), forwarded_allow_ips=proxies, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

"""Calls to the authority: a deadline on each, and errors by reason."""

import base64
import json
import os
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from portcullis.v1 import session_service_pb2 as v1
from portcullis.v1 import session_service_pb2_grpc as stubs
from portcullis.v1 import types_pb2 as types

TENANT = "acme"
# The `aud` of tokens that this application takes.
AUDIENCE = "gateway"
DEADLINE_SECONDS = 3
# The authority cannot answer now. Nothing is known about the session, so nobody may be signed out by it.
UNAVAILABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}
# The refresh token is dead for good.
REFRESH_ENDED = {"REFRESH_TOKEN_INVALID", "REFRESH_TOKEN_REUSED", "SESSION_ENDED", "USER_DISABLED"}

credentials = json.load(open(os.environ.get("CREDENTIALS", "portcullis-data/dev-credentials.json")))
sessions = stubs.SessionServiceStub(grpc.insecure_channel(os.environ.get("AUTHORITY", "127.0.0.1:7400")))


class Unavailable(Exception):
    """The authority cannot answer now: answer 503, and keep the cookies."""

    def __init__(self, code):
        super().__init__(code.name)
        # An authority with too much to do is not asked again at once.
        self.may_repeat = code != grpc.StatusCode.RESOURCE_EXHAUSTED


class Refused(Exception):
    """The authority refuses the call. `reason` is one of `docs/reference/errors.md`."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Ended(Exception):
    """The session has ended. `end` says how, if that is known."""

    def __init__(self, end=None):
        super().__init__()
        self.end = end


def call(credential, method, request):
    metadata = [("authorization", f"Bearer {credential}")]
    try:
        return method(request, metadata=metadata, timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        # `from None`: the message of a gRPC error may repeat what was sent, and must not reach a log.
        if error.code() in UNAVAILABLE:
            raise Unavailable(error.code()) from None
        raise Refused(reason_of(error)) from None


def call_twice(credential, method, request):
    """Repeats a call whose answer was lost. Only for calls that change nothing the second time."""
    try:
        return call(credential, method, request)
    except Unavailable as error:
        if not error.may_repeat:
            raise
        return call(credential, method, request)


def as_user(access_token, method, request):
    """Calls with the user's own token: the authority shows and ends nothing but their own sessions."""
    try:
        return call_twice(access_token, method, request)
    except Refused as error:
        # Of a user's token this is the end of the session. Of our own credential it would be a wrong configuration.
        if error.reason == "CREDENTIALS_INVALID":
            raise Ended(end_of(access_token)) from None
        raise


def reason_of(error):
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            return info.reason
    return error.code().name


def sign_in(user_id, client, remember_me):
    request = v1.CreateSessionRequest(
        tenant_id=TENANT,
        user=v1.SessionUser(id=user_id, user_name=user_id),
        client=client,
        remember_me=remember_me,
        amr=["pwd"],
        # With it the repeated call returns the same session.
        request_id=str(uuid.uuid4()),
    )
    return call_twice(credentials["login"], sessions.CreateSession, request)


def refresh(refresh_token, client, access_token):
    """The same token returns the same successor, so it may be presented again when an answer was lost."""
    request = v1.RefreshSessionRequest(tenant_id=TENANT, refresh_token=refresh_token, client=client)
    try:
        return call_twice(credentials["login"], sessions.RefreshSession, request)
    except Refused as error:
        if error.reason in REFRESH_ENDED:
            raise Ended(end_of(access_token)) from None
        raise


def introspect(access_token, client, page):
    """Decides about a token, for a request of the user: with the role `gateway` it counts as use of the session."""
    request = v1.IntrospectTokenRequest(tenant_id=TENANT, token=access_token, client_ip=client.ip, page=page)
    answer = call_twice(credentials["gateway"], sessions.IntrospectToken, request)
    # The authority does not know for whom the token was meant. It has verified the claims that are read here.
    if answer.active and AUDIENCE not in claims(access_token)["aud"]:
        return v1.IntrospectTokenResponse(inactive_reason="wrong_audience")
    return answer


def claims(access_token):
    payload = access_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def end_of(access_token):
    """The end of the user's own session, also with a token that has expired. None if it is not known."""
    if not access_token:
        return None
    try:
        answer = call(access_token, sessions.IntrospectToken, v1.IntrospectTokenRequest())
    except Refused:
        return None
    return answer.session.end if answer.session.HasField("end") else None


def devices(access_token):
    request = v1.ListSessionsRequest(page_size=200)
    return as_user(access_token, sessions.ListSessions, request).sessions


def sign_out(token, client):
    """Ends the session of an access token or a refresh token. Succeeds for every token."""
    request = v1.RevokeTokenRequest(tenant_id=TENANT, token=token, client_ip=client.ip)
    call_twice(credentials["login"], sessions.RevokeToken, request)


def sign_out_device(access_token, session_id):
    request = v1.RevokeSessionRequest(session_id=session_id)
    as_user(access_token, sessions.RevokeSession, request)


def sign_out_others(access_token, and_this_one):
    request = v1.RevokeOtherSessionsRequest(include_current=and_this_one)
    as_user(access_token, sessions.RevokeOtherSessions, request)


def client(ip, user_agent, device_id):
    return types.Client(ip=ip, user_agent=user_agent, device_id=device_id)

"""Opens, lists and revokes a session, against a running `portcullis dev`."""

import json
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from portcullis.v1 import session_service_pb2 as v1
from portcullis.v1 import session_service_pb2_grpc as stubs

data_dir = sys.argv[1] if len(sys.argv) > 1 else "portcullis-data"
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:7400"
credentials = json.load(open(f"{data_dir}/dev-credentials.json"))
sessions = stubs.SessionServiceStub(grpc.insecure_channel(address))


def call(role, method, request):
    return method(request, metadata=[("authorization", f"Bearer {credentials[role]}")], timeout=5)


ada = v1.SessionUser(id="ada", user_name="ada")
created = call("login", sessions.CreateSession, v1.CreateSessionRequest(tenant_id="acme", user=ada))
session_id = created.session.id
print("opened ", session_id, "token", created.access_token[:16] + "...")

page = call("admin", sessions.ListSessions, v1.ListSessionsRequest(tenant_id="acme", user_id="ada"))
for session in page.sessions:
    print("listed ", session.id, v1.SessionState.Name(session.state))

revoke = v1.RevokeSessionRequest(tenant_id="acme", session_id=session_id, reason="trying it")
revoked = call("admin", sessions.RevokeSession, revoke)
print("revoked", session_id, "by revision", revoked.enforcement.revision)

try:
    call("admin", sessions.GetSession, v1.GetSessionRequest(tenant_id="other", session_id=session_id))
except grpc.RpcError as error:
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(error).details:
        if detail.Unpack(info):
            print("error  ", error.code().name, info.reason)

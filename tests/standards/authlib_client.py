"""A client of OAuth 2.0 by Authlib. It obeys commands, one JSON object a line, and answers each by a line."""

import json
import os
import sys

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

METHODS = {"basic": "client_secret_basic", "post": "client_secret_post", "none": "none"}


def discover():
    """The metadata, at the URL that follows from the issuer."""
    url = get_well_known_url(os.environ["ISSUER"], external=True)
    answer = requests.get(url, timeout=10)
    answer.raise_for_status()
    metadata = AuthorizationServerMetadata(answer.json())
    # Its other checks ask for HTTPS, which the tests do not speak on this machine.
    metadata.validate_revocation_endpoint_auth_methods_supported()
    metadata.validate_introspection_endpoint_auth_methods_supported()
    metadata.validate_grant_types_supported()
    return metadata


def session(command):
    """A session of the client of a command."""
    method = METHODS[command["method"]]
    return OAuth2Session(
        command["id"],
        command.get("secret"),
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        introspection_endpoint_auth_method=method,
    )


def introspect(command):
    url = discover()["introspection_endpoint"]
    body = dict(command.get("parameters") or {})
    return session(command).introspect_token(url, token=command["token"], body=encode(body))


def revoke(command):
    url = discover()["revocation_endpoint"]
    body = dict(command.get("parameters") or {})
    return session(command).revoke_token(url, token=command["token"], body=encode(body))


def encode(parameters):
    return requests.models.RequestEncodingMixin._encode_params(parameters)


def answer(command):
    if command["command"] == "discover":
        return {"result": dict(discover())}
    response = {"introspect": introspect, "revoke": revoke}[command["command"]](command)
    if response.status_code == 200:
        return {"result": response.json() if response.content else {}}
    return {"error": response.json()["error"], "status": response.status_code}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

"""google-auth itself against the sandbox's token endpoint and metadata server."""

import asyncio
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import requests
from google.auth import compute_engine, crypt, identity_pool, jwt
from google.auth.compute_engine import _metadata
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from gateway.sandbox.google_identity import CLOUD_SCOPES, EMAIL, SUBJECT_TOKEN
from gateway.sandbox.server import Sandbox
from tests.sandbox.conftest import GEMINI, Vendors, bearer, gemini_body

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FLAVOR: dict[str, str] = {"Metadata-Flavor": "Google"}


def untyped(module: ModuleType) -> Any:
    """A module of google-auth, whose functions have no types."""
    return module


@pytest.fixture
def transport() -> Any:
    with requests.Session() as session:
        session.trust_env = False
        yield Request(session)


async def refreshed(credentials: Any, transport: Any) -> str:
    await asyncio.to_thread(credentials.refresh, transport)
    token: str = credentials.token
    return token


async def opens_vertex(vendors: Vendors, token: str) -> bool:
    reply = await vendors.nobody.post(GEMINI, json=gemini_body(), headers=bearer(token))
    return reply.status_code == 200


async def test_a_service_account_gets_a_token_that_vertex_takes(
    sandbox: Sandbox, vendors: Vendors, transport: Any
) -> None:
    credentials = untyped(service_account).Credentials.from_service_account_info(
        sandbox.service_account(), scopes=[CLOUD_SCOPES[0]]
    )
    assert await opens_vertex(vendors, await refreshed(credentials, transport))


async def test_the_metadata_server_answers_all_that_google_auth_asks(
    sandbox: Sandbox, vendors: Vendors, transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = sandbox.base_url.removeprefix("http://")
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)
    monkeypatch.setenv("GCE_METADATA_HOST", host)
    monkeypatch.setenv("GCE_METADATA_IP", host)
    assert await asyncio.to_thread(_metadata.get_project_id, transport) == "sandbox-project"
    info = await asyncio.to_thread(_metadata.get_service_account_info, transport)
    assert info["email"] == EMAIL
    assert await opens_vertex(vendors, await refreshed(untyped(compute_engine).Credentials(), transport))


@pytest.mark.parametrize("path", ["/", "/computeMetadata/v1/instance/service-accounts/default/token"])
async def test_the_metadata_server_wants_its_flavour_named_and_names_it(vendors: Vendors, path: str) -> None:
    assert (await vendors.nobody.get(path)).status_code == 403
    named = await vendors.nobody.get(path, headers=FLAVOR)
    assert (named.status_code, named.headers["metadata-flavor"]) == (200, "Google")


async def test_a_federated_workload_gets_a_token_and_may_become_the_service_account(
    sandbox: Sandbox, vendors: Vendors, transport: Any
) -> None:
    class Supplier(identity_pool.SubjectTokenSupplier):
        def get_subject_token(self, context: Any, request: Any) -> str:
            return SUBJECT_TOKEN

    credentials = untyped(identity_pool).Credentials(
        audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{sandbox.base_url}/google/token",
        service_account_impersonation_url=(
            f"{sandbox.base_url}/google/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
        ),
        subject_token_supplier=Supplier(),
        scopes=[CLOUD_SCOPES[0]],
    )
    assert await opens_vertex(vendors, await refreshed(credentials, transport))


async def test_a_revoked_account_is_told_by_the_token_endpoint(sandbox: Sandbox, transport: Any) -> None:
    sandbox.state.script("google", operation="token", then={"error": "google.account_not_found_400"})
    credentials = untyped(service_account).Credentials.from_service_account_info(
        sandbox.service_account(), scopes=CLOUD_SCOPES
    )
    with pytest.raises(RefreshError, match="account not found"):
        await refreshed(credentials, transport)


def claims(sandbox: Sandbox) -> dict[str, Any]:
    now = int(time.time())
    audience = f"{sandbox.base_url}/google/token"
    return {"iss": EMAIL, "scope": CLOUD_SCOPES[0], "aud": audience, "iat": now, "exp": now + 3600}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda told: told | {"iss": "somebody@else"}, "invalid_grant"),
        (lambda told: told | {"aud": "https://example.com/token"}, "invalid_grant"),
        (lambda told: told | {"exp": told["iat"] + 7200}, "invalid_grant"),
        (lambda told: told | {"iat": told["iat"] - 9000, "exp": told["exp"] - 9000}, "invalid_grant"),
        (lambda told: told | {"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
    ],
)
async def test_a_grant_with_wrong_claims_is_refused(
    sandbox: Sandbox, vendors: Vendors, spoil: Callable[[dict[str, Any]], dict[str, Any]], error: str
) -> None:
    signer = untyped(crypt).RSASigner.from_service_account_info(sandbox.service_account())
    form = {"grant_type": JWT_BEARER, "assertion": untyped(jwt).encode(signer, spoil(claims(sandbox))).decode()}
    reply = await vendors.nobody.post("/google/token", data=form)
    assert (reply.status_code, reply.json()["error"]) == (400, error)


async def test_a_signature_by_another_key_is_refused(sandbox: Sandbox, vendors: Vendors) -> None:
    signer = untyped(crypt).RSASigner.from_service_account_info(sandbox.service_account())
    head, body, signature = untyped(jwt).encode(signer, claims(sandbox)).decode().split(".")
    good = {"grant_type": JWT_BEARER, "assertion": f"{head}.{body}.{signature}"}
    assert (await vendors.nobody.post("/google/token", data=good)).status_code == 200
    forged = good | {"assertion": f"{head}.{body}.{'A' * len(signature)}"}
    reply = await vendors.nobody.post("/google/token", data=forged)
    assert reply.json()["error_description"] == "Invalid JWT Signature."


@pytest.mark.parametrize("assertion", ["", "a.b", "a.b.c", "e30.e30.e30", "W10.W10.W10"])
async def test_nonsense_for_a_grant_is_refused(vendors: Vendors, assertion: str) -> None:
    reply = await vendors.nobody.post("/google/token", data={"grant_type": JWT_BEARER, "assertion": assertion})
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


async def test_the_assertion_is_not_recorded(vendors: Vendors) -> None:
    await vendors.nobody.post("/google/token", data={"grant_type": JWT_BEARER, "assertion": "very.secret.words"})
    assert "very.secret.words" not in (await vendors.nobody.get("/sandbox/calls")).text

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.edges.credentials import CredentialUnavailable
from gateway.edges.google_sources import FetchedToken, google_source
from gateway.edges.google_token import GoogleToken
from tests.edges.raw_server import Exchange, RawServer, serving

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JSON = "Content-Type: application/json"


async def give_token(exchange: Exchange) -> None:
    await exchange.reply(b'{"access_token": "ya29.canary", "expires_in": 3599, "token_type": "Bearer"}', 200, JSON)


async def refuse_grant(exchange: Exchange) -> None:
    await exchange.reply(b'{"error": "invalid_grant", "error_description": "Account canary not found"}', 400, JSON)


async def give_html(exchange: Exchange) -> None:
    await exchange.reply(b"<html>gateway</html>")


async def hang_up(exchange: Exchange) -> None:
    exchange.hang_up()


def key_file(directory: Path, token_uri: str) -> Path:
    pem = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = directory / "service-account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "p",
                "private_key_id": "key-7",
                "private_key": pem.decode(),
                "client_email": "gateway@p.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": token_uri,
            }
        )
    )
    return path


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def fetch(path: Path | None, metadata_host: str | None = None) -> FetchedToken:
    return await asyncio.to_thread(google_source(path, metadata_host=metadata_host))


async def test_a_service_account_signs_for_its_token(tmp_path: Path) -> None:
    async with serving(give_token) as server:
        fetched = await fetch(key_file(tmp_path, f"{server.url}/token"))
    assert fetched.token == "ya29.canary"
    assert 3590 < fetched.life_s <= 3599
    assert "canary" not in repr(fetched)
    form = parse_qs(server.exchanges[0].body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = form["assertion"][0].split(".")
    KEY.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert decoded(head) == {"alg": "RS256", "typ": "JWT", "kid": "key-7"}
    said = decoded(claims)
    assert said["iss"] == "gateway@p.iam.gserviceaccount.com"
    assert said["scope"] == SCOPE
    assert said["exp"] - said["iat"] == 3600


async def test_fifty_callers_at_once_make_one_call_to_the_token_endpoint(tmp_path: Path) -> None:
    async def slowly(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await give_token(exchange)

    async with serving(slowly) as server:
        token = GoogleToken(google_source(key_file(tmp_path, f"{server.url}/token")))
        assert await asyncio.gather(*(token.secret() for _ in range(50))) == ["ya29.canary"] * 50
    assert len(server.exchanges) == 1


@pytest.mark.parametrize("script", [refuse_grant, give_html, hang_up])
async def test_an_endpoint_that_gives_no_token_means_no_credential(tmp_path: Path, script: Any) -> None:
    async with serving(script) as server:
        with pytest.raises(CredentialUnavailable) as caught:
            await fetch(key_file(tmp_path, f"{server.url}/token"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "not json", "[]", "{}", '{"type": "service_account"}', '{"type": "gdch_service_account"}']
)
async def test_a_file_that_is_no_credential_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(content)
    with pytest.raises(CredentialUnavailable, match=r"key\.json"):
        await fetch(path)


async def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(CredentialUnavailable, match="FileNotFoundError"):
        await fetch(tmp_path / "gone.json")


async def test_the_metadata_server_gives_a_token_without_a_key() -> None:
    async with serving(give_token) as server:
        fetched = await fetch(None, f"127.0.0.1:{server.port}")
    assert (fetched.token, fetched.life_s) == ("ya29.canary", 3599.0)
    (exchange,) = server.exchanges
    assert exchange.path == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert exchange.headers["metadata-flavor"] == "Google"


@pytest.mark.slow
async def test_a_metadata_server_that_is_late_is_asked_again() -> None:
    async def late(exchange: Exchange) -> None:
        await (give_token(exchange) if exchange.number else exchange.reply(b"", 503))

    async with serving(late) as server:
        assert (await fetch(None, f"127.0.0.1:{server.port}")).token == "ya29.canary"
    assert len(server.exchanges) == 2


@pytest.mark.slow
async def test_a_metadata_server_that_stays_away_means_no_credential() -> None:
    async with serving(hang_up) as server:
        with pytest.raises(CredentialUnavailable, match="metadata server"):
            await fetch(None, f"127.0.0.1:{server.port}")
    assert len(server.exchanges) == 3


async def test_a_federated_identity_is_exchanged_for_a_token(tmp_path: Path) -> None:
    async def exchange_token(exchange: Exchange) -> None:
        await exchange.reply(
            b'{"access_token": "federated", "expires_in": 1800, "token_type": "Bearer",'
            b' "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}',
            200,
            JSON,
        )

    async with serving(exchange_token) as server:
        fetched = await fetch(federation(tmp_path, server))
    form = parse_qs(server.exchanges[0].body.decode())
    assert fetched.token == "federated"
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    assert form["subject_token"] == ["pod-identity"]
    assert form["scope"] == [SCOPE]


def federation(directory: Path, server: RawServer) -> Path:
    (directory / "subject").write_text("pod-identity")
    path = directory / "federation.json"
    path.write_text(
        json.dumps(
            {
                "type": "external_account",
                "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": f"{server.url}/v1/token",
                "credential_source": {"file": str(directory / "subject")},
            }
        )
    )
    return path


async def test_without_a_choice_the_named_file_comes_first_and_then_gclouds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(give_token) as server:
        path = key_file(tmp_path, f"{server.url}/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        assert (await fetch(None)).token == "ya29.canary"
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        path.rename(tmp_path / "application_default_credentials.json")
        assert (await fetch(None)).token == "ya29.canary"
    assert len(server.exchanges) == 2

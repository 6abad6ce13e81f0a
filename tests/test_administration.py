import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import administration
from gateway.administration import Desks
from gateway.edges.journal import Journal
from gateway.edges.journal_writer import JournalWriter
from gateway.edges.redis_store import RedisStore
from gateway.edges.world import World
from gateway.key_keeping import KeyKeeping
from gateway.operation_administration import OperationDesk
from gateway.policies.key_format import digest, looks_mistyped
from gateway.settings.groups import Settings
from tests.processes import ROOT
from tests.servers import Server, running_server, valkey_binary
from tests.settings.samples import FULL, load_text

TOKEN = "canary-admin-token-0001"
BEARER = {"authorization": f"Bearer {TOKEN}"}
FILE_KEY = "web-team"
EDGES: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    1.5,
    10**30,
    "",
    "*",
    "acme",
    "flux-schnell",
    "\ud800",
    "a\nb",
    "9" * 99,
    [],
    {},
]


def test_every_address_of_administration_is_in_its_documentation() -> None:
    told = {
        re.sub(r"\?.*", "", address)
        for line in (ROOT / "docs/administration.md").read_text().splitlines()
        if line.startswith("| `") and "/admin/" in line
        for address in addresses_in(line.split(" | ")[0])
    }
    anyone: Any = AnyDesk()
    served = {
        f"{method} {re.sub(r'[(].*?[)]', '{}', pattern.pattern)}"
        for pattern, by_method in administration._routes(Desks(anyone, anyone, anyone, anyone)).items()
        for method in by_method
    }
    assert told == served


class AnyDesk:
    """Whoever the routes lead to."""

    def __getattr__(self, name: str) -> "AnyDesk":
        return self

    def __call__(self) -> None: ...


def addresses_in(cell: str) -> list[str]:
    """`POST /admin/keys/{id}/disable`, `/enable` are two."""
    first, *others = re.findall(r"`([^`]+)`", re.sub(r"\{.*?\}", "{}", cell))
    return [first, *(first.rpartition("/")[0] + other for other in others)]


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    with running_server(valkey_binary()) as server:
        yield server


@pytest.fixture(autouse=True)
def _empty(valkey: Server) -> None:
    admin = valkey.admin()
    admin.flushall()
    admin.close()


@pytest.fixture
def configuration(tmp_path: Path) -> Settings:
    return load_text(FULL, tmp_path)


@asynccontextmanager
async def desk(configuration: Settings, url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Administration by itself, reached over HTTP's semantics with the right token."""
    redis = RedisStore(url, call_s=1.0)  # a busy machine is no outage
    keeping = KeyKeeping(configuration, redis)
    journal = Journal(redis)
    operations = OperationDesk(journal, JournalWriter(journal, None, lambda _: None), World())
    app = keeping.administration(World(), b"for the tests alone", operations)
    transport = httpx2.ASGITransport(app=app)
    try:
        await keeping.mirror.look()
        async with httpx2.AsyncClient(transport=transport, base_url="http://admin", headers=BEARER) as client:
            yield client
    finally:
        await redis.aclose()


@pytest.fixture
async def client(configuration: Settings, valkey: Server) -> AsyncIterator[httpx2.AsyncClient]:
    async with desk(configuration, valkey.url) as client:
        yield client


def error_of(reply: httpx2.Response) -> tuple[int, str, str | None]:
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]
    return reply.status_code, error["code"], error["param"]


async def test_all_models_are_named_by_a_star_as_in_the_configuration(client: httpx2.AsyncClient) -> None:
    made = await client.post("/admin/keys", json={"id": "web", "models": ["*"]})
    assert (made.status_code, made.json()["key"]["models"]) == (201, ["*"])
    changed = await client.patch("/admin/keys/web", json={"models": ["flux-schnell"]})
    assert changed.json()["models"] == ["flux-schnell"]
    assert (await client.patch("/admin/keys/web", json={"models": ["*"]})).json()["models"] == ["*"]


async def test_a_key_is_made_shown_changed_and_ended(client: httpx2.AsyncClient) -> None:
    wish = {
        "id": "web",
        "tenant": "acme",
        "models": ["flux-schnell"],
        "limits": {"images_per_minute": 60, "per_user": {"requests_per_minute": 2}},
        "budget": {"per_day": 10.5},
        "priority": 7,
        "may_route": True,
        "metadata": {"team": "ünï"},
        "expires_at": "2999-01-01T00:00:00Z",
    }
    made = await client.post("/admin/keys", json=wish)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    secret, key = made.json()["secret"], made.json()["key"]
    assert secret.startswith("sk-samurai-")
    assert not looks_mistyped(secret)
    shown = await client.get("/admin/keys/web")
    assert shown.json() == key
    assert (key["tenant"], key["models"], key["priority"]) == ("acme", ["flux-schnell"], 7)
    assert key["may_route"] is True
    assert key["limits"]["images_per_minute"] == 60
    assert key["limits"]["per_user"] == {"requests_per_minute": 2, "images_per_minute": None}
    assert key["budget"] == {"per_day": 10.5, "per_month": None, "total": None}
    assert (key["metadata"], key["state"], key["source"]) == ({"team": "ünï"}, "active", "redis")
    assert secret not in shown.text
    assert digest(secret) not in shown.text
    assert (await client.delete("/admin/keys/web")).status_code == 204
    assert error_of(await client.get("/admin/keys/web")) == (404, "not_found", None)


async def test_without_a_body_a_key_gets_an_id_and_every_default(client: httpx2.AsyncClient) -> None:
    made = (await client.post("/admin/keys")).json()
    assert made["key"]["id"] == f"key-{digest(made['secret'])[:8]}"
    assert (made["key"]["models"], made["key"]["tenant"], made["key"]["priority"]) == (["*"], None, 5)


async def test_a_change_goes_as_deep_as_it_names_and_null_takes_away(client: httpx2.AsyncClient) -> None:
    wish = {
        "id": "web",
        "tenant": "acme",
        "limits": {"burst": 5, "concurrent": 2, "per_user": {"images_per_minute": 1}},
    }
    await client.post("/admin/keys", json=wish | {"metadata": {"a": "1", "b": "2"}, "budget": {"total": 1}})
    changes = {"limits": {"burst": None, "requests_per_minute": 9}, "metadata": {"a": None}, "budget": {"per_day": 2}}
    key = (await client.patch("/admin/keys/web", json=changes)).json()
    assert key["limits"] == {
        "requests_per_minute": 9,
        "images_per_minute": None,
        "concurrent": 2,
        "burst": None,
        "per_user": {"requests_per_minute": None, "images_per_minute": 1},
    }
    assert key["metadata"] == {"b": "2"}
    assert key["budget"] == {"per_day": 2.0, "per_month": None, "total": 1.0}
    assert key["tenant"] == "acme"
    bare = (
        await client.patch("/admin/keys/web", json=dict.fromkeys(("tenant", "limits", "budget", "metadata")))
    ).json()
    assert (bare["tenant"], bare["metadata"], set(bare["budget"].values())) == (None, {}, {None})
    assert bare["limits"]["concurrent"] is None
    assert bare["limits"]["per_user"]["images_per_minute"] is None


async def test_a_rotation_leaves_two_secrets_and_a_second_one_ends_the_oldest(client: httpx2.AsyncClient) -> None:
    first = (await client.post("/admin/keys", json={"id": "web"})).json()
    second = (await client.post("/admin/keys/web/rotate", json={"overlap": "1h"})).json()
    third = (await client.post("/admin/keys/web/rotate")).json()
    prints = [digest(one["secret"])[:8] for one in (first, second, third)]
    assert [one["fingerprint"] for one in second["key"]["secrets"]] == [prints[1], prints[0]]
    assert [one["fingerprint"] for one in third["key"]["secrets"]] == [prints[2], prints[1]]
    assert third["key"]["secrets"][0]["not_after"] is None
    at_once = (await client.post("/admin/keys/web/rotate", json={"overlap": "0s"})).json()
    assert len(at_once["key"]["secrets"]) == 1


async def test_keys_of_the_file_are_listed_and_not_touched(client: httpx2.AsyncClient) -> None:
    await client.post("/admin/keys", json={"id": "web"})
    listed = (await client.get("/admin/keys")).json()["keys"]
    assert [(key["id"], key["source"]) for key in listed][-1] == ("web", "redis")
    assert FILE_KEY in [key["id"] for key in listed if key["source"] == "file"]
    assert (await client.get(f"/admin/keys/{FILE_KEY}")).json()["source"] == "file"
    path = f"/admin/keys/{FILE_KEY}"
    for reply in (
        await client.patch(path, json={"priority": 1}),
        await client.delete(path),
        await client.post(f"{path}/rotate"),
        await client.post(f"{path}/disable"),
        await client.post("/admin/keys", json={"id": FILE_KEY}),
    ):
        assert error_of(reply) == (400, "invalid_value", "id")
    assert (await client.get("/admin/audit")).json()["entries"][-1]["key_id"] == "web"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b'{"id": "a", "id": "b"}', "duplicate_key", "id"),
        (b'{"metadata": {"a": "\\ud800"}}', "invalid_json", None),
        (b'{"colour": 1}', "unknown_parameter", "colour"),
        (b'{"limits": {"images": 1}}', "unknown_parameter", "limits.images"),
        (b'{"limits": {"burst": 0}}', "invalid_value", "limits.burst"),
        (b'{"limits": {"per_user": {"burst": 1}}}', "unknown_parameter", "limits.per_user.burst"),
        (b'{"budget": {"per_day": 0}}', "invalid_value", "budget.per_day"),
        (b'{"budget": {"total": 1e999}}', "invalid_value", "budget.total"),
        (b'{"priority": true}', "invalid_value", "priority"),
        (b'{"priority": 10}', "invalid_value", "priority"),
        (b'{"models": []}', "invalid_value", "models"),
        (b'{"models": ["dall-e-9"]}', "invalid_value", "models"),
        (b'{"tenant": "nobody"}', "invalid_value", "tenant"),
        (b'{"id": "a b"}', "invalid_value", "id"),
        (b'{"id": "a\\n"}', "invalid_value", "id"),
        (b'{"metadata": {"a b": "x"}}', "invalid_value", "metadata"),
        (b'{"metadata": {"a": "line\\nbreak"}}', "invalid_value", "metadata[...]"),
        (b'{"expires_at": "tomorrow"}', "invalid_value", "expires_at"),
        (b'{"expires_at": "2001-01-01T00:00:00Z"}', "invalid_value", "expires_at"),
        (b'{"expires_at": "9999-12-31T23:59:59-12:00"}', "invalid_value", "expires_at"),
    ],
)
async def test_a_body_that_is_not_as_documented_is_refused_by_name(
    client: httpx2.AsyncClient, body: bytes, code: str, param: str | None
) -> None:
    assert error_of(await client.post("/admin/keys", content=body)) == (400, code, param)
    assert (await client.get("/admin/audit")).json() == {"entries": [], "next": None}


async def test_at_most_sixteen_notes(client: httpx2.AsyncClient) -> None:
    await client.post("/admin/keys", json={"id": "web", "metadata": {f"n{number}": "x" for number in range(16)}})
    assert error_of(await client.patch("/admin/keys/web", json={"metadata": {"more": "x"}}))[2] == "metadata"


@pytest.mark.parametrize(
    ("overlap", "param"), [("24", "overlap"), ("8761h", "overlap"), ("-1s", "overlap"), (1, "overlap")]
)
async def test_an_overlap_that_is_no_duration_of_a_year_at_most_is_refused(
    client: httpx2.AsyncClient, overlap: object, param: str
) -> None:
    await client.post("/admin/keys", json={"id": "web"})
    reply = await client.post("/admin/keys/web/rotate", json={"overlap": overlap})
    assert error_of(reply) == (400, "invalid_value", param)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/admin/keys/nobody", (404, "not_found", None)),
        ("PATCH", "/admin/keys/nobody", (404, "not_found", None)),
        ("DELETE", "/admin/keys/nobody", (404, "not_found", None)),
        ("POST", "/admin/keys/nobody/rotate", (404, "not_found", None)),
        ("POST", "/admin/keys/nobody/enable", (404, "not_found", None)),
        ("GET", "/admin", (404, "not_found", None)),
        ("GET", "/admin/keys/..", (404, "not_found", None)),
        ("GET", "/admin/keys/a/b/c", (404, "not_found", None)),
        ("PUT", "/admin/keys", (405, "method_not_allowed", None)),
        ("GET", "/admin/keys?page=2", (400, "unknown_parameter", "query")),
        ("GET", "/admin/audit?limit=0", (400, "invalid_value", "limit")),
        ("GET", "/admin/audit?limit=1001", (400, "invalid_value", "limit")),
        ("GET", "/admin/audit?since=yesterday", (400, "invalid_value", "since")),
        ("GET", "/admin/audit?format=csv", (400, "invalid_value", "format")),
    ],
)
async def test_what_is_not_there_and_what_is_not_understood(
    client: httpx2.AsyncClient, method: str, path: str, expected: tuple[int, str, str | None]
) -> None:
    assert error_of(await client.request(method, path)) == expected


async def test_the_audit_log_is_complete_and_holds_no_secret(client: httpx2.AsyncClient) -> None:
    first = (await client.post("/admin/keys", json={"id": "web"}, headers={"x-samurai-actor": "ann@ops"})).json()
    await client.patch("/admin/keys/web", json={"priority": 9})
    second = (await client.post("/admin/keys/web/rotate", json={})).json()
    await client.post("/admin/keys/web/disable")
    await client.post("/admin/keys/web/enable")
    await client.delete("/admin/keys/web")
    reply = await client.get("/admin/audit")
    entries = reply.json()["entries"]
    assert [one["action"] for one in entries] == ["create", "update", "rotate", "disable", "enable", "delete"]
    assert [one["who"] for one in entries] == ["ann@ops"] + ["admin"] * 5
    assert {one["key_id"] for one in entries} == {"web"}
    assert (entries[1]["before"]["priority"], entries[1]["after"]["priority"]) == (5, 9)
    for before, after in pairwise(entries):
        assert before["after"] == after["before"]
    for one in (first, second):
        assert one["secret"] not in reply.text
        assert digest(one["secret"]) not in reply.text
    page = (await client.get("/admin/audit?limit=2")).json()
    rest = await client.get(f"/admin/audit?format=jsonl&since={page['next']}")
    assert rest.headers["content-type"].startswith("application/x-ndjson")
    assert page["entries"] + [json.loads(line) for line in rest.text.splitlines()] == entries
    assert (await client.get(f"/admin/audit?since={entries[0]['at']}")).json()["entries"] == entries


async def test_an_actor_is_a_plain_name(client: httpx2.AsyncClient) -> None:
    reply = await client.get("/admin/keys", headers={"x-samurai-actor": "two words"})
    assert error_of(reply) == (400, "invalid_value", "x-samurai-actor")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
async def test_nobody_else_is_let_in(client: httpx2.AsyncClient, authorization: str) -> None:
    reply = await client.get("/admin/keys", headers={"authorization": authorization})
    status, code, _ = error_of(reply)
    assert (status, code in ("missing_api_key", "invalid_api_key")) == (401, True)
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_guessing_is_slowed_down_and_the_right_token_always_passes(client: httpx2.AsyncClient) -> None:
    codes = [(await client.get("/admin/keys", headers={"authorization": "Bearer no"})).status_code for _ in range(25)]
    assert codes == [401] * 20 + [429] * 5
    assert (await client.get("/admin/keys")).status_code == 200


async def test_without_a_token_in_the_configuration_there_is_no_administration(tmp_path: Path, valkey: Server) -> None:
    off = load_text(FULL.replace(", token: {env: ADMIN_TOKEN}", ""), tmp_path)
    async with desk(off, valkey.url) as client:
        assert error_of(await client.get("/admin/keys")) == (404, "not_found", None)


async def test_while_redis_is_away_nothing_is_changed_and_that_is_said(configuration: Settings) -> None:
    with running_server(valkey_binary()) as server:
        async with desk(configuration, server.url) as client:
            await client.post("/admin/keys", json={"id": "web"})
            server.kill()
            read, write = await client.get("/admin/keys/web"), await client.post("/admin/keys/web/disable")
    assert error_of(read) == error_of(write) == (500, "internal_error", None)
    assert (read.headers["x-should-retry"], write.headers["x-should-retry"]) == ("true", "false")


names = st.sampled_from(
    ["id", "tenant", "models", "limits", "budget", "priority", "metadata", "expires_at", "overlap", "per_user"]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(EDGES) | st.text(max_size=5) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
bodies = st.binary(max_size=60) | st.dictionaries(names, values, max_size=4).map(lambda one: json.dumps(one).encode())
calls = st.sampled_from([("POST", ""), ("PATCH", "/web"), ("POST", "/web/rotate"), ("POST", "/web/disable")])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls, bodies)
def test_no_body_breaks_it(configuration: Settings, valkey: Server, call: tuple[str, str], body: bytes) -> None:
    async def send() -> None:
        async with desk(configuration, valkey.url) as client:
            await client.post("/admin/keys", json={"id": "web"})
            method, path = call
            reply = await client.request(method, f"/admin/keys{path}", content=body)
            assert reply.status_code in (200, 201, 400)
            if reply.status_code == 400:
                error_of(reply)
            for path in ("/admin/keys", "/admin/audit"):
                assert (await client.get(path)).status_code == 200

    asyncio.run(send())

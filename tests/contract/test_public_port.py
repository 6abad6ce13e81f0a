"""Links, models, documents, and what the ports refuse."""

from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.processes import Running


@pytest.fixture(scope="module")
def link(running: Running) -> str:
    reply = httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {running.key}"},
        json={"model": "flux-schnell", "prompt": "a link", "size": "256x256"},
    ).raise_for_status()
    return str(reply.json()["data"][0]["url"])


def test_a_link_opens_its_image_without_a_key(link: str) -> None:
    reply = httpx2.get(link)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "private" in reply.headers["cache-control"]
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert reply.content.startswith(b"\x89PNG")


def test_head_tells_the_same_without_the_image(link: str) -> None:
    whole, head = httpx2.get(link), httpx2.head(link)
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["etag"] == whole.headers["etag"]


def test_an_image_that_is_known_already_is_not_sent_again(link: str) -> None:
    etag = httpx2.head(link).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        assert httpx2.get(link, headers={"if-none-match": known}).status_code == 304
    assert httpx2.get(link, headers={"if-none-match": '"other"'}).status_code == 200


def test_a_single_range_is_served_and_an_impossible_one_refused(link: str) -> None:
    whole = httpx2.get(link).content
    part = httpx2.get(link, headers={"range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, whole[8:16])
    assert part.headers["content-range"] == f"bytes 8-15/{len(whole)}"
    assert httpx2.get(link, headers={"range": "bytes=99999999-"}).status_code == 416
    assert httpx2.get(link, headers={"range": "bytes=0-1", "if-range": '"other"'}).status_code == 200
    assert httpx2.head(link, headers={"range": "bytes=0-1"}).status_code == 200
    assert httpx2.get(link, headers={"range": "bytes=0-0," * 5000 + "1-1"}).status_code == 400
    assert httpx2.get(link, headers={"range": "bytes=0-0,2-3"}).content == whole


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("signature=", "signature=A"),
        lambda url: url.replace("expires=", "expires=1"),
        lambda url: url.partition("?")[0],
        lambda url: url.replace(".png", ".webp"),
        lambda url: url.replace("/files/2", "/files/..%2f2"),
        lambda url: url.replace("expires=", "expires=x"),
    ],
)
def test_every_wrong_link_is_just_not_found(link: str, change: object) -> None:
    assert callable(change)
    reply = httpx2.get(change(link))
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"


def test_a_link_lives_a_day(link: str) -> None:
    expires = int(parse_qs(urlsplit(link).query)["expires"][0])
    made = parsedate_to_datetime(httpx2.head(link).headers["last-modified"]).timestamp()
    assert 86_390 < expires - made < 86_410


def test_models_are_listed_in_openais_shape_with_what_they_can_do(running: Running) -> None:
    listed = httpx2.get(f"{running.base_url}/v1/models", headers={"authorization": f"Bearer {running.key}"}).json()
    assert listed["object"] == "list"
    assert {entry["id"] for entry in listed["data"]} == {
        "flux-schnell",
        "flux-1.1-pro",
        "dall-e-3",
        "ideogram-v3",
        "imagen-3",
    }
    for entry in listed["data"]:
        assert {"id", "object", "created", "owned_by", "capabilities"} <= set(entry)
        one = httpx2.get(
            f"{running.base_url}/v1/models/{entry['id']}", headers={"authorization": f"Bearer {running.key}"}
        )
        assert one.json() == entry


def test_an_unknown_model_is_not_found_and_a_key_is_needed(running: Running) -> None:
    keyed = {"authorization": f"Bearer {running.key}"}
    assert httpx2.get(f"{running.base_url}/v1/models/none", headers=keyed).json()["error"]["code"] == "model_not_found"
    assert httpx2.get(f"{running.base_url}/v1/models").status_code == 401


def test_the_documents_can_be_read_without_a_key_and_lead_to_each_other(running: Running) -> None:
    index = httpx2.get(f"{running.base_url}/llms.txt").raise_for_status().text
    assert index.startswith("# ")
    pages = [part.split(")")[0] for part in index.split("](")[1:]]
    assert pages
    for page in pages:
        reply = httpx2.get(page if page.startswith("http") else running.base_url + page)
        assert reply.status_code == (401 if "/v1/" in page else 200)
    assert httpx2.get(f"{running.base_url}/openapi.json").json()["openapi"].startswith("3.1")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/images", "/healthz", "/metrics", "/readyz", "/admin"])
def test_what_is_not_public_is_not_found(running: Running, path: str) -> None:
    reply = httpx2.get(running.base_url + path)
    assert reply.status_code == 404
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
def test_another_method_is_told_the_right_one(running: Running, method: str) -> None:
    reply = httpx2.request(method, f"{running.base_url}/v1/images/generations")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


def test_health_readiness_and_metrics_live_on_the_second_port(running: Running) -> None:
    assert httpx2.get(f"{running.admin_url}/healthz").json() == {"status": "ok"}
    ready = httpx2.get(f"{running.admin_url}/readyz").json()
    configuration = ready.pop("configuration")
    assert (configuration["loaded"], configuration["last_change"]) == (1, "ok")
    assert ready == {"status": "ready", "checks": {"redis": "ok", "redis_policy": "ok", "store": "ok"}}
    metrics = httpx2.get(f"{running.admin_url}/metrics").text
    assert 'samurai_requests_total{code="ok",model="flux-schnell",status="200"}' in metrics


def test_many_wrong_keys_from_one_address_are_throttled_and_a_right_one_still_passes(running: Running) -> None:
    wrong = {"authorization": "Bearer sk-guess"}
    replies = [httpx2.get(f"{running.base_url}/v1/models", headers=wrong) for _ in range(25)]
    assert {reply.status_code for reply in replies} == {401, 429}
    assert replies[-1].json()["error"]["code"] == "too_many_attempts"
    assert int(replies[-1].headers["retry-after"]) >= 1
    right = {"authorization": f"Bearer {running.key}"}
    assert httpx2.get(f"{running.base_url}/v1/models", headers=right).status_code == 200


@pytest.mark.parametrize("field", ["x-request-id"])
def test_a_well_formed_request_id_is_kept_and_another_replaced(running: Running, field: str) -> None:
    kept = httpx2.get(f"{running.base_url}/llms.txt", headers={field: "abc-123"})
    replaced = httpx2.get(f"{running.base_url}/llms.txt", headers={field: "a b\tc"})
    assert kept.headers[field] == "abc-123"
    assert replaced.headers[field].startswith("req_")

"""Downloads: ranges, validators, versions, names, checksums, and what nobody gets."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import pytest

from headwater.contracts.files import content as content_reading
from tests.support.content import KIB, MIB, content_of, make_file, make_share
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CONTENT = content_of(200 * KIB)
LAST = len(CONTENT) - 1


@pytest.fixture
def share(client: Client) -> str:
    return make_share(client)


@pytest.fixture
def file(client: Client, share: str) -> str:
    return str(make_file(client, share, "/a.bin", CONTENT)["resource_id"])


def path_of(file: str, query: str = "") -> str:
    return f"/api/v1/sync/download/{file}{query}"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=70000-140000", 70_000, 140_000),
        ("bytes=100-", 100, LAST),
        ("bytes=-5", LAST - 4, LAST),
        ("bytes=-9999999", 0, LAST),
        ("bytes=5-99999999999999999999", 5, LAST),
    ],
)
def test_a_range_is_served_exactly(client: Client, file: str, asked: str, first: int, last: int) -> None:
    answer = client.get(path_of(file), headers={"range": asked})
    assert (answer.status, answer.body) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-3", "lines=1-2", "bytes=-"])
def test_a_range_that_is_not_one_gives_the_whole(client: Client, file: str, asked: str) -> None:
    answer = client.get(path_of(file), headers={"range": asked})
    assert (answer.status, answer.body) == (200, CONTENT)


def test_a_range_outside_is_416_with_the_length(client: Client, file: str) -> None:
    answer = client.get(path_of(file), headers={"range": f"bytes={len(CONTENT)}-"})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_query_ranges_include_both_ends_and_must_agree_with_the_header(client: Client, file: str) -> None:
    answer = client.get(path_of(file, "?range_start=5&range_end=9"))
    assert (answer.status, answer.body) == (206, CONTENT[5:10])
    same = client.get(path_of(file, "?range_start=5&range_end=9"), headers={"range": "bytes=5-9"})
    assert (same.status, same.body) == (206, CONTENT[5:10])
    assert client.get(path_of(file, "?range_start=5"), headers={"range": "bytes=6-"}).status == 400
    assert client.get(path_of(file, "?range_start=x")).status == 422


def test_validators_hold_a_version_against_the_one_the_caller_has(client: Client, file: str) -> None:
    tag = client.get(path_of(file)).headers["etag"]
    assert not tag.startswith("W/")
    fresh = client.get(path_of(file), headers={"if-none-match": f'"other", {tag}'})
    assert (fresh.status, fresh.body, fresh.headers["etag"]) == (304, b"", tag)
    held = client.get(path_of(file), headers={"range": "bytes=0-3", "if-range": tag})
    assert held.status == 206
    other = client.get(path_of(file), headers={"range": "bytes=0-3", "if-range": '"ver_other"'})
    assert (other.status, other.body) == (200, CONTENT)


def test_head_says_what_get_would_without_the_bytes(client: Client, file: str) -> None:
    head, get = client.request("HEAD", path_of(file)), client.get(path_of(file))
    assert (head.status, head.body) == (200, b"")
    for name in ("etag", "content-length", "content-type", "accept-ranges", "content-disposition"):
        assert head.headers[name] == get.headers[name]


def test_a_version_is_named_by_number_or_by_id(client: Client, share: str) -> None:
    one = make_file(client, share, "/v.txt", b"one")
    two = make_file(client, share, "/v.txt", b"two")
    file = one["resource_id"]
    for version, content in (("1", b"one"), ("2", b"two"), (one["version_id"], b"one"), (two["version_id"], b"two")):
        assert client.get(path_of(file, f"?version={version}")).body == content
    assert client.get(path_of(file)).body == b"two"
    other = make_file(client, share, "/w.txt", b"three")
    for version in ("3", "0", "ver_unknown", other["version_id"], "9" * 30):
        assert client.get(path_of(file, f"?version={version}")).status == 404


def test_the_checksum_is_worked_out_when_it_is_asked_for_and_then_kept(client: Client, file: str) -> None:
    digest = hashlib.sha256(CONTENT).digest()
    expected = "sha-256=:" + base64.b64encode(digest).decode() + ":"
    assert "repr-digest" not in client.get(path_of(file)).headers
    asked = client.get(path_of(file), headers={"want-repr-digest": "sha-256=5", "range": "bytes=0-1"})
    assert asked.headers["repr-digest"] == expected
    assert client.get(path_of(file)).headers["repr-digest"] == expected


def test_a_checksum_that_many_ask_for_at_once_is_computed_once(
    client: Client, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    sha256_of = content_reading.sha256_of

    def counted(*asked: Any) -> str:
        computed.append(1)
        time.sleep(0.05)
        return sha256_of(*asked)

    monkeypatch.setattr(content_reading, "sha256_of", counted)
    answers = client.together([("GET", path_of(file, "?checksum=sha256"), {})] * 20)
    assert {answer.headers["x-checksum-sha256"] for answer in answers} == {hashlib.sha256(CONTENT).hexdigest()}
    assert len(computed) == 1


def test_the_name_is_always_an_attachment_and_never_a_header_of_its_own(client: Client) -> None:
    share = make_share(client, portable_names=False)
    made = make_file(client, share, '/résumé "1";x=y.html', b"<script>", mime_type="text/html")
    answer = client.get(path_of(made["resource_id"]))
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''r%C3%A9sum%C3%A9" in answer.headers["content-disposition"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_file_in_the_trash_is_not_downloaded_nor_is_one_below_a_trashed_folder(client: Client, share: str) -> None:
    made = make_file(client, share, "/deep/down/a.txt", b"x")
    file = made["resource_id"]
    folder = client.get(f"/api/v1/shares/{share}/node?path=/deep").json()["id"]
    assert client.get(path_of(folder)).status == 422
    client.delete(f"/api/v1/shares/{share}/nodes/{folder}")
    assert client.get(path_of(file)).status == 404
    client.post(f"/api/v1/shares/{share}/nodes/{folder}/restore")
    assert client.get(path_of(file)).status == 200
    client.delete(f"/api/v1/shares/{share}/nodes/{file}")
    assert client.get(path_of(file)).status == 404


def test_only_readers_of_the_share_learn_that_a_file_exists(server: ServerUnderTest, share: str, file: str) -> None:
    assert server.caller("other", "org_admin").get(path_of(file)).status == 404
    member = server.caller(role="peer_mentor")
    assert member.get(path_of(file)).status == 404
    server.client.put(
        f"/api/v1/shares/{share}/members", json={"members": [{"kind": "role", "id": "peer_mentor", "access": "READ"}]}
    )
    assert member.get(path_of(file)).status == 200
    assert server.public.get(path_of(file)).status == 401
    assert server.client.get(path_of("fil_unknown")).status == 404
    server.client.delete(f"/api/v1/shares/{share}")
    assert server.client.get(path_of(file)).status == 404


def test_a_file_of_many_chunks_comes_back_whole_and_lists_its_chunks(client: Client, share: str) -> None:
    content = content_of(9 * MIB, 3)
    made = make_file(client, share, "/big.bin", content, chunk_bytes=6 * MIB)
    assert client.get(path_of(made["resource_id"])).body == content
    at = 5 * MIB
    assert client.get(path_of(made["resource_id"]), headers={"range": f"bytes={at}-"}).body == content[at:]
    listed = client.get(path_of(made["resource_id"], "/chunks")).json()
    assert sum(chunk["size"] for chunk in listed["chunks"]) == len(content)
    assert len(listed["chunks"]) > 4

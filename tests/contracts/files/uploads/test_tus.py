"""tus 1.0 by its own words, and with a published client that loses its connection."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
from typing import Any

import pytest
from tusclient.client import TusClient

from headwater.base.errors import Unavailable
from headwater.base.settings.table import FileSettings, Settings
from headwater.contracts.files.uploads import rules as upload_rules
from headwater.contracts.files.uploads import tus_receiver
from tests.support.content import KIB, MIB, begin, content_of, make_file, make_share
from tests.support.server.asgi import Answer, Client
from tests.support.server.live import LiveServer
from tests.support.server.serving import ServerUnderTest

TUS = {"tus-resumable": "1.0.0"}
BODY = {**TUS, "content-type": "application/offset+octet-stream"}


@pytest.fixture
def share(client: Client) -> str:
    return make_share(client)


def metadata(**pairs: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


def create(client: Client, size: int | None, body: bytes | None = None, **pairs: str) -> Answer:
    headers = {**(TUS if body is None else BODY), "upload-metadata": metadata(**pairs)}
    headers |= {"upload-defer-length": "1"} if size is None else {"upload-length": str(size)}
    return client.post("/api/v1/uploads", headers=headers, **({} if body is None else {"content": body}))


def patch(client: Client, location: str, offset: int, body: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(location, content=body, headers={**BODY, "upload-offset": str(offset), **named})


def offset_of(client: Client, location: str) -> int:
    answer = client.request("HEAD", location, headers=TUS)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def test_options_says_what_is_spoken(server: ServerUnderTest) -> None:
    answer = server.public.request("OPTIONS", "/api/v1/uploads")
    assert answer.status == 204
    assert (answer.headers["tus-version"], answer.headers["tus-resumable"]) == ("1.0.0", "1.0.0")
    assert answer.headers["tus-max-size"] == str(server.settings.files.file_bytes)
    assert {"creation", "expiration", "termination", "checksum"} <= set(answer.headers["tus-extension"].split(","))


def test_bytes_go_on_at_the_offset_and_the_file_appears_at_the_end(client: Client, share: str) -> None:
    content = content_of(100 * KIB)
    made = create(client, len(content), share_id=share, path="docs/t.bin", filetype="image/png")
    assert (made.status, made.headers["tus-resumable"]) == (201, "1.0.0")
    assert "upload-expires" in made.headers
    location = made.headers["location"]
    first = patch(client, location, 0, content[: 40 * KIB])
    assert (first.status, first.headers["upload-offset"]) == (204, str(40 * KIB))
    assert offset_of(client, location) == 40 * KIB
    wrong = patch(client, location, 0, b"x")
    assert wrong.problem() == (409, "OFFSET_MISMATCH")
    assert (wrong.json()["offset"], wrong.headers["tus-resumable"]) == (40 * KIB, "1.0.0")
    last = patch(client, location, 40 * KIB, [content[40 * KIB :]])
    assert last.headers["upload-offset"] == str(len(content))
    answer = client.get(f"/api/v1/sync/download/{last.headers['x-resource-id']}")
    assert (answer.body, answer.headers["content-type"]) == (content, "image/png")
    assert (
        client.get(f"/api/v1/shares/{share}/node?path=/docs/t.bin").json()["version_id"] == last.headers["x-version-id"]
    )
    assert offset_of(client, location) == len(content)
    assert patch(client, location, len(content), b"").status == 204


def test_a_creation_may_carry_bytes_and_an_empty_upload_is_complete_at_once(client: Client, share: str) -> None:
    content = content_of(10)
    begun = create(client, 10, content[:4], share_id=share, filename="w.bin")
    assert (begun.status, begun.headers["upload-offset"]) == (201, "4")
    assert patch(client, begun.headers["location"], 4, content[4:]).status == 204
    whole = create(client, 10, content, share_id=share, filename="v.bin")
    assert (whole.status, whole.headers["upload-offset"]) == (201, "10")
    empty = create(client, 0, share_id=share, filename="empty")
    assert "x-resource-id" in empty.headers
    names = [node["name"] for node in client.get(f"/api/v1/shares/{share}/children").json()["data"]]
    assert names == ["empty", "v.bin", "w.bin"]


@pytest.mark.parametrize(
    ("content", "more", "status"),
    [
        (bytes(70), {}, 413),
        ([bytes(30), bytes(40)], {}, 413),
        (bytes(60), {"upload-checksum": "sha256 " + "A" * 43 + "="}, 460),
    ],
)
def test_a_refused_creation_reserves_no_room(client: Client, content: Any, more: dict[str, str], status: int) -> None:
    share = make_share(client, quota_bytes=100)
    headers = {**BODY, "upload-length": "60", **more}
    refused = client.post(f"/api/v1/uploads?share_id={share}", content=content, headers=headers)
    assert (refused.status, "location" in refused.headers) == (status, False)
    assert create(client, 100, share_id=share).status == 201


@pytest.mark.sqlite_only
def test_a_refused_creation_tells_why_also_when_it_cannot_be_cleaned_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(upload_rules, "drop", fail)
    headers = {**BODY, "upload-length": "60", "upload-checksum": "sha256 " + "A" * 43 + "="}
    path = f"/api/v1/uploads?share_id={make_share(client)}"
    assert client.post(path, content=bytes(60), headers=headers).status == 460


def test_the_length_may_come_later(client: Client, share: str) -> None:
    made = create(client, None, share_id=share, path="/later.bin")
    location = made.headers["location"]
    assert patch(client, location, 0, b"abc").status == 204
    head = client.request("HEAD", location, headers=TUS)
    assert (head.headers["upload-defer-length"], "upload-length" in head.headers) == ("1", False)
    done = patch(client, location, 3, b"def", upload_length="6")
    assert client.get(f"/api/v1/sync/download/{done.headers['x-resource-id']}").body == b"abcdef"


def test_without_metadata_the_query_names_the_share_and_the_version_is_staged(client: Client, share: str) -> None:
    answer = client.post(f"/api/v1/uploads?share_id={share}", headers={**TUS, "upload-length": "3"})
    assert answer.status == 201
    done = patch(client, answer.headers["location"], 0, b"abc")
    assert "x-version-id" in done.headers
    assert "x-resource-id" not in done.headers
    assert client.get(answer.headers["location"]).json()["version_id"] == done.headers["x-version-id"]
    assert client.post("/api/v1/uploads", headers={**TUS, "upload-length": "3"}).status == 422


def test_a_checksum_holds_for_its_request_alone(client: Client, share: str) -> None:
    made = create(client, 6, share_id=share, path="/sum")
    location = made.headers["location"]
    for name in ("sha256", "sha1", "md5"):
        wrong = base64.b64encode(hashlib.new(name, b"other", usedforsecurity=False).digest()).decode()
        assert patch(client, location, 0, b"abc", upload_checksum=f"{name} {wrong}").status == 460
    assert offset_of(client, location) == 0
    right = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
    assert patch(client, location, 0, b"abc", upload_checksum=f"sha256 {right}").status == 204
    assert patch(client, location, 3, b"def", upload_checksum="crc32 AAAA").status == 400


def test_a_whole_checksum_in_the_metadata_is_compared_at_the_end(client: Client, share: str) -> None:
    wrong = create(client, 3, share_id=share, path="/x", checksum_sha256="0" * 64).headers["location"]
    assert patch(client, wrong, 0, b"abc").problem() == (422, "CHECKSUM_MISMATCH")
    assert client.get(wrong).status == 404
    right = create(client, 3, share_id=share, path="/x", checksum_sha256=hashlib.sha256(b"abc").hexdigest())
    assert patch(client, right.headers["location"], 0, b"abc").status == 204


def test_termination_and_expiry_end_an_upload(server: ServerUnderTest, share: str) -> None:
    client = server.client
    location = create(client, 10, share_id=share).headers["location"]
    assert client.delete(location, headers=TUS).status == 204
    assert client.request("HEAD", location, headers=TUS).status == 404
    location = create(client, 10, share_id=share).headers["location"]
    server.clock.advance(server.settings.files.upload_idle_seconds)
    assert patch(client, location, 0, b"x").status == 410


def test_what_is_not_tus_is_refused_in_its_words(client: Client, share: str) -> None:
    location = create(client, 10, share_id=share).headers["location"]
    old = patch(client, location, 0, b"x", tus_resumable="0.2.2")
    assert (old.status, old.headers["tus-version"]) == (412, "1.0.0")
    plain = client.patch(location, content=b"x", headers={**TUS, "upload-offset": "0", "content-type": "text/plain"})
    assert plain.status == 415
    assert patch(client, location, 0, bytes(11)).status == 413
    assert patch(client, location, 0, [bytes(11)]).status == 413
    assert client.patch(location, content=b"x", headers=BODY).status == 400
    for broken in ("share_id ?", "path " + base64.b64encode(b"\xff").decode()):
        headers = {**TUS, "upload-length": "1", "upload-metadata": broken}
        assert client.post("/api/v1/uploads", headers=headers).status == 400
    session = begin(client, share, 10)
    assert patch(client, f"/api/v1/uploads/{session['session_id']}", 0, b"x").problem() == (409, "UPLOAD_HAS_CHUNKS")
    assert client.put(f"{location}/chunks/0", content=b"x").problem() == (409, "UPLOAD_IS_TUS")


def test_a_commit_that_cannot_be_made_leaves_the_version_staged_and_says_why(client: Client, share: str) -> None:
    client.post(f"/api/v1/shares/{share}/folders", json={"path": "/taken"})
    done = create(client, 3, b"abc", share_id=share, path="/taken")
    assert (done.status, done.headers["x-commit-error"]) == (201, "NAME_TAKEN")
    assert done.headers["x-version-id"].startswith("ver_")


class TestQuota:
    """tus keeps to the quotas that sessions keep to."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(files=FileSettings(file_bytes=MIB, quota_share_bytes=100))

    def test_a_length_over_the_room_is_refused_when_it_is_known(self, client: Client, share: str) -> None:
        assert create(client, 101, share_id=share).status == 507
        assert create(client, MIB + 1, share_id=share).status == 413
        location = create(client, None, share_id=share).headers["location"]
        assert patch(client, location, 0, bytes(60)).status == 204
        assert patch(client, location, 60, b"", upload_length="101").status == 507
        assert patch(client, location, 60, bytes(41)).status == 507
        assert patch(client, location, 60, bytes(40), upload_length="100").status == 204


class TestLive:
    """Over a real connection."""

    pytestmark = pytest.mark.sqlite_only

    def test_a_cut_request_keeps_what_arrived_and_the_upload_goes_on_there(
        self, live_server: LiveServer, share: str
    ) -> None:
        client = live_server.under.client
        content = content_of(3 * MIB)
        location = create(client, len(content), share_id=share, path="/cut.bin").headers["location"]
        head = _request_head(live_server, location, len(content))
        with socket.create_connection((live_server.host, live_server.port)) as connection:
            connection.sendall(head + content[: 2 * MIB])
        offset = _settled_offset(client, location)
        assert 0 < offset <= 2 * MIB
        done = patch(client, location, offset, content[offset:])
        assert done.status == 204
        assert client.get(f"/api/v1/sync/download/{done.headers['x-resource-id']}").body == content

    def test_a_later_request_takes_over_from_one_that_hangs_and_loses_nothing_it_had(
        self, live_server: LiveServer, share: str
    ) -> None:
        client = live_server.under.client
        content = content_of(2 * MIB)
        location = create(client, len(content), share_id=share, path="/hang.bin").headers["location"]
        with socket.create_connection((live_server.host, live_server.port)) as connection:
            connection.sendall(_request_head(live_server, location, len(content)) + content[:MIB])
            connection.settimeout(30)
            offset = _settled_offset(client, location)
            assert 0 < offset <= MIB
            assert patch(client, location, offset, content[offset:]).status == 204
            assert connection.recv(64).startswith(b"HTTP/1.1 409")

    def test_a_published_client_uploads_and_resumes_after_a_cut(self, live_server: LiveServer, share: str) -> None:
        content = content_of(5 * MIB + 3)
        tus = TusClient(f"{live_server.url}/api/v1/uploads", {"Authorization": f"Bearer {live_server.admin_token}"})
        pairs = {"share_id": share, "path": "/from/tuspy.bin"}
        first = tus.uploader(file_stream=io.BytesIO(content), chunk_size=MIB, metadata=pairs)
        first.upload_chunk()  # type: ignore[no-untyped-call]
        location = str(first.url).removeprefix(live_server.url)
        with socket.create_connection((live_server.host, live_server.port)) as connection:
            connection.sendall(
                _request_head(live_server, location, len(content) - MIB, MIB) + content[MIB : 2 * MIB + 5]
            )
        again = tus.uploader(file_stream=io.BytesIO(content), chunk_size=MIB, url=first.url)
        assert MIB <= again.offset <= 2 * MIB + 5
        again.upload()
        node = live_server.under.client.get(f"/api/v1/shares/{share}/node?path=/from/tuspy.bin").json()
        assert live_server.under.client.get(f"/api/v1/sync/download/{node['id']}").body == content


def _request_head(live: LiveServer, location: str, length: int, offset: int = 0) -> bytes:
    lines = (
        f"PATCH {location} HTTP/1.1",
        f"host: {live.host}:{live.port}",
        f"authorization: Bearer {live.admin_token}",
        "tus-resumable: 1.0.0",
        "content-type: application/offset+octet-stream",
        f"upload-offset: {offset}",
        f"content-length: {length}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _settled_offset(client: Client, location: str) -> int:
    """The offset once the server has taken in what was sent to it: a HEAD before that finds nothing to keep."""
    for _ in range(2000):
        offset = offset_of(client, location)
        if offset:
            return offset
    raise AssertionError("nothing arrived")


def test_the_last_bytes_are_known_only_together_with_the_completion(
    client: Client, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sees the full offset believes that it is done, so nobody may see it before the upload is."""

    def busy(*_: Any) -> Any:
        raise Unavailable("too busy to complete")

    locations = [create(client, size, share_id=share, path=f"{size}.bin").headers["location"] for size in (6, None)]
    with monkeypatch.context() as patched:
        patched.setattr(upload_rules, "complete", busy)
        assert patch(client, locations[0], 0, b"no ").status == 204
        assert patch(client, locations[0], 3, b"end").status == 503
        assert patch(client, locations[1], 0, b"no").status == 204
        assert patch(client, locations[1], 2, b"", upload_length="2").status == 503
        assert [offset_of(client, location) for location in locations] == [3, 2]
        assert client.request("HEAD", locations[1], headers=TUS).headers["upload-defer-length"] == "1"
    assert patch(client, locations[0], 3, b"end").headers["x-version-id"].startswith("ver_")
    assert patch(client, locations[1], 2, b"", upload_length="2").headers["x-version-id"].startswith("ver_")
    for name, size in (("6", 6), ("None", 2)):
        assert client.get(f"/api/v1/shares/{share}/node?path=/{name}.bin").json()["size"] == size


@pytest.mark.parametrize("declared", [True, False])
def test_an_upload_of_unknown_length_is_refused_by_the_quota_before_its_bytes_are_stored(
    client: Client, server: ServerUnderTest, declared: bool
) -> None:
    share = make_share(client, quota_bytes=1000)
    make_file(client, share, "/a", content_of(600))
    location = create(client, None, share_id=share, path="t.bin").headers["location"]
    assert patch(client, location, 0, content_of(300)).status == 204
    before = sum(1 for _ in server.services.packs.listing())
    body = content_of(101) if declared else [content_of(50), content_of(51)]
    refused = patch(client, location, 300, body)
    assert refused.problem() == (507, "QUOTA_EXCEEDED")
    assert sum(1 for _ in server.services.packs.listing()) == before
    assert patch(client, location, 300, content_of(100)).status == 204
    assert patch(client, location, 400, b"!").problem() == (507, "QUOTA_EXCEEDED")
    assert client.delete(location, headers=TUS).status == 204
    assert client.get(f"/api/v1/shares/{share}").json()["used_bytes"] == 600


def test_the_requests_of_one_upload_are_bounded_because_each_is_a_row(
    client: Client, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_rules, "MAX_PARTS", 3)
    location = create(client, 5, share_id=share, path="t.bin").headers["location"]
    for offset in range(3):
        assert patch(client, location, offset, b"x").status == 204
    assert patch(client, location, 3, b"x").problem() == (413, "TOO_MANY_CHUNKS")
    assert offset_of(client, location) == 3


def test_asking_for_the_offset_writes_nothing_and_an_empty_patch_at_the_end_completes(
    server: ServerUnderTest, share: str
) -> None:
    """So that a token that may only read can ask."""
    client = server.client
    location = create(client, None, share_id=share, path="t.bin").headers["location"]
    patch(client, location, 0, b"tail")
    server.database.write_now(lambda tx: tx.run("UPDATE uploads SET size_bytes = offset_bytes"))
    assert offset_of(client, location) == 4
    assert server.database.read_now(lambda tx: tx.value("SELECT version FROM uploads")) is None
    assert client.get(f"/api/v1/shares/{share}/node?path=/t.bin").status == 404
    done = patch(client, location, 4, b"")
    assert (done.status, done.headers["upload-offset"]) == (204, "4")
    found = client.get(f"/api/v1/shares/{share}/node?path=/t.bin").json()
    assert (found["size"], found["id"]) == (4, done.headers["x-resource-id"])
    assert client.request("HEAD", location, headers=TUS).headers["x-version-id"] == done.headers["x-version-id"]


def test_a_sha256_is_compared_over_all_requests_before_the_last_bytes_are_known(client: Client, share: str) -> None:
    whole = content_of(300 * KIB)
    for given in (hashlib.sha256(whole).hexdigest(), "0" * 64):
        location = create(client, len(whole), share_id=share, path="/x", checksum_sha256=given).headers["location"]
        assert patch(client, location, 0, whole[: 200 * KIB]).status == 204
        last = patch(client, location, 200 * KIB, whole[200 * KIB :])
        if given == "0" * 64:
            assert last.problem() == (422, "CHECKSUM_MISMATCH")
            assert client.get(location).status == 404
        else:
            file = last.headers["x-resource-id"]
            assert client.get(f"/api/v1/sync/download/{file}").body == whole


class TestLongBody:
    """A long body is received in parts."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(files=FileSettings(chunk_min_bytes=4 * KIB, chunk_avg_bytes=16 * KIB, chunk_max_bytes=32 * KIB))

    def test_a_body_is_recorded_part_by_part_and_its_checksum_still_covers_all_of_it(
        self, server: ServerUnderTest, share: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tus_receiver, "PART_BYTES", 64 * KIB)
        client, whole = server.client, content_of(300 * KIB)
        pieces = [whole[at : at + 32 * KIB] for at in range(0, len(whole), 32 * KIB)]
        given = hashlib.sha256(whole).hexdigest()
        location = create(client, len(whole), share_id=share, path="/x", checksum_sha256=given).headers["location"]
        done = patch(client, location, 0, pieces)
        assert client.get(f"/api/v1/sync/download/{done.headers['x-resource-id']}").body == whole
        # The bytes after the last boundary of a part wait for the next one; the fifth part ends the body.
        assert len(list(server.services.packs.listing())) == 5
        wrong = "sha256 " + base64.b64encode(bytes(32)).decode()
        other = create(client, len(whole), share_id=share).headers["location"]
        assert patch(client, other, 0, pieces, upload_checksum=wrong).status == 460
        assert offset_of(client, other) == 0
        assert len(list(server.services.packs.listing())) == 5


@pytest.mark.parametrize(("sent", "is_kept"), [("1601-01-01T00:00:00Z", True), ("2106-02-07T06:28:16Z", False)])
def test_the_last_answer_carries_the_stored_time(client: Client, share: str, sent: str, is_kept: bool) -> None:
    location = create(client, 3, share_id=share, path="/t.txt", modified_at=sent).headers["location"]
    done = patch(client, location, 0, b"abc")
    assert (done.headers["x-modified-at"] == sent) is is_kept
    found = client.get(f"/api/v1/shares/{share}/node?path=/t.txt").json()
    assert found["modified_at"] == done.headers["x-modified-at"]
    assert "x-modified-at" not in create(client, 3, share_id=share, path="/u.txt").headers

"""Upload sessions: chunks in any order and in parallel, progress, completion, refusals with the right numbers."""

from __future__ import annotations

import hashlib

import pytest
from blake3 import blake3

from headwater.base.settings.table import FileSettings, Settings
from tests.support.content import (
    KIB,
    begin,
    chunk_path,
    complete,
    content_of,
    make_file,
    make_share,
    send,
    upload,
)
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

DAY_SECONDS = 86_400


@pytest.fixture
def share(client: Client) -> str:
    return make_share(client)


def test_chunks_in_reverse_order_make_the_file_that_is_downloaded(client: Client, share: str) -> None:
    content = content_of(300 * KIB + 17)
    session = begin(client, share, len(content), path="/a/b/data.bin", commit=True, mime_type="application/x-thing")
    assert session["total_chunks"] == 5
    send(client, session, content)
    done = complete(client, session).json()
    assert (done["status"], done["path"], done["version_number"]) == ("created", "/a/b/data.bin", 1)
    answer = client.get(f"/api/v1/sync/download/{done['resource_id']}")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-type"] == "application/x-thing"
    assert answer.headers["content-disposition"] == 'attachment; filename="data.bin"'
    assert answer.headers["etag"] == f'"{done["version_id"]}"'


def test_chunks_may_come_in_parallel(client: Client, share: str) -> None:
    content = content_of(40 * 16 * KIB)
    session = begin(client, share, len(content), 16 * KIB, path="/wide.bin", commit=True)
    answers = client.together(
        ("PUT", chunk_path(session, number), {"content": content[number * 16 * KIB : (number + 1) * 16 * KIB]})
        for number in range(40)
    )
    assert {answer.status for answer in answers} == {200}
    done = complete(client, session).json()
    assert client.get(f"/api/v1/sync/download/{done['resource_id']}").body == content


def test_each_chunk_answers_with_its_own_blake3(client: Client, share: str) -> None:
    content = content_of(64 * KIB + 5)
    session = begin(client, share, len(content))
    answer = client.put(chunk_path(session, 1), content=content[64 * KIB :])
    assert answer.json()["blake3"] == blake3(content[64 * KIB :]).hexdigest()
    wrong = client.put(chunk_path(session, 0) + "?blake3=" + "0" * 64, content=content[: 64 * KIB])
    assert wrong.problem() == (422, "CHECKSUM_MISMATCH")
    assert client.get(f"/api/v1/uploads/{session['session_id']}").json()["received_chunks"] == [1]


def test_progress_tells_what_came_and_how_much_in_a_row(client: Client, share: str) -> None:
    content = content_of(5 * 64 * KIB)
    session = begin(client, share, len(content))
    for number in (0, 1, 3):
        client.put(chunk_path(session, number), content=content[number * 64 * KIB : (number + 1) * 64 * KIB])
    progress = client.get(f"/api/v1/uploads/{session['session_id']}").json()
    assert progress["received_chunks"] == [0, 1, 3]
    assert (progress["received_bytes"], progress["offset"]) == (3 * 64 * KIB, 2 * 64 * KIB)
    assert (progress["status"], progress["total_chunks"]) == ("open", 5)


def test_a_chunk_sent_twice_counts_once_and_the_last_one_holds(client: Client, share: str) -> None:
    content = content_of(64 * KIB)
    session = begin(client, share, len(content), path="/once.bin", commit=True)
    for each in (content_of(64 * KIB, 2), content, content):
        assert client.put(chunk_path(session, 0), content=each).status == 200
    done = complete(client, session).json()
    assert client.get(f"/api/v1/sync/download/{done['resource_id']}").body == content


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [63 * KIB, 65 * KIB])
def test_a_chunk_of_another_length_is_refused_with_the_right_number(
    client: Client, share: str, size: int, chunked: bool
) -> None:
    session = begin(client, share, 2 * 64 * KIB)
    body = content_of(size)
    answer = client.put(chunk_path(session, 0), content=[body] if chunked else body)
    assert answer.problem() == (422, "CHUNK_LENGTH")
    assert answer.json()["expected_bytes"] == 64 * KIB
    assert client.get(f"/api/v1/uploads/{session['session_id']}").json()["received_bytes"] == 0


@pytest.mark.parametrize("number", ["2", "-1", "x", "99999999999999999999"])
def test_a_chunk_that_the_session_has_not_is_refused(client: Client, share: str, number: str) -> None:
    session = begin(client, share, 2 * 64 * KIB)
    answer = client.put(f"/api/v1/uploads/{session['session_id']}/chunks/{number}", content=b"x")
    assert answer.status == 422


def test_completing_too_early_names_what_is_missing(client: Client, share: str) -> None:
    content = content_of(3 * 64 * KIB)
    session = begin(client, share, len(content))
    client.put(chunk_path(session, 1), content=content[64 * KIB : 128 * KIB])
    answer = complete(client, session)
    assert answer.problem() == (409, "UPLOAD_INCOMPLETE")
    assert (answer.json()["missing_chunks"], answer.json()["received_bytes"]) == ([0, 2], 64 * KIB)


def test_completing_again_gives_the_same_version(client: Client, share: str) -> None:
    content = content_of(70 * KIB)
    session = begin(client, share, len(content), path="/same.bin", commit=True)
    send(client, session, content)
    first, again = complete(client, session).json(), complete(client, session).json()
    assert first == again
    assert first["status"] == "created"
    assert client.put(chunk_path(session, 0), content=content[: 64 * KIB]).problem() == (409, "UPLOAD_COMPLETE")


def test_completing_again_after_a_refused_commit_gives_the_same_refusal(client: Client, share: str) -> None:
    make_file(client, share, "/taken/a", b"in a folder")
    file = make_file(client, share, "/file", b"first")
    stale = {"path": "/file", "base_version_id": "ver_x"}
    for place, code in (({"path": "/taken"}, "NAME_TAKEN"), (stale, "SYNC_VERSION_STALE")):
        fields = {"share_id": share, "file_size": 5, "commit": True, **place}
        session = client.post("/api/v1/uploads", json=fields).json()
        send(client, session, b"bytes")
        first, again = complete(client, session), complete(client, session)
        assert first.problem() == again.problem() == (409, code)
        told = [{**answer.json(), "request_id": ""} for answer in (first, again)]
        assert told[0] == told[1]
        assert told[0]["staged_version_id"].startswith("ver_")
    assert client.get(f"/api/v1/sync/download/{file['resource_id']}").body == b"first"


@pytest.mark.parametrize(
    "place", [{"path": "/a/con"}, {"path": "relative"}, {"path": "/"}, {"file_name": "a/b"}, {"file_name": "x" * 300}]
)
@pytest.mark.sqlite_only
def test_a_name_that_no_commit_could_give_is_refused_before_its_bytes_come(
    client: Client, share: str, place: dict[str, str]
) -> None:
    fields = {"share_id": share, "file_size": 5, **place}
    refused = client.post("/api/v1/uploads", json={**fields, "commit": True})
    assert refused.problem() == (422, "INVALID")
    assert refused.json()["errors"][0]["field"] == next(iter(place))
    assert client.post("/api/v1/uploads", json=fields).status == 201


def test_a_given_sha256_is_verified_and_served(client: Client, share: str) -> None:
    content = content_of(100 * KIB)
    right = hashlib.sha256(content).hexdigest()
    done = upload(client, share, content, path="/sum.bin", commit=True, checksum_sha256=right.upper())
    assert done["checksum_sha256"] == right
    session = begin(client, share, len(content), checksum_sha256="0" * 64)
    send(client, session, content)
    answer = complete(client, session)
    assert answer.problem() == (422, "CHECKSUM_MISMATCH")
    assert answer.json()["found_sha256"] == right


def test_an_empty_file_needs_no_chunk(client: Client, share: str) -> None:
    done = upload(client, share, b"", path="/empty", commit=True)
    answer = client.get(f"/api/v1/sync/download/{done['resource_id']}")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


def test_without_commit_the_version_is_staged_and_no_file_appears(client: Client, share: str) -> None:
    done = upload(client, share, content_of(10), path="/later.bin")
    assert (done["status"], done["resource_id"]) == ("staged", None)
    assert done["version_id"].startswith("ver_")
    assert client.get(f"/api/v1/shares/{share}/children").json()["data"] == []


def test_a_second_content_updates_the_file_and_equal_content_changes_nothing(client: Client, share: str) -> None:
    one = upload(client, share, b"one", path="/x.txt", commit=True)
    two = upload(client, share, b"two", path="/X.TXT", commit=True, base_version_id=one["version_id"])
    same = upload(client, share, b"two", path="/x.txt", commit=True)
    assert [done["status"] for done in (one, two, same)] == ["created", "updated", "unchanged"]
    assert one["resource_id"] == two["resource_id"] == same["resource_id"]
    assert same["version_id"] == two["version_id"]
    assert client.get(f"/api/v1/sync/download/{one['resource_id']}?version=1").body == b"one"


def test_a_commit_on_an_old_base_is_refused_and_the_version_stays_staged(client: Client, share: str) -> None:
    one = upload(client, share, b"one", path="/x.txt", commit=True)
    upload(client, share, b"two", path="/x.txt", commit=True)
    session = begin(client, share, 5, path="/x.txt", commit=True, base_version_id=one["version_id"])
    send(client, session, b"three")
    answer = complete(client, session)
    assert answer.problem() == (409, "SYNC_VERSION_STALE")
    assert answer.json()["staged_version_id"].startswith("ver_")
    assert client.get(f"/api/v1/sync/download/{one['resource_id']}").body == b"two"


def test_a_file_is_put_into_a_folder_by_its_id(client: Client, share: str) -> None:
    folder = client.post(f"/api/v1/shares/{share}/folders", json={"path": "/Minutes"}).json()["id"]
    done = upload(client, share, b"x", folder_id=folder, file_name="may.txt", commit=True)
    assert done["path"] == "/Minutes/may.txt"
    wrong = {"share_id": share, "file_size": 1, "folder_id": "fld_none", "file_name": "x", "commit": True}
    assert client.post("/api/v1/uploads", json=wrong).status == 404
    nowhere = {"share_id": share, "file_size": 1, "commit": True}
    assert client.post("/api/v1/uploads", json=nowhere).status == 422


def test_a_file_goes_into_a_folder_only_where_its_path_can_be_sent_and_is_edited_wherever_it_is(
    client: Client, share: str
) -> None:
    """The folder's path has 4,018 bytes; a path has at most 4,096."""
    top = client.post(f"/api/v1/shares/{share}/folders", json={"path": "/a"}).json()["id"]
    deep = {"path": "/a/" + "/".join(["n" * 250] * 16), "parents": True}
    folder = client.post(f"/api/v1/shares/{share}/folders", json=deep).json()["id"]
    into = {"folder_id": folder, "commit": True}
    session = begin(client, share, 1, file_name="x" * 78, **into)
    send(client, session, b"1")
    answer = complete(client, session)
    assert (answer.status, answer.json()["errors"][0]["code"]) == (422, "path_too_long")
    assert answer.json()["staged_version_id"].startswith("ver_")
    made = upload(client, share, b"2", file_name="x" * 77, **into)
    assert (made["status"], len(made["path"])) == ("created", 4096)
    assert client.patch(f"/api/v1/shares/{share}/nodes/{top}", json={"name": "longer"}).status == 200
    edited = upload(client, share, b"3", file_name="x" * 77, **into)
    assert (edited["status"], edited["resource_id"]) == ("updated", made["resource_id"])


def test_an_unknown_foreign_or_given_up_upload_is_not_found(server: ServerUnderTest, share: str) -> None:
    client = server.client
    session = begin(client, share, 3)
    path = f"/api/v1/uploads/{session['session_id']}"
    assert server.caller("other").get(path).status == 404
    assert server.caller().get(path).status == 404
    assert client.get("/api/v1/uploads/upl_unknown").status == 404
    assert client.delete(path).status == 204
    assert client.get(path).status == 404


def test_reading_members_cannot_upload(server: ServerUnderTest, share: str) -> None:
    reader = server.caller(role="peer_mentor")
    fields = {"share_id": share, "file_size": 3}
    assert reader.post("/api/v1/uploads", json=fields).status == 404
    server.client.put(
        f"/api/v1/shares/{share}/members",
        json={"members": [{"kind": "role", "id": "peer_mentor", "access": "READ"}]},
    )
    assert reader.post("/api/v1/uploads", json=fields).problem() == (403, "FORBIDDEN")


def test_an_upload_that_stood_idle_for_a_day_is_gone_and_each_chunk_prolongs_it(
    server: ServerUnderTest, share: str
) -> None:
    client = server.client
    session = begin(client, share, 2 * 64 * KIB)
    server.clock.advance(DAY_SECONDS - 1)
    assert client.put(chunk_path(session, 0), content=content_of(64 * KIB)).status == 200
    server.clock.advance(DAY_SECONDS - 1)
    assert client.get(f"/api/v1/uploads/{session['session_id']}").status == 200
    server.clock.advance(2)
    assert client.put(chunk_path(session, 1), content=content_of(64 * KIB)).problem() == (410, "UPLOAD_EXPIRED")


class TestQuota:
    """Room is reserved when an upload begins."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(
            files=FileSettings(file_bytes=2**20, quota_organisation_bytes=500 * KIB, quota_share_bytes=300 * KIB)
        )

    def test_a_share_takes_no_more_than_its_quota(self, client: Client, share: str) -> None:
        upload(client, share, content_of(100 * KIB), path="/a", commit=True)
        upload(client, share, content_of(100 * KIB))
        begin(client, share, 60 * KIB)
        answer = client.post("/api/v1/uploads", json={"share_id": share, "file_size": 41 * KIB})
        assert answer.problem() == (507, "QUOTA_EXCEEDED")
        assert answer.json()["left_bytes"] == 40 * KIB
        begin(client, share, 40 * KIB)

    def test_an_upload_that_is_given_up_frees_its_room(self, client: Client, share: str) -> None:
        session = begin(client, share, 300 * KIB)
        assert client.post("/api/v1/uploads", json={"share_id": share, "file_size": 1}).status == 507
        client.delete(f"/api/v1/uploads/{session['session_id']}")
        begin(client, share, 300 * KIB)

    def test_the_shares_of_an_organisation_share_its_quota(self, client: Client, share: str) -> None:
        other = client.post("/api/v1/shares", json={"name": "Other"}).json()["id"]
        begin(client, share, 300 * KIB)
        begin(client, other, 200 * KIB)
        answer = client.post("/api/v1/uploads", json={"share_id": other, "file_size": 1})
        assert answer.problem() == (507, "QUOTA_EXCEEDED")
        assert "organisation" in answer.json()["detail"]

    def test_a_share_with_its_own_quota_keeps_to_that(self, client: Client) -> None:
        own = client.post("/api/v1/shares", json={"name": "Small", "quota_bytes": 10}).json()["id"]
        assert client.post("/api/v1/uploads", json={"share_id": own, "file_size": 11}).status == 507

    def test_a_file_over_the_cap_is_too_large(self, client: Client, share: str) -> None:
        answer = client.post("/api/v1/uploads", json={"share_id": share, "file_size": 2**20 + 1})
        assert answer.problem() == (413, "TOO_LARGE")

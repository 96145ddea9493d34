"""The same bytes are the same content, however an upload cut them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest

from headwater.contracts.files.apply import same_content
from headwater.contracts.files.apply.same_content import Reading, stretches
from headwater.store.packs.backend import PackBackend
from headwater.store.tree.versions import Piece
from tests.support.content import begin, complete, content_of, send
from tests.support.file_share import Device, FileShare, created, updated

CONTENT = content_of(3000, 5)
STRATEGIES = ["MANUAL", "KEEP_BOTH", "CLIENT_WINS"]


def staged(share: FileShare, *cuts: int, content: bytes = CONTENT, **more: str) -> str:
    """The version of a content that came by tus in several requests, each from one of the cuts on."""
    words = {"share_id": share.id, **more}
    metadata = ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in words.items())
    tus = {"tus-resumable": "1.0.0", "content-type": "application/offset+octet-stream"}
    made = share.client.post(
        "/api/v1/uploads", headers={**tus, "upload-length": str(len(content)), "upload-metadata": metadata}
    )
    legs = zip((0, *cuts), (*cuts, len(content)), strict=True)
    answers = [
        share.client.patch(
            made.headers["location"], content=content[start:end], headers={**tus, "upload-offset": str(start)}
        )
        for start, end in legs
    ]
    return answers[-1].headers["x-version-id"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bytes_that_came_with_a_break_are_no_conflict_with_the_same_bytes(
    share: FileShare, laptop: Device, phone: Device, strategy: str
) -> None:
    file = laptop.put("/a.txt", b"base")
    [now] = laptop.applied(updated(file, staged(share)))
    [applied] = phone.applied(updated(file, staged(share, 1000, 1700)), strategy=strategy)
    assert applied["version_id"] == now["version_id"]
    assert share.tree() == {"/a.txt": now["version_id"]}
    assert share.client.get(f"/api/v1/sync/download/{file['resource_id']}").body == CONTENT


@pytest.mark.sqlite_only
def test_a_file_made_by_two_devices_is_one_when_only_the_cuts_differ(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    laptop.applied(created("/a.txt", staged(share, 2000)))
    phone.applied(created("/A.txt", staged(share, 100, 2500)), strategy="KEEP_BOTH")
    assert list(share.tree()) == ["/a.txt"]


@pytest.mark.sqlite_only
def test_other_bytes_of_the_same_size_stay_a_conflict(share: FileShare, laptop: Device, phone: Device) -> None:
    file = laptop.put("/a.txt", b"base")
    laptop.applied(updated(file, staged(share, 2000)))
    for other in (CONTENT[:-1] + b"!", b"!" + CONTENT[1:]):
        answer = phone.apply(updated(file, staged(share, 1000, content=other)), strategy="MANUAL")
        assert answer.problem() == (409, "SYNC_CONFLICT")


@pytest.mark.sqlite_only
def test_a_commit_of_bytes_with_the_checksum_of_the_present_ones_changes_nothing(share: FileShare) -> None:
    checksum = hashlib.sha256(CONTENT).hexdigest()
    staged(share, 1000, path="/a.txt", checksum_sha256=checksum)
    session = begin(share.client, share.id, len(CONTENT), path="/a.txt", commit=True, checksum_sha256=checksum)
    send(share.client, session, CONTENT)
    assert complete(share.client, session).json()["status"] == "unchanged"


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Reading]:
    """The pairs that are read from now on."""
    found: list[Reading] = []
    comparison = same_content.comparison

    def read(place: PackBackend, reading: Reading) -> Iterator[bool | None]:
        found.append(reading)
        return comparison(place, reading)

    monkeypatch.setattr(same_content, "comparison", read)
    return found


@pytest.mark.sqlite_only
def test_a_pair_that_many_changes_name_is_read_once(share: FileShare, laptop: Device, readings: list[Reading]) -> None:
    file = laptop.put("/a.txt", b"base")
    [file] = laptop.applied(updated(file, staged(share, 2000)))
    change = updated(file, staged(share, 1000, content=CONTENT[:-1] + b"!"))
    laptop.apply(change, change, change)
    assert [(reading.chunks, reading.size_bytes) for reading in readings] == [(4, len(CONTENT))]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("limit", "most"), [("COMPARED_BYTES", 2 * len(CONTENT) - 1), ("COMPARED_CHUNKS", 7)])
def test_what_is_beyond_the_most_of_one_request_is_not_known_to_be_equal(
    share: FileShare,
    laptop: Device,
    phone: Device,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    most: int,
) -> None:
    monkeypatch.setattr(same_content, limit, most)
    files = [laptop.put(path, b"base") for path in ("/a.txt", "/b.txt")]
    now = laptop.applied(*(updated(file, staged(share, 2000)) for file in files))
    answer = phone.apply(*(updated(file, staged(share, 1000)) for file in files), strategy="MANUAL").json()
    lists = answer.get("details", answer)
    assert [(each["index"], each["version_id"]) for each in lists["applied"]] == [(0, now[0]["version_id"])]
    assert [each["index"] for each in lists["conflicts"]] == [1]


@pytest.mark.sqlite_only
def test_a_token_that_ends_while_versions_are_compared_changes_nothing(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = laptop.put("/a.txt", b"base")
    [file] = laptop.applied(updated(file, staged(share, 2000)))
    text, row = share.server.token_row(user_id=laptop.user_id)
    other = share.device("other", share.client.as_token(text))
    change = updated(file, staged(share, 1000, content=b"!" + CONTENT[1:]))

    def end(_place: PackBackend, _reading: Reading) -> Iterator[bool | None]:
        share.server.revoke(row.id)
        yield False

    monkeypatch.setattr(same_content, "comparison", end)
    assert other.apply(change).problem() == (401, "UNAUTHENTICATED")
    assert share.tree() == {"/a.txt": file["version_id"]}


def piece(name: str, length_bytes: int) -> Piece:
    return Piece(name.encode(), length_bytes)


def test_only_what_is_cut_otherwise_has_to_be_read() -> None:
    begins, ends = piece("begins", 5), piece("ends", 7)
    ours = [begins, piece("a", 2), piece("b", 4), ends]
    theirs = [begins, piece("c", 3), piece("d", 3), ends]
    assert stretches(ours, theirs) == [(ours[1:3], theirs[1:3])]
    assert stretches(ours, ours) == []


def test_a_chunk_between_the_same_two_places_tells_contents_apart_unread() -> None:
    assert stretches([piece("a", 2), piece("b", 4)], [piece("a", 2), piece("c", 1), piece("d", 3)]) is not None
    assert stretches([piece("a", 2), piece("b", 4)], [piece("x", 2), piece("c", 1), piece("d", 3)]) is None


@pytest.mark.sqlite_only
def test_a_large_pair_is_compared_in_slices_between_which_others_have_their_turn(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(same_content, "SLICE_BYTES", 1000)
    turns: list[bool | None] = []
    comparison = same_content.comparison

    def noted(place: PackBackend, reading: Reading) -> Iterator[bool | None]:
        for found in comparison(place, reading):
            turns.append(found)
            yield found

    monkeypatch.setattr(same_content, "comparison", noted)
    file = laptop.put("/a.txt", b"base")
    [file] = laptop.applied(updated(file, staged(share, 2000)))
    answer = laptop.applied(updated(file, staged(share, 1000)))
    assert answer[0]["version_id"] == file["version_id"]
    assert turns[-1] is True
    assert turns[:-1] == [None] * (len(turns) - 1)
    assert len(turns) > 1

"""Damaged content is never sent as if it were right; it is marked, reported, and healed by the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from blake3 import blake3

from headwater.base.errors import QuotaExceeded
from headwater.contracts.files import content as content_reading
from headwater.contracts.files.downloads import batch_frames, rules
from headwater.store.packs import damage
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from tests.support.content import KIB, MIB, begin, complete, content_of, make_file, make_share, send, upload
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest
from tests.support.server.wire import unpacked

Heal = Callable[[Client, str, bytes], None]


class Packs:
    """The pack files of a server, which tests damage and put back."""

    def __init__(self, server: ServerUnderTest) -> None:
        self.server = server
        self.folder: Path = cast("PackFolder", server.services.packs)._path

    def place(self, version_id: str, number: int = 0) -> tuple[Path, int, int]:
        """The pack file of a chunk of a version, and the chunk's first byte and length."""
        sql = (
            "SELECT c.pack, c.start_bytes, c.length_bytes FROM version_chunks v JOIN chunks c"
            " ON c.organisation = v.organisation AND c.chunk = v.chunk WHERE v.version = ? AND v.place = ?"
        )
        found = self.server.database.read_now(lambda tx: tx.row(sql, version_id, number))
        assert found is not None
        return self.folder / pack_name(found[0]), found[1], found[2]

    def flip(self, version_id: str, number: int = 0) -> None:
        """Flips a bit in the middle of a chunk."""
        path, start, length = self.place(version_id, number)
        content = bytearray(path.read_bytes())
        content[start + length // 2] ^= 4
        path.write_bytes(content)

    @property
    def marked(self) -> int:
        return self.server.database.read_now(damage.count)


@pytest.fixture
def share(client: Client) -> str:
    return make_share(client)


@pytest.fixture
def packs(server: ServerUnderTest) -> Packs:
    return Packs(server)


def download(client: Client, file: dict[str, Any], query: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"/api/v1/sync/download/{file['resource_id']}{query}", headers=named)


def test_a_damaged_file_is_an_error_before_its_head(client: Client, share: str, packs: Packs) -> None:
    file = make_file(client, share, "/a.bin", content_of(3000))
    packs.flip(file["version_id"])
    for query, headers in (("", {}), ("", {"Range": "bytes=0-0"}), ("?checksum=sha256", {}), ("?range_start=5", {})):
        assert download(client, file, query, **headers).problem() == (500, "CONTENT_DAMAGED")
    assert packs.marked == 1
    assert packs.server.database.read_now(lambda tx: tx.value("SELECT max(sha256) FROM versions")) is None
    assert client.get("/metrics").text.count("headwater_damaged_chunks 1.0") == 1


def test_a_range_of_whole_chunks_is_sent_whatever_is_damaged_beside_it(
    client: Client, share: str, packs: Packs
) -> None:
    content = content_of(200 * KIB)
    file = make_file(client, share, "/a.bin", content)
    packs.flip(file["version_id"], 2)
    good = download(client, file, Range=f"bytes=0-{128 * KIB - 1}")
    assert (good.status, good.body) == (206, content[: 128 * KIB])
    assert download(client, file, Range=f"bytes={128 * KIB}-").problem() == (500, "CONTENT_DAMAGED")
    assert packs.marked == 1


def test_damage_that_shows_after_the_head_breaks_the_answer_off_and_is_then_known(
    client: Client, share: str, packs: Packs
) -> None:
    content = content_of(6 * MIB)
    file = make_file(client, share, "/a.bin", content, chunk_bytes=4 * MIB)
    last = packs.server.database.read_now(lambda tx: tx.value("SELECT max(place) FROM version_chunks"))
    packs.flip(file["version_id"], last)
    broken = client.get(f"/api/v1/sync/download/{file['resource_id']}", may_break=True)
    assert (broken.status, broken.is_whole) == (200, False)
    assert content.startswith(broken.body)
    assert len(broken.body) < len(content)
    # From now on the damage is known: it is refused before the head.
    assert download(client, file).problem() == (500, "CONTENT_DAMAGED")


def test_a_batch_is_sent_but_for_its_damaged_files(client: Client, share: str, packs: Packs) -> None:
    contents = {f"/small{number}": content_of(2000, number) for number in range(6)}
    contents |= {f"/large{number}": content_of(200 * KIB, number) for number in range(3)}
    files = {path: make_file(client, share, path, content) for path, content in contents.items()}
    packs.flip(files["/small2"]["version_id"])
    packs.flip(files["/large1"]["version_id"], 3)
    packs.place(files["/small4"]["version_id"])[0].unlink()
    bad = {"/small2", "/small4", "/large1"}
    answer = client.post("/api/v1/downloads/batch", json={"share_id": share, "paths": list(contents)})
    assert (answer.status, answer.is_whole) == (200, True)
    found = {head["path"]: (head, bytes(content)) for head, content in unpacked(answer.body)}
    assert found.keys() == contents.keys()
    for path, (head, content) in found.items():
        if path in bad:
            assert (head["size"], content, head["error"]["code"]) == (0, b"", "CONTENT_DAMAGED")
        else:
            assert (content, "error" in head) == (contents[path], False)
    assert packs.marked == 3


def test_a_large_file_of_a_batch_is_compared_before_its_line(
    client: Client, share: str, packs: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_frames, "HELD_BYTES", 1000)
    monkeypatch.setattr(batch_frames, "BREATH_BYTES", 1000)
    content = content_of(300 * KIB)
    files = [make_file(client, share, path, content_of(300 * KIB, seed)) for path, seed in (("/a", 1), ("/b", 2))]
    packs.flip(files[1]["version_id"], 4)
    answer = client.post("/api/v1/downloads/batch", json={"share_id": share, "paths": ["/a", "/b"]})
    heads = [(head["size"], bytes(found)) for head, found in unpacked(answer.body)]
    assert heads == [(300 * KIB, content), (0, b"")]


def session_way(client: Client, share: str, content: bytes) -> None:
    upload(client, share, content, path="/a.bin", commit=True)


def tus_way(client: Client, share: str, content: bytes) -> None:
    head = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(content)),
        "Content-Type": "application/offset+octet-stream",
    }
    answer = client.post(f"/api/v1/uploads?share_id={share}", headers=head, content=content)
    assert answer.status == 201, answer.text


def packed_way(client: Client, share: str, content: bytes) -> None:
    line = json.dumps({"path": "/a.bin", "size": len(content)}).encode()
    answer = client.post(f"/api/v1/uploads/packed?share_id={share}", content=line + b"\n" + content)
    assert answer.json()["results"][0]["status"] == "unchanged"


def listed_way(client: Client, share: str, content: bytes) -> None:
    hash = blake3(content).hexdigest()
    asked = {"share_id": share, "hashes": [hash]}
    assert client.post("/api/v1/uploads/check", json=asked).json()["missing"] == [hash]
    chunk = {"hash": hash, "size": len(content)}
    unsent = json.dumps({"path": "/b.bin", "size": 0, "chunks": [chunk | {"sent": False}]}).encode() + b"\n"
    answer = client.post(f"/api/v1/uploads/packed?share_id={share}", content=unsent)
    assert answer.json()["results"][0]["error"]["code"] == "CHUNKS_MISSING"
    sent = json.dumps({"path": "/b.bin", "size": len(content), "chunks": [chunk | {"sent": True}]}).encode()
    answer = client.post(f"/api/v1/uploads/packed?share_id={share}", content=sent + b"\n" + content)
    assert answer.json()["results"][0]["status"] == "created"


@pytest.mark.parametrize("way", [session_way, tus_way, packed_way, listed_way])
@pytest.mark.parametrize("harm", ["flip", "cut", "missing"])
def test_the_same_bytes_sent_again_heal_every_file_with_them(
    client: Client, share: str, packs: Packs, way: Heal, harm: str
) -> None:
    content = content_of(3000)
    file, other = (make_file(client, share, path, content) for path in ("/a.bin", "/other.bin"))
    path, start, _ = packs.place(file["version_id"])
    if harm == "flip":
        packs.flip(file["version_id"])
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[: start + 1000])
    else:
        path.unlink()
    assert download(client, file).problem() == (500, "CONTENT_DAMAGED")
    assert packs.marked == 1
    way(client, share, content)
    assert packs.marked == 0
    for each in (file, other):
        answer = download(client, each, "?checksum=sha256")
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["x-checksum-sha256"] == hashlib.sha256(content).hexdigest()


def test_bytes_that_are_cut_otherwise_heal_the_file_that_has_their_checksum(
    client: Client, share: str, packs: Packs
) -> None:
    content = content_of(300 * KIB)
    checksum = hashlib.sha256(content).hexdigest()
    file = make_file(client, share, "/a.bin", content, chunk_bytes=64 * KIB, checksum_sha256=checksum)
    packs.flip(file["version_id"], 3)
    assert download(client, file).problem()[0] == 500
    session = begin(client, share, len(content), 100 * KIB, path="/a.bin", commit=True, checksum_sha256=checksum)
    send(client, session, content)
    answer = complete(client, session).json()
    assert (answer["status"], answer["version_id"]) == ("unchanged", file["version_id"])
    assert download(client, file).body == content


@pytest.mark.parametrize("checksum", [True, False])
def test_apply_heals_a_damaged_file_by_the_same_bytes_cut_otherwise(
    client: Client, share: str, packs: Packs, checksum: bool
) -> None:
    content = content_of(300 * KIB)
    more = {"checksum_sha256": hashlib.sha256(content).hexdigest()} if checksum else {}
    file = make_file(client, share, "/a.bin", content, chunk_bytes=64 * KIB, **more)
    packs.flip(file["version_id"], 3)
    assert download(client, file).problem()[0] == 500
    client.post("/api/v1/sync/devices", json={"device_id": "d", "device_name": "d", "platform": "linux"})
    staged = upload(client, share, content, chunk_bytes=100 * KIB, **more)
    change = {
        "resource_type": "file", "resource_id": file["resource_id"], "change_type": "updated",
        "version_id": staged["version_id"], "base_version_id": file["version_id"], "old_path": "/a.bin",
        "new_path": "/a.bin", "metadata": {},
    }  # fmt: skip
    answer = client.post(
        "/api/v1/sync/apply",
        json={"device_id": "d", "share_id": share, "conflict_resolution": "MANUAL", "changes": [change]},
    ).json()
    assert [each["version_id"] for each in answer["applied"]] == [file["version_id"]], answer
    assert download(client, file).body == content


def test_a_pack_that_was_put_back_is_sent_again_at_once(client: Client, share: str, packs: Packs) -> None:
    file = make_file(client, share, "/a.bin", content_of(3000))
    path, _, _ = packs.place(file["version_id"])
    whole = path.read_bytes()
    packs.flip(file["version_id"])
    assert download(client, file).problem()[0] == 500
    path.write_bytes(whole)
    assert download(client, file).body == content_of(3000)


def test_a_mark_is_written_and_logged_once(
    client: Client, share: str, packs: Packs, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_file(client, share, "/a.bin", content_of(3000))
    packs.flip(file["version_id"])
    for _ in range(3):
        download(client, file)
    assert "".join(capsys.readouterr()).count("content_damaged") == 1


def test_a_wrong_checksum_of_earlier_days_is_mended_by_the_same_bytes(client: Client, share: str, packs: Packs) -> None:
    content = content_of(3000)
    checksum = hashlib.sha256(content).hexdigest()
    file = make_file(client, share, "/a.bin", content)
    packs.server.database.write_now(lambda tx: tx.run("UPDATE versions SET sha256 = ?", "ab" * 32))
    assert make_file(client, share, "/a.bin", content, checksum_sha256=checksum)["status"] == "unchanged"
    assert download(client, file).headers["x-checksum-sha256"] == checksum


def test_a_file_of_many_chunks_is_looked_up_page_by_page_while_it_is_sent(
    client: Client, share: str, packs: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_reading, "REFS_AT_ONCE", 2)
    content = content_of(300 * KIB)
    file = make_file(client, share, "/a.bin", content)
    assert download(client, file).body == content
    assert download(client, file, Range="bytes=70000-200000").body == content[70000:200001]
    assert (
        download(client, file, "?checksum=sha256").headers["x-checksum-sha256"] == hashlib.sha256(content).hexdigest()
    )
    packs.flip(file["version_id"], 4)
    assert download(client, file).problem() == (500, "CONTENT_DAMAGED")
    assert download(client, file, Range="bytes=0-99").body == content[:100]


def test_a_checksum_is_sent_also_where_a_full_disk_does_not_store_it(
    client: Client, share: str, packs: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(3000)
    file = make_file(client, share, "/a.bin", content)

    def refuse(*_: Any) -> None:
        raise QuotaExceeded("the disk is full", code="DISK_FULL")

    monkeypatch.setattr(rules, "store_sha256", refuse)
    answer = download(client, file, "?checksum=sha256")
    assert (answer.status, answer.headers["x-checksum-sha256"]) == (200, hashlib.sha256(content).hexdigest())

"""Packed uploads and batch downloads: one result a file, wrong files leave their neighbours alone, no probing."""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from headwater.base.errors import Unavailable
from headwater.base.settings.table import FileSettings, Settings
from headwater.contracts.files import content as content_reading
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.packed import writer as packed_writer
from headwater.contracts.files.packed.shapes import PackedResult
from headwater.contracts.files.packed.writer import Packing
from headwater.store.database import Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_range
from headwater.web.call import Call
from tests.support.content import KIB, MIB, content_of, make_file, make_share, upload
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

Files = Iterable[tuple[dict[str, Any], bytes]]


@pytest.fixture
def share(client: Client) -> str:
    return make_share(client)


def framed(files: Files) -> bytes:
    return b"".join(json.dumps({"size": len(body)} | head).encode() + b"\n" + body for head, body in files)


def pack(client: Client, share: str, files: Files, query: str = "", **options: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/api/v1/uploads/packed?share_id={share}{query}", content=framed(files), **options)
    assert answer.status == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def enumerated(contents: Iterable[bytes]) -> Files:
    return [({"path": f"/{number}.bin"}, content) for number, content in enumerate(contents)]


def unframed(stream: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """The files of a stream in the order of the request."""
    found = []
    at = 0
    while at < len(stream):
        end = stream.index(b"\n", at)
        head = json.loads(stream[at:end])
        at = end + 1 + head["size"]
        found.append((head, stream[end + 1 : at]))
    return sorted(found, key=lambda pair: pair[0]["index"])


def batch(client: Client, share: str, **fields: Any) -> list[tuple[dict[str, Any], bytes]]:
    answer = client.post("/api/v1/downloads/batch", json={"share_id": share, **fields})
    assert answer.status == 200, answer.text
    # A file that turns out to be damaged is announced without its bytes, so the length is not known before.
    assert "content-length" not in answer.headers
    return unframed(answer.body)


def test_many_files_make_their_folders_and_come_back_by_id_path_and_chunk(client: Client, share: str) -> None:
    files = [({"path": f"/a/{n % 7}/b/{n}.txt"}, content_of(n * 37, n)) for n in range(100)]
    results = pack(client, share, files)
    assert [(result["index"], result["status"]) for result in results] == [(n, "created") for n in range(100)]
    by_id = batch(client, share, file_ids=[result["resource_id"] for result in results])
    assert [body for _, body in by_id] == [body for _, body in files]
    assert [head["version_id"] for head, _ in by_id] == [result["version_id"] for result in results]
    by_path = batch(client, share, paths=[head["path"].upper() for head, _ in files])
    assert [body for _, body in by_path] == [body for _, body in files]
    chunks = [blake3(body).hexdigest() for _, body in files[1:]]
    assert [body for _, body in batch(client, share, chunks=chunks)] == [body for _, body in files[1:]]


def test_each_file_has_a_change_of_its_own_as_if_it_had_come_alone(server: ServerUnderTest, share: str) -> None:
    client = server.client
    alone = make_file(client, share, "/one/alone.txt", b"alone", mime_type="text/plain")
    packed = pack(client, share, [({"path": "/one/packed.txt", "mime_type": "text/plain"}, b"whole")])[0]
    nodes = {
        name: client.get(f"/api/v1/shares/{share}/node?path=/one/{name}.txt").json() for name in ("alone", "packed")
    }
    assert nodes["packed"]["id"] == packed["resource_id"]
    assert nodes["alone"]["id"] == alone["resource_id"]
    same = ("type", "version_number", "size", "mime_type", "parent_id", "share_id")
    assert [nodes["alone"][field] for field in same] == [nodes["packed"][field] for field in same]
    rows = server.database.read_now(
        lambda tx: tx.rows("SELECT wire FROM changes WHERE kind = 'file' ORDER BY position")
    )
    wires = [json.loads(bytes(row[0])) for row in rows]
    assert [wire.keys() for wire in wires] == [wires[0].keys()] * 2
    assert wires[0]["metadata"].keys() == wires[1]["metadata"].keys()
    assert [wire["new_path"] for wire in wires] == ["/one/alone.txt", "/one/packed.txt"]
    assert wires[1]["position"] == wires[0]["position"] + 1
    assert client.get(f"/api/v1/shares/{share}").json()["used_bytes"] == 10


def test_wrong_files_fail_alone(client: Client, share: str) -> None:
    make_file(client, share, "/file", b"x")
    stale = make_file(client, share, "/stale", b"1")["version_id"]
    make_file(client, share, "/stale", b"2")
    files: list[tuple[dict[str, Any], bytes]] = [
        ({"path": "/good1"}, b"1"),
        ({"path": "relative"}, b"22"),
        ({"path": "/a/../b"}, b"333"),
        ({"path": "/con"}, b"4"),
        ({"path": "/sum", "blake3": "0" * 64}, b"5"),
        ({"path": "/sha", "checksum_sha256": "0" * 64}, b"6"),
        ({"path": "/file/below"}, b"7"),
        ({"path": "/time", "modified_at": "yesterday"}, b"8"),
        ({"path": 5}, b"9"),
        ({}, b"10"),
        ({"resource_id": "fil_unknown"}, b"11"),
        ({"path": "/stale", "base_version_id": stale}, b"12"),
        ({"path": "/new", "base_version_id": stale}, b"13"),
        ({"path": "/good2", "client_change_id": "c-1"}, b""),
    ]
    results = pack(client, share, files)
    assert [result["status"] for result in results] == ["created", *["failed"] * 12, "created"]
    codes = [result["error"]["code"] for result in results[1:-1]]
    assert codes[3:6] == ["CHECKSUM_MISMATCH", "CHECKSUM_MISMATCH", "NAME_TAKEN"]
    assert codes[-3:] == ["NOT_FOUND", "SYNC_VERSION_STALE", "SYNC_VERSION_STALE"]
    assert results[-1]["client_change_id"] == "c-1"
    names = [node["name"] for node in client.get(f"/api/v1/shares/{share}/children").json()["data"]]
    assert names == ["file", "good1", "good2", "stale"]


def test_a_file_and_a_folder_of_one_name_in_a_new_folder_leave_their_neighbours_alone(
    client: Client, share: str
) -> None:
    paths = ["/F/a", "/F/a/b", "/G/x/y", "/G/X", "/z"]
    results = pack(client, share, [({"path": path}, b"x") for path in paths])
    assert [result["status"] for result in results] == ["failed", "created", "created", "failed", "created"]
    assert {result["error"]["code"] for result in results if "error" in result} == {"NAME_TAKEN"}


@pytest.mark.parametrize(
    "stream",
    [
        b'{"path":"/a","size":1}\nxnot json\nyy',
        b'{"path":"/a","size":1}\nx{"path":"/b"}\nyy',
        b'{"path":"/a","size":1}\nx{"path":"/b","size":-1}\nyy',
        b'{"path":"/a","size":1}\nx{"path":"/b","size":5}\nyy',
        b'{"path":"/a","size":1}\nx{"path":"/b","size":5}',
    ],
)
def test_a_stream_that_loses_its_frame_is_refused_whole(
    server: ServerUnderTest, share: str, stream: bytes, tmp_path: Path
) -> None:
    answer = server.client.post(f"/api/v1/uploads/packed?share_id={share}", content=stream)
    assert answer.problem() == (400, "MALFORMED")
    assert answer.json()["index"] == 1
    assert server.client.get(f"/api/v1/shares/{share}/children").json()["data"] == []
    assert [path for path in (tmp_path / "packs").rglob("*") if path.is_file()] == []


def test_the_frame_may_be_cut_anywhere(client: Client, share: str) -> None:
    files = [({"path": f"/f{n}"}, content_of(700, n)) for n in range(5)]
    stream = framed(files)
    pieces = [stream[at : at + 13] for at in range(0, len(stream), 13)]
    answer = client.post(f"/api/v1/uploads/packed?share_id={share}", content=pieces)
    ids = [result["resource_id"] for result in answer.json()["results"]]
    assert [body for _, body in batch(client, share, file_ids=ids)] == [body for _, body in files]


def test_a_large_file_among_small_ones_is_cut_into_chunks(client: Client, share: str) -> None:
    files = [
        ({"path": "/small"}, b"small"),
        ({"path": "/large", "blake3": blake3(content_of(7 * MIB)).hexdigest()}, content_of(7 * MIB)),
        ({"path": "/also"}, b"also"),
    ]
    results = pack(client, share, files)
    assert [result["status"] for result in results] == ["created"] * 3
    found = batch(client, share, paths=["/small", "/large", "/also"])
    assert [body for _, body in found] == [body for _, body in files]
    listed = client.get(f"/api/v1/sync/download/{results[1]['resource_id']}/chunks").json()["chunks"]
    assert len(listed) > 1


def test_a_batch_looks_the_chunks_of_a_large_file_up_a_few_at_a_time(
    client: Client, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_reading, "REFS_AT_ONCE", 2)
    contents = [content_of(5 * MIB, 7), content_of(3, 8), b"", content_of(4 * MIB, 9)]
    ids = [result["resource_id"] for result in pack(client, share, enumerated(contents))]
    found = batch(client, share, file_ids=ids)
    assert [content for _, content in found] == contents


def test_files_that_exist_are_updated_unchanged_or_named_twice(client: Client, share: str) -> None:
    old = make_file(client, share, "/x", b"old")
    same = make_file(client, share, "/same", b"same")
    results = pack(
        client,
        share,
        [
            ({"path": "/X", "base_version_id": old["version_id"]}, b"new"),
            ({"path": "/same"}, b"same"),
            ({"path": "/twice"}, b"first"),
            ({"path": "/TWICE"}, b"second"),
            ({"resource_id": same["resource_id"]}, b"by id"),
        ],
    )
    assert [result["status"] for result in results] == ["updated", "unchanged", "created", "updated", "updated"]
    assert results[0]["resource_id"] == old["resource_id"]
    assert results[2]["resource_id"] == results[3]["resource_id"]
    bodies = [body for _, body in batch(client, share, paths=["/x", "/same", "/twice"])]
    assert bodies == [b"new", b"by id", b"second"]


def test_a_repeated_stream_changes_nothing(client: Client, share: str) -> None:
    files = [({"path": f"/{n}"}, content_of(50, n)) for n in range(10)]
    first = pack(client, share, files)
    again = pack(client, share, files)
    assert {result["status"] for result in again} == {"unchanged"}
    assert [r["version_id"] for r in again] == [r["version_id"] for r in first]
    keyed = pack(client, share, [({"path": "/k"}, b"1")], headers={"idempotency-key": "one"})
    assert pack(client, share, [({"path": "/k"}, b"1")], headers={"idempotency-key": "one"}) == keyed
    other = client.post(
        f"/api/v1/uploads/packed?share_id={share}",
        content=framed([({"path": "/k"}, b"2")]),
        headers={"idempotency-key": "one"},
    )
    assert other.problem() == (422, "IDEMPOTENCY_KEY_REUSED")


def test_a_stream_that_repeats_a_key_leaves_no_second_copy(server: ServerUnderTest, share: str) -> None:
    files = [({"path": "/k"}, content_of(KIB))]
    first = pack(server.client, share, files, headers={"idempotency-key": "one"})
    stored = list(server.services.packs.listing())
    assert pack(server.client, share, files, headers={"idempotency-key": "one"}) == first
    assert list(server.services.packs.listing()) == stored
    assert batch(server.client, share, paths=["/k"])[0][1] == content_of(KIB)


def test_a_list_of_chunks_is_held_against_the_checksums_of_the_whole(client: Client, share: str) -> None:
    known, new = b"known before", b"sent now"
    make_file(client, share, "/known", known)
    whole = known + new
    chunks = [
        {"hash": blake3(known).hexdigest(), "size": len(known)},
        {"hash": blake3(new).hexdigest(), "size": len(new), "sent": True},
    ]
    right = {"blake3": blake3(whole).hexdigest(), "checksum_sha256": hashlib.sha256(whole).hexdigest().upper()}
    wrong = ({"blake3": "0" * 64}, {"checksum_sha256": "0" * 64}, right | {"checksum_sha256": "1" * 64})
    heads = [right, *wrong]
    files = [({"path": f"/{number}", "chunks": chunks, **head}, new) for number, head in enumerate(heads)]
    results = pack(client, share, files)
    assert [result["status"] for result in results] == ["created", "failed", "failed", "failed"]
    assert {result["error"]["code"] for result in results[1:]} == {"CHECKSUM_MISMATCH"}
    assert batch(client, share, paths=["/0"])[0][1] == whole


@pytest.mark.sqlite_only
class TestComparison:
    """A list may name far more than was sent."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(files=FileSettings(packed_bytes=MIB))

    def test_what_is_beyond_the_limit_fails_before_a_chunk_is_read(
        self, client: Client, share: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        part = content_of(256 * KIB)
        known = {"hash": blake3(part).hexdigest(), "size": len(part)}
        pack(client, share, [({"path": "/known", "chunks": [known | {"sent": True}]}, part)])
        checked = {"blake3": blake3(part * 2).hexdigest()}
        reads: list[int] = []

        def read(place: PackBackend, refs: Sequence[ChunkRef]) -> Iterator[bytes]:
            reads.append(len(refs))
            return read_range(place, refs)

        monkeypatch.setattr(content_reading, "read_range", read)
        large: Files = [({"path": "/large", "chunks": [known] * 5, **checked}, b"")]
        small: Files = [({"path": "/small", "chunks": [known] * 2, **checked}, b"")]
        results = pack(client, share, [*large, *small])
        assert [result["status"] for result in results] == ["failed", "created"]
        assert (results[0]["error"]["code"], reads) == ("CHECKSUM_TOO_LARGE", [2])


def test_staged_files_do_not_appear(client: Client, share: str) -> None:
    results = pack(client, share, [({"path": "/later"}, b"x")], "&stage=true")
    assert results[0]["status"] == "staged"
    assert results[0]["version_id"].startswith("ver_")
    assert client.get(f"/api/v1/shares/{share}/children").json()["data"] == []


@pytest.mark.parametrize("text", ["maybe", "True", "1", ""])
def test_staging_is_true_or_false_and_nothing_else(client: Client, share: str, text: str) -> None:
    answer = client.post(
        f"/api/v1/uploads/packed?share_id={share}&stage={text}", content=framed([({"path": "/a"}, b"x")])
    )
    assert (answer.status, answer.json()["errors"][0]["field"]) == (422, "stage")
    assert client.get(f"/api/v1/shares/{share}/children").json()["data"] == []
    assert pack(client, share, [({"path": "/a"}, b"x")], "&stage=false")[0]["status"] == "created"


def test_a_file_may_be_given_by_chunks_of_which_only_the_new_ones_are_sent(client: Client, share: str) -> None:
    known, fresh = content_of(5000, 1), content_of(3000, 2)
    make_file(client, share, "/known", known)
    hashes = [blake3(known).hexdigest(), blake3(fresh).hexdigest()]
    answer = client.post("/api/v1/uploads/check", json={"share_id": share, "hashes": hashes})
    assert answer.json() == {"missing": [hashes[1]]}
    chunks = [{"hash": hashes[1], "size": 3000, "sent": True}, {"hash": hashes[0], "size": 5000}]
    results = pack(client, share, [({"path": "/delta", "chunks": chunks}, fresh), ({"path": "/next"}, b"next")])
    assert [result["status"] for result in results] == ["created", "created"]
    bodies = [body for _, body in batch(client, share, paths=["/delta", "/next"])]
    assert bodies == [fresh + known, b"next"]
    wrong = [{"hash": hashes[0], "size": 4999}], [{"hash": "ab" * 32, "size": 1}]
    for chunks in wrong:
        assert pack(client, share, [({"path": "/no", "chunks": chunks}, b"")])[0]["error"]["code"] == "CHUNKS_MISSING"
    # A wrong length is found out also where another list, or the one that sends the chunk, has the right one.
    right = [{"hash": hashes[0], "size": 5000}]
    pair = pack(client, share, [({"path": f"/{n}", "chunks": each}, b"") for n, each in enumerate((wrong[0], right))])
    assert [result["status"] for result in pair] == ["failed", "created"]
    brought = content_of(2000, 3)
    twice = [{"hash": blake3(brought).hexdigest(), "size": size, "sent": size == 2000} for size in (2000, 1999)]
    assert pack(client, share, [({"path": "/no", "chunks": twice}, brought)])[0]["error"]["code"] == "CHUNKS_MISSING"
    lied = [{"hash": hashes[0], "size": 4, "sent": True}]
    assert pack(client, share, [({"path": "/no", "chunks": lied}, b"lies")])[0]["error"]["code"] == "CHUNK_MISMATCH"


def test_a_file_may_lie_deeper_than_python_calls_itself(client: Client, share: str) -> None:
    path = "/d" * 520 + "/f"
    results = pack(client, share, [({"path": path}, b"deep")])
    assert results[0]["status"] == "created"
    assert batch(client, share, file_ids=[results[0]["resource_id"]])[0][1] == b"deep"


def test_changes_of_a_packed_upload_spell_folders_as_they_are_there(client: Client, share: str) -> None:
    pack(client, share, [({"path": "/Docs/a"}, b"a")])
    pack(client, share, [({"path": "/docs/b"}, b"b"), ({"path": "/DOCS/New/c"}, b"c")])
    cursor = client.get(f"/api/v1/sync/changes?share_id={share}").json()["cursor"]
    pack(client, share, [({"path": "/docs/NEW/d"}, b"d")])
    told = client.get(f"/api/v1/sync/changes?share_id={share}&cursor={cursor}").json()["changes"]
    assert [change["new_path"] for change in told] == ["/Docs/New/d"]


def test_a_pack_stays_when_nobody_knows_whether_it_was_committed(
    server: ServerUnderTest, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = server.database.write

    async def lose(function: Any, **options: Any) -> Any:
        await write(function, **options)
        raise Unavailable("the connection was lost with the answer to the commit")

    monkeypatch.setattr(server.database, "write", lose)
    lost = server.client.post(f"/api/v1/uploads/packed?share_id={share}", content=framed([({"path": "/a"}, b"here")]))
    monkeypatch.undo()
    assert lost.status == 503
    assert batch(server.client, share, paths=["/a"])[0][1] == b"here"


@pytest.mark.sqlite_only
def test_files_are_stored_as_whoever_the_caller_is_after_the_stream(
    client: Client, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    store = packed_writer.store

    async def demote(call: Call) -> None:
        call.principal = call.principal._replace(token_id="anew")

    def look(tx: Transaction, row: ShareRow, packed: Packing, settings: FileSettings) -> list[PackedResult]:
        seen.append(packed.principal.token_id)
        return store(tx, row, packed, settings)

    monkeypatch.setattr(Call, "recheck", demote)
    monkeypatch.setattr(packed_writer, "store", look)
    pack(client, share, [({"path": "/a"}, b"a")])
    assert seen == ["anew"]


class TestProbing:
    """Nobody learns, or takes by its hash, what stands where he may not read."""

    SECRET = content_of(4000, 99)
    HASH = blake3(SECRET).hexdigest()

    def knows(self, client: Client, share: str) -> list[bool]:
        """Whether each way of asking gives the secret away."""
        check = client.post("/api/v1/uploads/check", json={"share_id": share, "hashes": [self.HASH]})
        chunks = [{"hash": self.HASH, "size": len(self.SECRET)}]
        taken = pack(client, share, [({"path": "/taken", "chunks": chunks}, b"")])[0]["status"]
        stream = batch(client, share, chunks=[self.HASH])[0][1]
        return [check.json()["missing"] == [], taken in {"created", "unchanged"}, stream == self.SECRET]

    def test_another_organisations_content_is_missing(self, server: ServerUnderTest, share: str) -> None:
        make_file(server.client, share, "/secret", self.SECRET)
        other = server.caller("other", "org_admin")
        assert self.knows(other, make_share(other)) == [False, False, False]
        assert self.knows(server.client, share) == [True, True, True]

    def test_a_share_that_the_caller_may_not_read_gives_nothing_away(self, server: ServerUnderTest, share: str) -> None:
        make_file(server.client, share, "/secret", self.SECRET)
        member = server.caller(role="coordinator")
        own = make_share(member)
        assert self.knows(member, own) == [False, False, False]
        server.client.put(
            f"/api/v1/shares/{share}/members",
            json={"members": [{"kind": "role", "id": "coordinator", "access": "READ"}]},
        )
        assert self.knows(member, own) == [True, True, True]

    def test_what_somebody_else_staged_gives_nothing_away(self, server: ServerUnderTest, share: str) -> None:
        pack(server.client, share, [({"path": "/secret"}, self.SECRET)], "&stage=true")
        server.client.put(
            f"/api/v1/shares/{share}/members",
            json={"members": [{"kind": "role", "id": "coordinator", "access": "WRITE"}]},
        )
        assert self.knows(server.caller(role="coordinator"), share) == [False, False, False]


class TestLimits:
    """What one stream may hold."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(files=FileSettings(packed_bytes=MIB, packed_files=5, quota_share_bytes=2 * MIB))

    def test_too_many_files_or_bytes_are_too_large(self, client: Client, share: str) -> None:
        many = framed([({"path": f"/{n}"}, b"") for n in range(6)])
        assert client.post(f"/api/v1/uploads/packed?share_id={share}", content=many).status == 413
        for content in (bytes(MIB + 1), [framed([({"path": "/a"}, bytes(MIB))]), b"x"]):
            assert client.post(f"/api/v1/uploads/packed?share_id={share}", content=content).status == 413
        six = {"share_id": share, "file_ids": ["fil_x"] * 6}
        assert client.post("/api/v1/downloads/batch", json=six).status == 413

    def test_files_go_in_as_long_as_there_is_room(self, client: Client) -> None:
        small = make_share(client, quota_bytes=100)
        results = pack(client, small, [({"path": f"/{n}"}, bytes(size)) for n, size in enumerate((60, 50, 40))])
        assert [result["status"] for result in results] == ["created", "failed", "created"]
        assert results[1]["error"]["code"] == "QUOTA_EXCEEDED"
        assert results[1]["error"]["detail"] == "the share has 40 of 100 bytes left, and this needs 50"


def test_a_batch_says_which_files_cannot_be_given(server: ServerUnderTest, share: str) -> None:
    client = server.client
    results = pack(client, share, [({"path": "/keep"}, b"keep"), ({"path": "/gone/x"}, b"gone")])
    folder = client.get(f"/api/v1/shares/{share}/node?path=/gone").json()["id"]
    client.delete(f"/api/v1/shares/{share}/nodes/{folder}")
    ids = [folder, results[1]["resource_id"], "fil_unknown", results[0]["resource_id"]]
    found = batch(client, share, file_ids=ids)
    assert [head.get("error", {}).get("code") for head, _ in found] == ["NOT_FOUND"] * 3 + [None]
    assert found[3][1] == b"keep"
    assert batch(client, share, paths=["/gone/x"])[0][0]["error"]["code"] == "NOT_FOUND"
    stranger = server.caller("other", "org_admin")
    assert stranger.post("/api/v1/downloads/batch", json={"share_id": share, "file_ids": []}).status == 404
    assert client.post("/api/v1/downloads/batch", json={"share_id": share}).status == 422


@pytest.mark.sqlite_only
def test_the_standard_library_goes_up_packed_and_comes_down_equal(client: Client, share: str) -> None:
    root = Path(sysconfig.get_path("stdlib"))
    found = (path for path in sorted(root.rglob("*.py")) if path.is_file() and not path.is_symlink())
    paths = [path for path in found if "site-packages" not in path.parts][:2500]
    hashes: dict[str, str] = {}
    for at in range(0, len(paths), 500):
        files = [({"path": "/" + str(path.relative_to(root))}, path.read_bytes()) for path in paths[at : at + 500]]
        hashes |= {head["path"]: hashlib.sha256(body).hexdigest() for head, body in files}
        assert {result["status"] for result in pack(client, share, files)} == {"created"}
    down = batch(client, share, paths=list(hashes))
    assert {head["path"]: hashlib.sha256(body).hexdigest() for head, body in down} == hashes
    assert len(down) > 400
    assert sum(len(body) for _, body in down) > 100 * KIB


def test_a_line_with_a_nul_is_refused_and_its_neighbours_are_taken(client: Client, share: str) -> None:
    results = pack(client, share, [({"path": "/a", "mime_type": "text/\0"}, b"one"), ({"path": "/b"}, b"two")])
    assert [result["status"] for result in results] == ["failed", "created"]


def test_a_file_with_the_checksum_of_what_is_there_changes_nothing_however_that_was_cut(
    client: Client, share: str
) -> None:
    content = content_of(200 * KIB)
    sums = {"checksum_sha256": hashlib.sha256(content).hexdigest()}
    there = upload(client, share, content, path="/a.bin", commit=True, **sums)
    [result] = pack(client, share, [({"path": "/a.bin", **sums}, content)])
    assert (result["status"], result["version_id"]) == ("unchanged", there["version_id"])

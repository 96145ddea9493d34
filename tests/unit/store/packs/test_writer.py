from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.base.errors import Damaged, Invalid, TooLarge
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import CHUNK_LIMIT_BYTES, HEAD, ChunkRef, chunk_id, pack_name, read_tail
from headwater.store.packs.reader import read_each, read_range
from headwater.store.packs.source import PackSource
from headwater.store.packs.writer import PackWriter, Written, discard

KIB = 1024


class CountingFolder(PackFolder):
    """A folder that notes every read and how many packs are open."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: list[tuple[int, int, int]] = []
        self.open_packs = 0
        self.most_open_packs = 0

    def open(self, pack: int) -> PackSource:
        source = super().open(pack)
        self.open_packs += 1
        self.most_open_packs = max(self.most_open_packs, self.open_packs)
        read, close = source.read, source.close

        def noted(start_bytes: int, length_bytes: int) -> bytes:
            self.reads.append((pack, start_bytes, length_bytes))
            return read(start_bytes, length_bytes)

        def closed() -> None:
            self.open_packs -= 1
            close()

        source.read = noted  # type: ignore[method-assign]
        source.close = closed  # type: ignore[method-assign]
        return source


@pytest.fixture
def folder(tmp_path: Path) -> CountingFolder:
    return CountingFolder(tmp_path / "packs")


def pieces(count: int, size_bytes: int, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(size_bytes) for _ in range(count)]


def write(folder: PackFolder, contents: list[bytes], **options: int) -> tuple[list[ChunkRef], Written]:
    with PackWriter(folder, "org_a", **options) as writer:
        refs = [writer.append(content) for content in contents]
        return refs, writer.close()


def test_what_was_written_is_read_back(folder: CountingFolder) -> None:
    contents = pieces(30, 10 * KIB) + pieces(3, 700 * KIB) + pieces(5, 1) + pieces(2, 256 * KIB)
    refs, written = write(folder, contents)
    assert b"".join(read_range(folder, refs)) == b"".join(contents)
    assert [bytes(view) for view in read_each(folder, refs)] == contents
    assert [ref.chunk for ref in refs] == [chunk_id(content) for content in contents]
    assert written.refs == tuple(refs)


def test_a_request_is_one_file_and_says_what_it_holds(folder: CountingFolder, tmp_path: Path) -> None:
    refs, written = write(folder, pieces(1000, 2 * KIB))
    (pack,) = written.packs
    files = [path for path in (tmp_path / "packs").rglob("*") if path.is_file()]
    assert files == [tmp_path / "packs" / pack_name(pack.pack)]
    assert (pack.size_bytes, pack.content_bytes, pack.chunks) == (files[0].stat().st_size, 1000 * 2 * KIB, 1000)
    assert files[0].stat().st_mode & 0o777 == 0o600
    source = folder.open(pack.pack)
    assert read_tail(pack.pack, source) == ("org_a", refs)
    source.close()
    assert [(stored.pack, stored.size_bytes) for stored in folder.listing()] == [(pack.pack, pack.size_bytes)]


def test_a_request_without_chunks_writes_nothing(folder: CountingFolder) -> None:
    assert write(folder, []) == ([], Written("org_a", (), ()))
    assert list(folder.listing()) == []


def test_the_same_chunk_is_written_once_in_a_request(folder: CountingFolder) -> None:
    refs, written = write(folder, [b"twice", b"once", b"twice"])
    assert refs[0] == refs[2]
    assert written.packs[0].chunks == 2
    assert written.refs == (refs[0], refs[1])


def test_a_wrong_id_is_refused_and_its_neighbours_are_kept(folder: CountingFolder) -> None:
    with PackWriter(folder, "org_a") as writer:
        first = writer.append(b"first", chunk_id(b"first"))
        with pytest.raises(Invalid) as refusal:
            writer.append(b"second", chunk_id(b"something else"))
        third = writer.append(b"third", chunk_id(b"third"))
        written = writer.close()
    assert refusal.value.error_code == "CHUNK_MISMATCH"
    assert written.refs == (first, third)
    assert b"".join(read_range(folder, written.refs)) == b"firstthird"


@pytest.mark.parametrize("size_bytes", [0, CHUNK_LIMIT_BYTES + 1])
def test_a_chunk_that_is_empty_or_over_the_limit_is_refused(folder: CountingFolder, size_bytes: int) -> None:
    with PackWriter(folder, "org_a") as writer, pytest.raises(TooLarge):
        writer.append(bytes(size_bytes))
    assert list(folder.listing()) == []


def test_the_callers_buffer_may_change_after_the_append(folder: CountingFolder) -> None:
    buffer = bytearray(b"before")
    with PackWriter(folder, "org_a") as writer:
        ref = writer.append(memoryview(buffer))
        buffer[:] = b"after!"
        writer.close()
    assert b"".join(read_range(folder, [ref])) == b"before"


def test_a_long_request_goes_on_in_further_packs(folder: CountingFolder) -> None:
    contents = pieces(10, 400)
    refs, written = write(folder, contents, limit_bytes=1000)
    assert [pack.chunks for pack in written.packs] == [2, 2, 2, 2, 2]
    assert all(pack.content_bytes == 800 for pack in written.packs)
    assert b"".join(read_range(folder, refs)) == b"".join(contents)


@pytest.mark.parametrize("end", ["abort", "leave", "fail"])
def test_a_writer_that_is_not_closed_leaves_no_file(folder: CountingFolder, end: str) -> None:
    with PackWriter(folder, "org_a", limit_bytes=1000) as writer:
        for content in pieces(5, 400):
            writer.append(content)
        if end == "abort":
            writer.abort()
        if end == "fail":
            with pytest.raises(RuntimeError), writer:
                raise RuntimeError
    assert list(folder.listing()) == []


def test_discard_removes_a_request_that_could_not_be_committed(folder: CountingFolder) -> None:
    _, written = write(folder, pieces(5, 400), limit_bytes=1000)
    discard(folder, written)
    assert list(folder.listing()) == []


def test_neighbours_are_read_as_one_run_in_pieces(folder: CountingFolder) -> None:
    folder.piece_bytes = 256 * KIB
    refs, _ = write(folder, pieces(100, 10 * KIB))
    # Chunks are compared whole, so a piece ends where a chunk does.
    assert [len(piece) for piece in read_range(folder, refs)] == [250 * KIB] * 4
    assert len(folder.reads) == 4
    folder.reads.clear()
    # The first and the last half as a run each: their order is not that of the pack.
    assert b"".join(read_range(folder, refs[50:] + refs[:50])) != b""
    assert [length for _, _, length in folder.reads] == [250 * KIB] * 4


def test_a_range_reads_the_chunks_that_it_touches_and_each_once(folder: CountingFolder) -> None:
    contents = pieces(10, 1000)
    refs, _ = write(folder, contents)
    whole = b"".join(contents)
    assert b"".join(read_range(folder, refs, 1500, 2700)) == whole[1500:2700]
    assert folder.reads == [(refs[0].pack, len(HEAD) + 1000, 2000)]
    folder.reads.clear()
    # The chunks that a range cut are kept for the next one.
    assert b"".join(read_range(folder, refs, 1600, 2600)) == whole[1600:2600]
    assert folder.reads == []
    assert list(read_range(folder, refs, 10_000)) == []
    assert list(read_range(folder, refs, 700, 700)) == []
    assert b"".join(read_range(folder, refs, 9_999, 50_000)) == whole[9_999:]


def test_many_small_chunks_come_with_few_reads(folder: CountingFolder) -> None:
    folder.piece_bytes = 256 * KIB
    contents = pieces(1000, 3 * KIB)
    refs, _ = write(folder, contents)
    assert [bytes(view) for view in read_each(folder, refs)] == contents
    assert len(folder.reads) == 12
    assert max(length for _, _, length in folder.reads) <= 256 * KIB


def test_a_reading_keeps_few_packs_open_and_closes_them(folder: CountingFolder) -> None:
    refs = [write(folder, [content])[0][0] for content in pieces(20, 10)]
    order = refs + refs[::-1] + refs[::3]
    assert b"".join(read_range(folder, order)) == b"".join(bytes(view) for view in read_each(folder, order))
    assert folder.most_open_packs <= 5
    assert folder.open_packs == 0
    reading = read_range(folder, refs)
    next(reading)
    reading.close()
    assert folder.open_packs == 0


@pytest.mark.parametrize("read", [read_range, read_each])
def test_a_flipped_bit_is_never_passed_on(folder: CountingFolder, tmp_path: Path, read: Callable[..., object]) -> None:
    refs, _ = write(folder, pieces(5, 1000))
    path = tmp_path / "packs" / pack_name(refs[0].pack)
    content = bytearray(path.read_bytes())
    content[refs[3].start_bytes + 17] ^= 1
    path.write_bytes(content)
    assert sum(map(len, read(folder, refs[:3]))) == 3000  # type: ignore[call-overload]
    with pytest.raises(Damaged, match=refs[3].chunk.hex()):
        list(read(folder, refs))  # type: ignore[call-overload]


def test_a_range_of_large_chunks_gives_the_same_bytes(folder: CountingFolder) -> None:
    contents = pieces(3, 600 * KIB)
    refs, _ = write(folder, contents)
    whole = b"".join(contents)
    assert b"".join(read_range(folder, refs, 5, 1_300_000)) == whole[5:1_300_000]


@pytest.mark.parametrize("read", [read_range, read_each])
def test_a_missing_or_shortened_pack_is_damage(
    folder: CountingFolder, tmp_path: Path, read: Callable[..., object]
) -> None:
    refs, _ = write(folder, pieces(5, 1000))
    path = tmp_path / "packs" / pack_name(refs[0].pack)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(Damaged, match="shorter"):
        list(read(folder, refs))  # type: ignore[call-overload]
    path.unlink()
    with pytest.raises(Damaged, match="missing"):
        list(read(folder, refs))  # type: ignore[call-overload]

"""Which bytes a reading asks a place for; what they are is tested with real packs in test_writer and the properties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from headwater.base.errors import Damaged
from headwater.store.packs.backend import PackSink, StoredPack
from headwater.store.packs.format import ChunkRef, chunk_id
from headwater.store.packs.guard import KEPT_BYTES, ChunkGuard, FailedChunk
from headwater.store.packs.reader import CHUNKS_AT_ONCE, read_each, read_outcomes, read_range


class Shelf:
    """Packs in memory, with every read of them."""

    piece_bytes = 8

    def __init__(self, **packs: bytes) -> None:
        self.packs = {int(name.removeprefix("p")): content for name, content in packs.items()}
        self.reads: list[tuple[int, int, int]] = []
        self.closed: list[int] = []
        self.guard = ChunkGuard()

    def open(self, pack: int) -> Source:
        if pack not in self.packs:
            raise Damaged(f"no pack {pack}")
        return Source(self, pack)

    def create(self) -> PackSink:
        raise NotImplementedError

    def delete(self, pack: int) -> None:
        raise NotImplementedError

    def listing(self) -> Iterator[StoredPack]:
        raise NotImplementedError


class Source:
    def __init__(self, shelf: Shelf, pack: int) -> None:
        self._shelf, self._pack = shelf, pack
        self.size_bytes = len(shelf.packs[pack])

    def read(self, start_bytes: int, length_bytes: int) -> bytes:
        self._shelf.reads.append((self._pack, start_bytes, length_bytes))
        return self._shelf.packs[self._pack][start_bytes : start_bytes + length_bytes]

    def close(self) -> None:
        self._shelf.closed.append(self._pack)


def cut(shelf: Shelf, pack: int, *lengths: int, start: int = 0) -> list[ChunkRef]:
    """Chunks back to back in a pack."""
    refs = []
    for length in lengths:
        content = shelf.packs[pack][start : start + length]
        refs.append(ChunkRef(chunk_id(content), pack, start, length))
        start += length
    return refs


def whole_ones(shelf: Shelf, refs: list[ChunkRef]) -> list[bytes | None]:
    """The bytes of each chunk, None for a damaged one."""
    return [None if isinstance(each, Damaged) else bytes(each) for each in read_outcomes(shelf, refs)]


CONTENT = bytes(range(64))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(p1=CONTENT, p2=CONTENT[::-1])


def test_no_chunks_are_no_bytes_and_no_read(shelf: Shelf) -> None:
    assert list(read_range(shelf, [])) == []
    assert list(read_each(shelf, [])) == []
    assert shelf.reads == []


def test_neighbours_are_read_together_as_many_as_fit_a_piece(shelf: Shelf) -> None:
    assert b"".join(read_range(shelf, cut(shelf, 1, 3, 3, 3, 3))) == CONTENT[:12]
    assert shelf.reads == [(1, 0, 6), (1, 6, 6)]


def test_chunks_that_are_no_neighbours_are_read_in_the_order_of_the_pack(shelf: Shelf) -> None:
    first, second, third = cut(shelf, 1, 2, 2, 2)
    assert b"".join(read_range(shelf, [third, first])) == CONTENT[4:6] + CONTENT[:2]
    assert shelf.reads == [(1, 0, 2), (1, 4, 2)]
    assert second not in (first, third)


def test_tiny_chunks_are_read_together_in_whatever_order_they_are_listed(shelf: Shelf) -> None:
    shelf.piece_bytes = 1000
    refs = cut(shelf, 1, *[1] * 64)
    assert list(read_range(shelf, refs[::-1])) == [CONTENT[::-1]]
    assert shelf.reads == [(1, 0, 64)]


def test_a_chunk_that_is_listed_many_times_is_read_once(shelf: Shelf) -> None:
    shelf.piece_bytes = 100_000
    refs = cut(shelf, 1, 1) * (CHUNKS_AT_ONCE + 1)
    assert [len(piece) for piece in read_range(shelf, refs)] == [CHUNKS_AT_ONCE, 1]
    assert shelf.reads == [(1, 0, 1)] * 2


def test_the_same_place_in_another_pack_is_no_neighbour(shelf: Shelf) -> None:
    refs = [*cut(shelf, 1, 4), *cut(shelf, 2, 4, start=4)]
    assert b"".join(read_range(shelf, refs)) == CONTENT[:4] + CONTENT[::-1][4:8]
    assert [pack for pack, _, _ in shelf.reads] == [1, 2]


@pytest.mark.parametrize(
    ("start", "stop", "reads"),
    [
        (0, 0, []),
        (0, 1, [(1, 0, 4)]),
        (3, 4, [(1, 0, 4)]),
        (4, 8, [(1, 4, 4)]),
        (3, 5, [(1, 0, 8)]),
        (11, 12, [(1, 8, 4)]),
        (12, None, []),
        (12, 40, []),
        (10, 40, [(1, 8, 4)]),
        (5, 5, []),
    ],
)
def test_a_range_is_exactly_its_bytes_and_reads_the_chunks_that_it_touches_whole(
    shelf: Shelf, start: int, stop: int | None, reads: list[tuple[int, int, int]]
) -> None:
    refs = cut(shelf, 1, 4, 4, 4)
    assert b"".join(read_range(shelf, refs, start, stop)) == CONTENT[:12][start:stop]
    assert shelf.reads == reads


def test_small_ranges_in_a_row_read_a_chunk_once(shelf: Shelf) -> None:
    refs = cut(shelf, 1, 32, 32)
    found = [b"".join(read_range(shelf, refs, at, at + 3)) for at in range(0, 64, 3)]
    assert b"".join(found) == CONTENT
    assert shelf.reads == [(1, 0, 32), (1, 32, 32)]


def test_the_bytes_that_are_kept_are_bounded_and_the_last_ones_stay() -> None:
    guard = ChunkGuard()
    size_bytes = KEPT_BYTES // 4
    refs = [ChunkRef(bytes([number]), 1, 0, size_bytes) for number in range(6)]
    for ref in refs:
        guard.keep(ref, bytes(size_bytes))
        assert guard.kept(refs[0]) is not None or ref is refs[5]
    assert [guard.kept(ref) is not None for ref in refs] == [True, False, False, True, True, True]


def test_one_damaged_chunk_is_no_damage_of_its_neighbours(shelf: Shelf) -> None:
    refs = [*cut(shelf, 1, 2, 2, 2), *cut(shelf, 2, 2, 2)]
    shelf.packs[1] = CONTENT[:3] + b"\xff" + CONTENT[4:]
    del shelf.packs[2]
    outcomes = whole_ones(shelf, refs)
    assert outcomes == [CONTENT[:2], None, CONTENT[4:6], None, None]


def test_a_pack_that_was_cut_short_gives_the_chunks_before_the_cut(shelf: Shelf) -> None:
    refs = cut(shelf, 1, 2, 2, 2)
    shelf.packs[1] = CONTENT[:5]
    outcomes = whole_ones(shelf, refs)
    assert outcomes == [CONTENT[:2], CONTENT[2:4], None]


def test_what_fails_is_reported_and_read_where_it_is_now(shelf: Shelf) -> None:
    first, moved, lost = cut(shelf, 1, 2, 2, 2)
    shelf.packs[1] = CONTENT[:2] + b"\xff\xff\xff\xff"
    place = ChunkRef(moved.chunk, 2, 64 - 4, 2)
    shelf.packs[2] = CONTENT[:60] + CONTENT[2:4]
    reported: list[FailedChunk] = []

    def report(failed: Sequence[FailedChunk]) -> dict[ChunkRef, ChunkRef]:
        reported.extend(failed)
        return {moved: place._replace(start_bytes=60)}

    shelf.guard.on_damage(report)
    outcomes = [
        None if isinstance(each, Damaged) else bytes(each) for each in read_outcomes(shelf, [first, moved, lost])
    ]
    assert outcomes == [CONTENT[:2], CONTENT[2:4], None]
    assert [failed.ref for failed in reported] == [moved, lost]
    assert all("fails its hash" in failed.reason for failed in reported)


def test_chunks_that_fit_a_piece_come_with_one_read_and_a_larger_one_alone(shelf: Shelf) -> None:
    views = list(read_each(shelf, cut(shelf, 1, 4, 4, 1, 20, 2)))
    assert [len(view) for view in views] == [4, 4, 1, 20, 2]
    assert b"".join(views) == CONTENT[:31]
    assert shelf.reads == [(1, 0, 8), (1, 8, 1), (1, 9, 20), (1, 29, 2)]


@pytest.mark.parametrize("at", [0, 3, 4, 11])
def test_a_flipped_byte_is_found_before_any_byte_of_its_chunk_is_given(shelf: Shelf, at: int) -> None:
    refs = cut(shelf, 1, 4, 4, 4)
    damaged = bytearray(CONTENT)
    damaged[at] ^= 1
    shelf.packs[1] = bytes(damaged)
    given: list[bytes] = []
    with pytest.raises(Damaged):
        given.extend(read_range(shelf, refs))
    assert b"".join(given) == CONTENT[: at // 8 * 8]
    assert shelf.closed == [1]


def test_a_flipped_byte_in_a_chunk_that_is_not_touched_is_not_noticed(shelf: Shelf) -> None:
    refs = cut(shelf, 1, 4, 4)
    shelf.packs[1] = CONTENT[:4] + b"\xff" + CONTENT[5:]
    assert b"".join(read_range(shelf, refs, 0, 4)) == CONTENT[:4]


def test_a_missing_pack_is_damage(shelf: Shelf) -> None:
    lost = ChunkRef(chunk_id(b""), 3, 0, 4)
    with pytest.raises(Damaged, match="no pack 3"):
        list(read_each(shelf, [lost]))


def test_every_pack_that_was_opened_is_closed_also_after_a_failure(shelf: Shelf) -> None:
    refs = [*cut(shelf, 1, 4), *cut(shelf, 2, 4), ChunkRef(chunk_id(b""), 3, 0, 4)]
    with pytest.raises(Damaged):
        list(read_range(shelf, refs))
    assert sorted(shelf.closed) == [1, 2]


def test_a_reading_that_is_left_early_closes_its_packs(shelf: Shelf) -> None:
    reading = read_range(shelf, cut(shelf, 1, 20))
    assert next(reading) == CONTENT[:8]
    reading.close()
    assert shelf.closed == [1]


def test_the_pack_that_was_unused_longest_is_closed_first() -> None:
    shelf = Shelf(**{f"p{number}": CONTENT for number in range(1, 7)})
    shelf.piece_bytes = 1
    order = [1, 2, 3, 4, 1, 5, 2]
    list(read_range(shelf, [cut(shelf, pack, 1, start=place * 2)[0] for place, pack in enumerate(order)]))
    assert shelf.closed[:2] == [2, 3]


def test_a_large_chunk_is_compared_whole_and_then_read_again_piece_by_piece() -> None:
    content = bytes(range(250)) * 4
    shelf = Shelf(p1=content)
    shelf.piece_bytes = 100
    ref = ChunkRef(chunk_id(content), 1, 0, len(content))
    assert b"".join(read_range(shelf, [ref], 50, 950)) == content[50:950]
    assert {length for _, _, length in shelf.reads[1:]} == {100}


def test_a_piece_that_changed_after_its_chunk_was_compared_is_not_sent() -> None:
    content = bytes(range(250)) * 4
    shelf = Shelf(p1=content)
    shelf.piece_bytes = 100
    pieces = read_range(shelf, [ChunkRef(chunk_id(content), 1, 0, len(content))])
    got = [next(pieces), next(pieces)]
    shelf.packs[1] = content[:450] + b"!" + content[451:]
    with pytest.raises(Damaged):
        got += pieces
    assert content.startswith(b"".join(got))
    assert len(b"".join(got)) <= 400

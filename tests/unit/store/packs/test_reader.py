"""Which bytes a reading asks a place for; what they are is tested with real packs in test_writer and the properties."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headwater.base.errors import Damaged
from headwater.store.packs.backend import PackSink, StoredPack
from headwater.store.packs.format import ChunkRef, chunk_id
from headwater.store.packs.reader import read_each, read_range


class Shelf:
    """Packs in memory, with every read of them."""

    piece_bytes = 8

    def __init__(self, **packs: bytes) -> None:
        self.packs = {int(name.removeprefix("p")): content for name, content in packs.items()}
        self.reads: list[tuple[int, int, int]] = []
        self.closed: list[int] = []

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


CONTENT = bytes(range(64))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(p1=CONTENT, p2=CONTENT[::-1])


def test_no_chunks_are_no_bytes_and_no_read(shelf: Shelf) -> None:
    assert list(read_range(shelf, [])) == []
    assert list(read_each(shelf, [])) == []
    assert shelf.reads == []


def test_neighbours_are_read_in_pieces_that_ignore_where_chunks_end(shelf: Shelf) -> None:
    assert b"".join(read_range(shelf, cut(shelf, 1, 3, 3, 3, 3))) == CONTENT[:12]
    assert shelf.reads == [(1, 0, 8), (1, 8, 4)]


def test_chunks_that_are_no_neighbours_are_read_one_by_one(shelf: Shelf) -> None:
    first, second, third = cut(shelf, 1, 2, 2, 2)
    assert b"".join(read_range(shelf, [third, first])) == CONTENT[4:6] + CONTENT[:2]
    assert shelf.reads == [(1, 4, 2), (1, 0, 2)]
    assert second not in (first, third)


def test_the_same_place_in_another_pack_is_no_neighbour(shelf: Shelf) -> None:
    refs = [*cut(shelf, 1, 4), *cut(shelf, 2, 4, start=4)]
    assert b"".join(read_range(shelf, refs)) == CONTENT[:4] + CONTENT[::-1][4:8]
    assert [pack for pack, _, _ in shelf.reads] == [1, 2]


@pytest.mark.parametrize(
    ("start", "stop", "reads"),
    [
        (0, 0, []),
        (0, 1, [(1, 0, 1)]),
        (3, 4, [(1, 3, 1)]),
        (4, 8, [(1, 4, 4)]),
        (3, 5, [(1, 3, 2)]),
        (11, 12, [(1, 11, 1)]),
        (12, None, []),
        (12, 40, []),
        (10, 40, [(1, 10, 2)]),
        (5, 5, []),
    ],
)
@pytest.mark.parametrize("verify", [False, True])
def test_a_range_is_exactly_its_bytes(
    shelf: Shelf, start: int, stop: int | None, reads: list[tuple[int, int, int]], verify: bool
) -> None:
    refs = cut(shelf, 1, 4, 4, 4)
    assert b"".join(read_range(shelf, refs, start, stop, verify=verify)) == CONTENT[:12][start:stop]
    if not verify:
        assert shelf.reads == reads


def test_a_verified_range_reads_the_chunks_that_it_touches_whole(shelf: Shelf) -> None:
    list(read_range(shelf, cut(shelf, 1, 4, 4, 4), 5, 6, verify=True))
    assert shelf.reads == [(1, 4, 4)]


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
        given.extend(read_range(shelf, refs, verify=True))
    assert b"".join(given) == CONTENT[: at // 4 * 4]


def test_a_flipped_byte_in_a_chunk_that_is_not_touched_is_not_noticed(shelf: Shelf) -> None:
    refs = cut(shelf, 1, 4, 4)
    shelf.packs[1] = CONTENT[:4] + b"\xff" + CONTENT[5:]
    assert b"".join(read_range(shelf, refs, 0, 4, verify=True)) == CONTENT[:4]


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
    order = [1, 2, 3, 4, 1, 5, 2]
    list(read_range(shelf, [cut(shelf, pack, 1, start=place * 2)[0] for place, pack in enumerate(order)]))
    assert shelf.closed[:2] == [2, 3]

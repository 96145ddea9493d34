from __future__ import annotations

import random
import tracemalloc
from itertools import accumulate
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.base.chunking import DEFAULT_SIZES, KIB, MIB, Chunker, ChunkSizes, lengths
from headwater.base.settings.field import fields_of
from headwater.base.settings.table import FileSettings
from headwater.store.packs.format import CHUNK_LIMIT_BYTES

SMALL = ChunkSizes(minimum_bytes=256, average_bytes=KIB, maximum_bytes=4 * KIB)


def content_of(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


def cut_at_once(content: bytes, sizes: ChunkSizes = SMALL) -> list[bytes]:
    ends = list(accumulate(lengths(memoryview(content), last=True, sizes=sizes)))
    return [content[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def cut_in_pieces(content: bytes, piece_bytes: int, sizes: ChunkSizes = SMALL) -> list[bytes]:
    chunker = Chunker(sizes)
    found = []
    for at in range(0, len(content), piece_bytes):
        found += [bytes(view) for view in chunker.feed(content[at : at + piece_bytes])]
    return found + [bytes(view) for view in chunker.finish()]


def test_nothing_is_no_chunk() -> None:
    assert cut_at_once(b"") == []
    assert cut_in_pieces(b"", 10) == []


def test_content_up_to_one_mebibyte_is_one_chunk() -> None:
    content = content_of(MIB)
    assert cut_at_once(content, DEFAULT_SIZES) == [content]
    assert cut_in_pieces(content, 64 * KIB, DEFAULT_SIZES) == [content]


def test_every_chunk_but_the_last_keeps_within_the_sizes() -> None:
    chunks = cut_at_once(content_of(256 * KIB))
    assert len(chunks) > 64
    assert all(SMALL.minimum_bytes <= len(chunk) <= SMALL.maximum_bytes for chunk in chunks[:-1])


def test_content_without_any_pattern_is_cut_at_the_largest_size() -> None:
    assert [len(chunk) for chunk in cut_in_pieces(bytes(18 * KIB), 1000)] == [4 * KIB] * 4 + [2 * KIB]


@given(size_bytes=st.integers(0, 40 * KIB), piece_bytes=st.integers(1, 20 * KIB), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_stream_is_cut_alike_whatever_its_pieces_are(size_bytes: int, piece_bytes: int, seed: int) -> None:
    content = content_of(size_bytes, seed)
    in_pieces = cut_in_pieces(content, piece_bytes)
    assert in_pieces == cut_at_once(content)
    assert b"".join(in_pieces) == content


@given(at=st.integers(0, 200 * KIB), inserted=st.binary(min_size=1, max_size=300))
@settings(max_examples=40, deadline=None)
def test_an_insertion_leaves_chunks_away_from_it_as_they_were(at: int, inserted: bytes) -> None:
    content = content_of(200 * KIB, seed=3)
    before = cut_at_once(content)
    after = cut_at_once(content[:at] + inserted + content[at:])
    assert len(set(after) - set(before)) <= 8


def test_every_size_that_the_settings_allow_can_be_cut_with() -> None:
    metas = {field.name: get_args(field.kind)[1] for field in fields_of(FileSettings)}
    wanted = [metas[f"chunk_{size}_bytes"] for size in ("min", "avg", "max")]
    for sizes in (ChunkSizes(*(meta.ge for meta in wanted)), ChunkSizes(*(meta.le for meta in wanted))):
        content = content_of(sizes.maximum_bytes * 2)
        assert b"".join(cut_at_once(content, sizes)) == content
        assert sizes.maximum_bytes <= CHUNK_LIMIT_BYTES


def test_a_stream_is_held_in_two_of_the_largest_chunks() -> None:
    chunker = Chunker(SMALL)
    for _ in range(100):
        for view in chunker.feed(content_of(10 * KIB)):
            assert len(view) <= SMALL.maximum_bytes
    assert len(chunker._buffer) == 2 * SMALL.maximum_bytes


def test_a_stream_costs_the_memory_of_what_has_arrived() -> None:
    tracemalloc.start()
    try:
        chunkers = [Chunker() for _ in range(100)]
        for chunker in chunkers:
            assert list(chunker.feed(bytes(1000))) == []
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held_bytes < 100 * 8000

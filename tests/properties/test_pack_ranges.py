from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_each, read_range
from headwater.store.packs.writer import PackWriter

PIECE_BYTES = 300
"""Small pieces, so that runs, pieces and chunks end at different places."""


class Stock:
    """Chunks of many sizes in three packs, to put files together from."""

    def __init__(self, folder: PackFolder) -> None:
        source = random.Random(11)
        self.folder = folder
        self.chunks: list[tuple[ChunkRef, bytes]] = []
        for _ in range(3):
            with PackWriter(folder, "org_a") as writer:
                for size_bytes in (1, 299, 300, 301, 7, 2000, 50, 1):
                    content = source.randbytes(size_bytes)
                    self.chunks.append((writer.append(content), content))
                writer.close()


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    folder = PackFolder(tmp_path_factory.mktemp("stock") / "packs")
    folder.piece_bytes = PIECE_BYTES
    return Stock(folder)


files = st.lists(
    # Runs of neighbours, so that coalescing is the rule and not the exception.
    st.tuples(st.integers(0, 23), st.integers(1, 8)).map(lambda run: list(range(run[0], min(24, run[0] + run[1])))),
    max_size=6,
).map(lambda runs: [number for run in runs for number in run])


@given(file=files, start=st.integers(0, 20_000), length=st.none() | st.integers(0, 20_000))
@settings(max_examples=300, deadline=None)
def test_any_range_of_any_file_is_the_slice_of_its_content(
    stock: Stock, file: list[int], start: int, length: int | None
) -> None:
    refs = [stock.chunks[number][0] for number in file]
    whole = b"".join(stock.chunks[number][1] for number in file)
    stop = None if length is None else start + length
    read = list(read_range(stock.folder, refs, start, stop))
    assert b"".join(read) == whole[start:stop]
    assert all(0 < len(piece) <= PIECE_BYTES for piece in read)


@given(file=files)
@settings(max_examples=100, deadline=None)
def test_any_chunks_in_any_order_come_one_by_one(stock: Stock, file: list[int]) -> None:
    refs = [stock.chunks[number][0] for number in file]
    contents = [bytes(view) for view in read_each(stock.folder, refs)]
    assert contents == [stock.chunks[number][1] for number in file]

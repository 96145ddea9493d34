"""Cuts content where the content itself says so: an insertion changes one chunk, not all that follow.

Boundaries are stored with each version and never worked out again: another library, or other sizes, may cut
elsewhere without harm. Server and client both cut with this module. Decision: docs/decisions/0003-packs.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

KIB = 1024
MIB = 1024 * KIB


class ChunkSizes(NamedTuple):
    """The smallest, the aimed-at and the largest chunk, in bytes; the last chunk of content may be smaller.

    Content of at most the average, and a rest of at most the average, is one chunk.
    The cutter allows 64 B to 1 MiB, 256 B to 4 MiB and 1 KiB to 16 MiB.
    """

    minimum_bytes: int = 256 * KIB
    average_bytes: int = MIB
    maximum_bytes: int = 4 * MIB


DEFAULT_SIZES = ChunkSizes()


@cache
def _cutter(sizes: ChunkSizes) -> Callable[[memoryview], Iterable[Any]]:
    # Imported when first needed: a client that finds nothing to upload starts without it.
    from pyfastcdc import FastCDC  # noqa: PLC0415

    return FastCDC(sizes.average_bytes, min_size=sizes.minimum_bytes, max_size=sizes.maximum_bytes).cut_buf


def lengths(window: memoryview, *, last: bool, sizes: ChunkSizes = DEFAULT_SIZES) -> Iterator[int]:
    """The lengths of the chunks at the front of a window that begins at a boundary.

    Unless the window is the ``last`` of its content, a tail shorter than the largest chunk is left over,
    because bytes that follow decide where it is cut. Equal content gives equal lengths in any windows.
    """
    left = len(window)
    least = sizes.average_bytes + 1 if last else sizes.maximum_bytes
    if left >= least:
        for chunk in _cutter(sizes)(window):
            yield chunk.length
            left -= chunk.length
            if left < least:
                break
    if last and left:
        yield left


class Chunker:
    """Cuts a stream that arrives in pieces; holds at most two chunks of the largest size.

    Shape: each view that it yields is valid only until the next one is asked for.
    """

    def __init__(self, sizes: ChunkSizes = DEFAULT_SIZES) -> None:
        self._sizes = sizes
        self._held = memoryview(bytearray(2 * sizes.maximum_bytes))
        self._end = 0

    def feed(self, piece: bytes | bytearray | memoryview) -> Iterator[memoryview]:
        """Take the next piece of the stream; yields the chunks that are complete."""
        arriving = memoryview(piece)
        while arriving:
            room = len(self._held) - self._end
            taken = arriving[:room]
            self._held[self._end : self._end + len(taken)] = taken
            self._end += len(taken)
            arriving = arriving[room:]
            if self._end == len(self._held):
                yield from self._cut(last=False)

    def finish(self) -> Iterator[memoryview]:
        """The stream has ended; yields the chunks that are left."""
        yield from self._cut(last=True)

    def _cut(self, *, last: bool) -> Iterator[memoryview]:
        start = 0
        for length in lengths(self._held[: self._end], last=last, sizes=self._sizes):
            yield self._held[start : start + length]
            start += length
        left = self._end - start
        self._held[:left] = self._held[start : self._end]
        self._end = left

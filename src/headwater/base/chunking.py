"""Content-defined chunking: an insertion into a file changes one chunk, not all chunks after it.

Boundaries are stored with each version and never computed again, so another library, or other sizes, may choose
other boundaries without harm. Server and client both use this module. Decision: docs/decisions/0003-packs.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

KIB = 1024
MIB = 1024 * KIB


class ChunkSizes(NamedTuple):
    """The minimum, average and maximum size of a chunk, in bytes; the last chunk of content may be smaller.

    Content of at most the average size, and a rest of at most the average size, is one chunk.
    The library allows 64 B to 1 MiB, 256 B to 4 MiB and 1 KiB to 16 MiB.
    """

    minimum_bytes: int = 256 * KIB
    average_bytes: int = MIB
    maximum_bytes: int = 4 * MIB


DEFAULT_SIZES = ChunkSizes()


@cache
def _cutter(sizes: ChunkSizes) -> Callable[[memoryview], Iterable[Any]]:
    # Imported on first use: a client without anything to upload starts faster.
    from pyfastcdc import FastCDC  # noqa: PLC0415

    return FastCDC(sizes.average_bytes, min_size=sizes.minimum_bytes, max_size=sizes.maximum_bytes).cut_buf


def lengths(window: memoryview, *, last: bool, sizes: ChunkSizes = DEFAULT_SIZES) -> Iterator[int]:
    """Yields the lengths of the chunks at the start of a window, which must begin at a boundary.

    Unless the window is the ``last`` of its content, a tail shorter than the largest chunk is left uncut, because
    later bytes determine its boundary. Equal content gives equal lengths, however it is divided into windows.
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
    """Cuts a stream that arrives in pieces; buffers what has arrived, at most two chunks of the largest size.

    Shape: each view that it yields is valid only until the next one is requested.
    """

    def __init__(self, sizes: ChunkSizes = DEFAULT_SIZES) -> None:
        self._sizes = sizes
        self._most_bytes = 2 * sizes.maximum_bytes
        self._buffer = memoryview(bytearray())
        self._end = 0

    def feed(self, piece: bytes | bytearray | memoryview) -> Iterator[memoryview]:
        """Accepts the next piece of the stream; yields the chunks that are complete."""
        arriving = memoryview(piece)
        while arriving:
            self._make_room(len(arriving))
            room = len(self._buffer) - self._end
            taken = arriving[:room]
            self._buffer[self._end : self._end + len(taken)] = taken
            self._end += len(taken)
            arriving = arriving[room:]
            if self._end == self._most_bytes:
                yield from self._cut(last=False)

    def finish(self) -> Iterator[memoryview]:
        """Ends the stream; yields the remaining chunks."""
        yield from self._cut(last=True)

    def _make_room(self, arriving_bytes: int) -> None:
        """Makes the buffer larger as bytes arrive: a stream that was only announced costs no memory."""
        needed_bytes = min(self._most_bytes, self._end + arriving_bytes)
        if needed_bytes > len(self._buffer):
            larger = memoryview(bytearray(min(self._most_bytes, max(needed_bytes, 2 * len(self._buffer)))))
            larger[: self._end] = self._buffer[: self._end]
            self._buffer = larger

    def _cut(self, *, last: bool) -> Iterator[memoryview]:
        start = 0
        for length in lengths(self._buffer[: self._end], last=last, sizes=self._sizes):
            yield self._buffer[start : start + length]
            start += length
        left = self._end - start
        self._buffer[:left] = self._buffer[start : self._end]
        self._end = left

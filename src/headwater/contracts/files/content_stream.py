"""The hand-over of content from threads, which read packs, to the event loop, which sends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Iterator

from headwater.base.clock import monotonic_seconds

KEEPS_UP_SECONDS = 0.1
"""A reader that took a piece in this time gets the next one read ahead."""


async def stream(pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The pieces of an iterator, read in threads, so that a slow disk blocks no other request.

    One is read ahead while the reader keeps up; a slow reader costs the memory of one piece. An empty piece is not
    sent: it is where a reading that sends nothing for long can be ended.
    """
    reading = _SharedIterator(pieces)
    coming: asyncio.Future[bytes | None] | None = None
    keeps_up = False
    try:
        while (piece := await (coming or _reading(reading))) is not None:
            coming = _reading(reading) if keeps_up else None
            if piece:
                began_seconds = monotonic_seconds()
                yield piece
                keeps_up = monotonic_seconds() - began_seconds < KEEPS_UP_SECONDS
    finally:
        await asyncio.to_thread(reading.close)
        if coming is not None:
            coming.add_done_callback(_retrieve)
            coming.cancel()


def _reading(reading: _SharedIterator) -> asyncio.Future[bytes | None]:
    return asyncio.ensure_future(asyncio.to_thread(reading.take))


async def started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, the first of which is read now: a failure at the beginning is answered as an error."""
    first = await asyncio.to_thread(next, pieces, b"")
    return _continued(first, pieces)


def _continued(first: bytes, others: Iterator[bytes]) -> Generator[bytes, None, None]:
    yield first
    yield from others


def _retrieve(coming: asyncio.Future[bytes | None]) -> None:
    """Reads the failure of a piece that is no longer awaited, so that asyncio does not report it as lost."""
    if not coming.cancelled():
        coming.exception()


class _SharedIterator:
    """An iterator that one thread at a time reads; a cancelled read may still be under way in another."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._turn = threading.Lock()

    def take(self) -> bytes | None:
        with self._turn:
            return next(self._pieces, None)

    def close(self) -> None:
        with self._turn:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()

"""The hand-over of content from threads, which read packs, to the event loop, which sends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator


async def stream(pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The pieces of an iterator, read in threads, so that a slow disk blocks no other request; one is read ahead."""
    reading = _SharedIterator(pieces)
    coming = asyncio.ensure_future(asyncio.to_thread(reading.take))
    try:
        while (piece := await coming) is not None:
            coming = asyncio.ensure_future(asyncio.to_thread(reading.take))
            yield piece
    finally:
        await asyncio.to_thread(reading.close)
        coming.add_done_callback(_retrieve)
        coming.cancel()


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

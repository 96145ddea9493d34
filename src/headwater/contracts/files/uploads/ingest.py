"""Takes the bytes of a request into packs: cut, hashed and written on threads while the next ones arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, TypeVar

from headwater.base.chunking import Chunker, ChunkSizes
from headwater.base.errors import Fatal, HeadwaterError, Unavailable
from headwater.base.settings.table import FileSettings
from headwater.store.database import Database, TransactionFunction
from headwater.store.packs.backend import Content, PackBackend
from headwater.store.packs.writer import PackWriter, Written, discard
from headwater.store.tree.versions import Piece

Result = TypeVar("Result")

GATHER_BYTES = 1024 * 1024
"""So much is gathered before a thread takes it: fewer hand-overs, and the memory of an upload stays bounded."""


class DurableChunks(NamedTuple):
    """Chunks of one stream in order, and what was written for them; durable, not yet known to the database."""

    pieces: tuple[Piece, ...]
    written: Written
    size_bytes: int


def sizes_of(settings: FileSettings) -> ChunkSizes:
    """How this server cuts content."""
    return ChunkSizes(settings.chunk_min_bytes, settings.chunk_avg_bytes, settings.chunk_max_bytes)


class Intake:
    """Cuts one stream into chunks and writes them to packs; used by one thread at a time."""

    def __init__(self, place: PackBackend, organisation: str, sizes: ChunkSizes) -> None:
        self._place = place
        self._organisation = organisation
        self._chunker = Chunker(sizes)
        self._writer = PackWriter(place, organisation)
        self._pieces: list[Piece] = []

    def take(self, content: Content) -> None:
        """Take the next bytes. Raises: QuotaExceeded (disk full), Fatal, Unavailable."""
        for chunk in self._chunker.feed(content):
            self._append(chunk)

    def settle(self) -> DurableChunks:
        """Make what is cut durable; the bytes behind the last boundary wait for those that follow."""
        batch = self._close()
        self._writer = PackWriter(self._place, self._organisation)
        return batch

    def finish(self) -> DurableChunks:
        """The stream has ended: make all of it durable."""
        for chunk in self._chunker.finish():
            self._append(chunk)
        return self._close()

    def abort(self) -> None:
        """Remove what was written and not settled."""
        self._writer.abort()

    def _append(self, chunk: memoryview) -> None:
        ref = self._writer.append(chunk)
        self._pieces.append(Piece(ref.chunk, ref.length_bytes))

    def _close(self) -> DurableChunks:
        pieces = tuple(self._pieces)
        self._pieces.clear()
        return DurableChunks(pieces, self._writer.close(), sum(piece.length_bytes for piece in pieces))


async def pour(stream: AsyncIterator[bytes], take: Callable[[bytes], None]) -> None:
    """Hand a stream over in large pieces to a thread, while the next one is gathered.

    When it raises, all that had arrived before was taken. Raises: what the stream or ``take`` raises.
    """
    working: asyncio.Future[None] | None = None
    held: list[bytes] = []
    size_bytes = 0
    try:
        async for piece in stream:
            held.append(piece)
            size_bytes += len(piece)
            if size_bytes >= GATHER_BYTES:
                content = b"".join(held)
                held, size_bytes = [], 0
                if working is not None:
                    await working
                working = _start(take, content)
    finally:
        if working is not None:
            await working
        if held:
            await asyncio.to_thread(take, b"".join(held))


def _start(take: Callable[[bytes], None], content: bytes) -> asyncio.Future[None]:
    return asyncio.get_running_loop().run_in_executor(None, take, content)


async def note(
    database: Database,
    place: PackBackend,
    batch: DurableChunks,
    function: TransactionFunction[Result],
    *,
    feed: int,
    recheck: Callable[[], Awaitable[None]],
) -> Result:
    """Run the work that makes a batch known; when it is refused, the batch's packs are removed at once.

    ``recheck`` refuses a caller that lost its rights while it was sending.
    """
    try:
        await recheck()
        return await database.write(function, feed=feed)
    except (Fatal, Unavailable):
        # Nobody knows whether it was committed: its connection may have been lost, or its disk failed in the middle.
        # The packs stay, and sweep decides later.
        raise
    except HeadwaterError:
        await asyncio.to_thread(discard, place, batch.written)
        raise

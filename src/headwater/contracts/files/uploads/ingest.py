"""Writes the bytes of a request to packs, on threads while the next ones arrive, and removes packs that were refused.

A pack that no transaction names is an orphan: the sweep removes it after the grace. Here it is removed at once, where
it is certain that none does.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from headwater.base.chunking import Chunker, ChunkSizes
from headwater.base.errors import Fatal, HeadwaterError, Unavailable
from headwater.base.settings.table import FileSettings
from headwater.store.database import Database, Transaction, TransactionFunction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.source import Content
from headwater.store.packs.writer import PackWriter, Written, discard
from headwater.store.tree.versions import Piece

Result = TypeVar("Result")

GATHER_BYTES = 1024 * 1024
"""The bytes gathered before a thread receives them: few hand-overs, and bounded memory for an upload."""


class DurableChunks(NamedTuple):
    """Chunks of one stream in order, and the packs written for them; durable, and not yet in the database."""

    pieces: tuple[Piece, ...]
    written: Written
    size_bytes: int


def sizes_of(settings: FileSettings) -> ChunkSizes:
    """The sizes by which this server cuts content."""
    return ChunkSizes(settings.chunk_min_bytes, settings.chunk_avg_bytes, settings.chunk_max_bytes)


class PendingPacks(ABC):
    """A context of packs that may have to be removed at its end; as ``async with`` it removes them on a thread."""

    @abstractmethod
    def remove(self) -> None:
        """Removes the packs."""

    def is_void(self, error: BaseException | None) -> bool:
        """True when the packs are of no use after this end of the context: here, after any failure."""
        return error is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_void(error):
            self.remove()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_void(error):
            await asyncio.to_thread(self.remove)


class Intake(PendingPacks):
    """Cuts one stream into chunks and writes them to packs; used by one thread at a time.

    As a context it removes after a failure what is not settled.
    """

    def __init__(self, place: PackBackend, organisation: str, sizes: ChunkSizes) -> None:
        self._place = place
        self._organisation = organisation
        self._chunker = Chunker(sizes)
        self._writer = PackWriter(place, organisation)
        self._pieces: list[Piece] = []

    def take(self, content: Content) -> None:
        """Cuts and writes the next bytes. Raises: QuotaExceeded (disk full), Fatal, Unavailable."""
        for chunk in self._chunker.feed(content):
            self._append(chunk)

    def settle(self) -> DurableChunks:
        """Makes the chunks cut so far durable; the bytes after the last boundary wait for the next ones."""
        batch = self._close()
        self._writer = PackWriter(self._place, self._organisation)
        return batch

    def finish(self) -> DurableChunks:
        """Makes the whole stream durable, at its end."""
        for chunk in self._chunker.finish():
            self._append(chunk)
        return self._close()

    def remove(self) -> None:
        """Removes what was written and not settled."""
        self._writer.abort()

    def _append(self, chunk: memoryview) -> None:
        ref = self._writer.append(chunk)
        self._pieces.append(Piece(ref.chunk, ref.length_bytes))

    def _close(self) -> DurableChunks:
        pieces = tuple(self._pieces)
        self._pieces.clear()
        return DurableChunks(pieces, self._writer.close(), sum(piece.length_bytes for piece in pieces))


async def pour(stream: AsyncIterator[bytes], take: Callable[[bytes], None]) -> None:
    """Hands a stream over in large pieces to a thread, while the next one is gathered.

    When it raises, all pieces that arrived before were handed over. Raises: the errors of the stream and of ``take``.
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


class PackCommit(PendingPacks):
    """The commit of durable packs: they stay if a transaction names them, or may name them.

    Until a transaction function is handed over, any failure removes them. After that a refusal removes them, and so
    does a success in which the function did not run: the answer was stored before, under an Idempotency-Key.
    """

    def __init__(self, place: PackBackend, written: Written) -> None:
        self._place = place
        self._written = written
        self._handed_over = False
        self._ran = False

    def watch(self, function: TransactionFunction[Result]) -> TransactionFunction[Result]:
        """The transaction function that names the packs, to hand over to the database; its run is recorded."""
        self._handed_over = True

        def watched(tx: Transaction) -> Result:
            self._ran = True
            return function(tx)

        return watched

    def is_void(self, error: BaseException | None) -> bool:
        """True when no transaction can name the packs."""
        if error is None:
            return not self._ran
        if not self._handed_over:
            return True
        # Fatal and Unavailable leave the outcome unknown: the connection may have been lost, or the disk may have
        # failed in the middle of the commit. So does the end of the wait. The packs stay, and the sweep decides later.
        return isinstance(error, HeadwaterError) and not isinstance(error, Fatal | Unavailable)

    def remove(self) -> None:
        """Removes the packs at once."""
        discard(self._place, self._written)


def commit_or_discard(place: PackBackend, written: Written) -> PackCommit:
    """The context in which a request's packs are committed: by ``watch``, else they are removed at its end."""
    return PackCommit(place, written)


async def record(
    database: Database,
    place: PackBackend,
    batch: DurableChunks,
    function: TransactionFunction[Result],
    *,
    feed: int,
    recheck: Callable[[], Awaitable[None]],
) -> Result:
    """Runs the transaction function that names a batch's packs; a refusal removes them at once.

    ``recheck`` refuses a caller that lost its rights while it was sending.
    """
    async with commit_or_discard(place, batch.written) as pending:
        await recheck()
        return await database.write(pending.watch(function), feed=feed)

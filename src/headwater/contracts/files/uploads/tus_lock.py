"""The turns of requests at a tus upload.

One request at a time writes to an upload. A later one ends the one before, whose connection is most likely dead
without the server knowing; its received bytes are stored first, so no byte is sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext


class UploadTurn:
    """A request's turn at an upload, which a later request may end."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._stopped = False
        self._scope: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Ends the wait for more bytes, now or when it begins."""
        self._stopped = True
        if self._scope is not None:
            # An instant of the loop's clock that has long passed.
            self._scope.reschedule(0.0)

    async def next_of(self, stream: AsyncIterator[bytes]) -> bytes | None:
        """The next piece of a body; None at its end. Raises: TimeoutError (the turn was ended)."""
        try:
            # A stopped turn still receives the bytes that have arrived, and waits for no more.
            async with asyncio.timeout(0 if self._stopped else None) as self._scope:
                return await anext(stream, None)
        finally:
            self._scope = None


class UploadLocks:
    """The turn at each upload that a request writes to."""

    def __init__(self) -> None:
        self._held: dict[str, UploadTurn] = {}

    @asynccontextmanager
    async def of(
        self, upload_id: str, aside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> AsyncGenerator[UploadTurn, None]:
        """A turn at an upload, after the request before was ended and has stored what it received.

        ``aside`` is the context in which the request waits for that.
        """
        while (before := self._held.get(upload_id)) is not None:
            before.stop()
            with aside():
                await before.done.wait()
        turn = self._held[upload_id] = UploadTurn()
        try:
            yield turn
        finally:
            del self._held[upload_id]
            turn.done.set()

"""Who writes to a tus upload, and the body that it sends.

One request at a time writes to an upload. A later one ends the one before, whose connection is most likely dead
without the server knowing; what that one had received is kept first, so no byte is sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from headwater.base.errors import HeadwaterError, Malformed, StateConflict, TooLarge
from headwater.contracts.files.uploads.tus_headers import Checksum


class Turn:
    """A request's turn at an upload, which a later request may end."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._stopped = False
        self._scope: asyncio.Timeout | None = None

    def stop(self) -> None:
        """End the wait for more bytes, now or when it begins."""
        self._stopped = True
        if self._scope is not None:
            # An instant of the loop's clock that has long passed.
            self._scope.reschedule(0.0)

    async def next_of(self, stream: AsyncIterator[bytes]) -> bytes | None:
        """The next piece of a body; None at its end. Raises: TimeoutError (the turn was ended)."""
        try:
            # Who was stopped still gets what has arrived, and waits for nothing more.
            async with asyncio.timeout(0 if self._stopped else None) as self._scope:
                return await anext(stream, None)
        finally:
            self._scope = None


class Turns:
    """Who is writing to which upload."""

    def __init__(self) -> None:
        self._held: dict[str, Turn] = {}

    @asynccontextmanager
    async def of(self, upload_id: str) -> AsyncGenerator[Turn, None]:
        """A turn at an upload, once whoever has it was ended and has kept what it received."""
        while (before := self._held.get(upload_id)) is not None:
            before.stop()
            await before.done.wait()
        turn = self._held[upload_id] = Turn()
        try:
            yield turn
        finally:
            del self._held[upload_id]
            turn.done.set()


class Source:
    """A request's body in legs; a break in it is remembered until what came before is safe."""

    def __init__(self, stream: AsyncIterator[bytes], turn: Turn, room_bytes: int, checksum: Checksum | None) -> None:
        self._ended = False
        self._stream = stream
        self._turn = turn
        self._left_bytes = room_bytes
        self._checksum = checksum
        self._failure: HeadwaterError | None = None

    def goes_on(self) -> bool:
        """True until the body has ended or broken off."""
        return not self._ended

    async def leg(self, leg_bytes: int) -> AsyncIterator[bytes]:
        """The next pieces, about this many bytes."""
        while leg_bytes > 0 and not self._ended:
            piece = await self._next()
            if piece is None:
                return
            self._left_bytes -= len(piece)
            if self._left_bytes < 0:
                raise TooLarge("more bytes came than the upload has left")
            if self._checksum is not None:
                self._checksum.update(piece)
            leg_bytes -= len(piece)
            yield piece

    def require_whole(self) -> None:
        """Tell of the break, if there was one. Raises: Malformed, BodyTimeout, StateConflict."""
        if self._failure is not None:
            raise self._failure

    async def _next(self) -> bytes | None:
        piece = None
        try:
            piece = await self._turn.next_of(self._stream)
        except Malformed as failure:
            self._failure = failure
        except TimeoutError:
            self._failure = StateConflict("a later request goes on with this upload", code="UPLOAD_TAKEN_OVER")
        self._ended = piece is None
        return piece

"""The body of a tus request, and taking it into an upload."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headwater.base.errors import HeadwaterError, Malformed, StateConflict, TooLarge
from headwater.contracts.files.uploads.tus_headers import Checksum
from headwater.contracts.files.uploads.tus_lock import UploadTurn


class BodyReader:
    """A request's body in legs; a break in it is remembered until what came before is safe."""

    def __init__(
        self, stream: AsyncIterator[bytes], turn: UploadTurn, room_bytes: int, checksum: Checksum | None
    ) -> None:
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

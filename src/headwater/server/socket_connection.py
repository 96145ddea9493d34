"""A WebSocket connection of uvicorn that reads no more while its peer reads nothing.

uvicorn answers each ping frame into the transport's buffer, however much waits there.
Source: RFC 6455 section 5.5.2 (pings); the limits are ours.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class BoundedSocketConnection(WebSocketsSansIOProtocol):
    """Pauses reading while the write buffer is above its mark, and cuts a peer that does not read it in time."""

    send_seconds: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the deadline."""
        self._stop_clock()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Stops reading, whose frames would be answered, and starts the deadline."""
        super().pause_writing()
        self.transport.pause_reading()
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops the deadline, and reads again unless a frame waits for its handler."""
        super().resume_writing()
        self._stop_clock()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """Returns the next event; a reader that is behind still sends nothing more."""
        event = await super().receive()
        if not self.writable.is_set() and not self.transport.is_closing():
            self.transport.pause_reading()
        return event

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded_socket(send_seconds: float) -> type[BoundedSocketConnection]:
    """Creates the connection class of one server."""
    return type("SocketConnection", (BoundedSocketConnection,), {"send_seconds": send_seconds})

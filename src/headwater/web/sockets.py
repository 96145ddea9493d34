"""One WebSocket: receives and sends frames, and closes; the handlers belong to the doors.

Source: RFC 6455; close codes 4401 (bad token) and 4404 (unknown) from the files contract's readings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from headwater.base.wire import encode
from headwater.identity.principal import Principal
from headwater.web.http.bodies import Message, Receive
from headwater.web.services import Services

Send = Callable[[Message], Awaitable[None]]

CLOSE_UNAUTHENTICATED = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_UNKNOWN = 4404
CLOSE_SLOW = 4408
CLOSE_TOO_MANY = 4429
CLOSE_TOO_BIG = 1009
CLOSE_REFUSED = 1008
CLOSE_FAILED = 1011
CLOSE_DONE = 1000
CLOSE_GOING = 1001


class Closed(Exception):
    """The socket was closed by either side; handlers do not catch it."""


class Socket:
    """One accepted WebSocket; frames are JSON text."""

    def __init__(
        self,
        services: Services,
        principal: Principal,
        params: dict[str, str],
        query: dict[str, str],
        receive: Receive,
        send: Send,
    ) -> None:
        self.services = services
        self.principal = principal
        self.params = params
        self.query = query
        self._receive = receive
        self._send = send
        self.closed = False

    async def accept(self) -> None:
        """Completes the handshake. Raises: Closed."""
        try:
            await self._send({"type": "websocket.accept"})
        except OSError:
            self.closed = True
            raise Closed from None

    async def send(self, frame: dict[str, Any]) -> None:
        """Sends a frame; closes the socket of a peer that does not read in time, which loses only this notification.

        Raises: Closed.
        """
        if self.closed:
            raise Closed
        text = encode(frame).decode()
        try:
            async with asyncio.timeout(self.services.settings.sockets.send_seconds):
                await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            await self.close(CLOSE_SLOW, "too slow")
            raise Closed from None
        except OSError:
            self.closed = True
            raise Closed from None

    async def receive(self) -> str:
        """Returns the next text frame. Raises: Closed (also after a binary or oversize frame)."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.closed = True
            raise Closed
        text = message.get("text")
        if text is None or len(text) > self.services.settings.sockets.frame_bytes:
            await self.close(CLOSE_TOO_BIG, "frames are short JSON texts")
            raise Closed
        return str(text)

    async def close(self, code: int, reason: str = "") -> None:
        """Closes the socket; idempotent, and does not wait for a lost peer."""
        if self.closed:
            return
        self.closed = True
        try:
            async with asyncio.timeout(1):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except (TimeoutError, OSError, RuntimeError):
            return

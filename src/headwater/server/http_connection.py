"""One HTTP connection: uvicorn's, with a deadline and a size for what comes before a body.

uvicorn waits for the rest of a request's head without end, and keeps a header line of any length in memory.
Source: RFC 9112 (framing); the limits are ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from headwater.base.errors import HeadwaterError, Malformed, TooLarge
from headwater.web.reply import Reply

HEAD_SECONDS = 10.0
"""Time that a request's head gets to arrive, from its first byte (or from the connection's begin)."""

DRAIN_SECONDS = 10.0
"""Time that the rest of a body gets after its request was answered, so that the answer can be read."""

AHEAD_BYTES = 2 * 1024 * 1024
"""So much of a body is taken in before its handler asks for it, once it has shown that it keeps up.

uvicorn stops at 64 KiB, and to stop and go on costs more than the bytes: a body of 256 MiB then took 1.6 times as long.
"""

Refuse = Callable[[str, HeadwaterError, int], Reply]
"""Renders an error of the framing for a path, in the envelope of the door that stands there."""


class BoundedConnection(HttpToolsProtocol):
    """Cuts a connection whose head is late or too large, or whose framing grows while no body comes."""

    head_bytes: ClassVar[int]
    refuse: ClassVar[Refuse]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._in_message = False
        self._unaccounted_bytes = 0
        self._ahead_bytes = HIGH_WATER_LIMIT
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what it neither finished as a head nor gave out as a body may not grow."""
        if not self._in_message:
            self._in_head = True
        self._unaccounted_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._cut)
        if self._unaccounted_bytes > self.head_bytes and (self._in_head or self._in_message):
            self._refuse(TooLarge("the request's head is too large", code="HEADERS_TOO_LARGE"), 431)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._ahead_bytes = HIGH_WATER_LIMIT

    def on_headers_complete(self) -> None:
        """The head is whole: its clock stops."""
        self._in_head = False
        self._unaccounted_bytes = 0
        self._stop_clock()
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer, which comes after the head, is dropped."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of the body: the framing before it is accounted for. It waits until the handler asks for it."""
        self._unaccounted_bytes = 0
        cycle: RequestResponseCycle = self.cycle
        if cycle.response_complete or (self.parser.should_upgrade() and self._should_upgrade()):
            return
        if not cycle.body:
            # The handler has taken all that came before: it may have more at once.
            self._ahead_bytes = min(2 * self._ahead_bytes, AHEAD_BYTES)
        cycle.body += body
        if len(cycle.body) > self._ahead_bytes:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message = False
        self._unaccounted_bytes = 0
        self._stop_clock()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is out; a body that nobody reads any more gets little time to end."""
        super().on_response_complete()
        if self._in_message and self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(DRAIN_SECONDS, self._cut)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the socket's protocol."""
        self._stop_clock()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """Answer bytes that are no HTTP request."""
        self._refuse(Malformed("the bytes are not a valid HTTP/1.1 request"), 400)

    def _refuse(self, failure: HeadwaterError, status: int) -> None:
        """Answer with an error, unless another answer is under way or due, and close."""
        self._stop_clock()
        cycle: RequestResponseCycle | None = self.cycle
        if not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started):
            path = (getattr(self, "url", b"") or b"/").partition(b"?")[0].decode("latin-1")
            reply = type(self).refuse(path, failure, status)
            lines = [STATUS_LINE[status], b"connection: close\r\n", b"content-length: %d\r\n" % len(reply.body)]
            lines += [name + b": " + value + b"\r\n" for name, value in reply.headers]
            self.transport.write(b"".join([*lines, b"\r\n", reply.body]))
        if cycle is not None:
            cycle.disconnected = True
        self.transport.close()

    def _cut(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded(head_bytes: int, refuse: Refuse) -> type[BoundedConnection]:
    """The connection class of one server; reads are as large as uvicorn's own, so the bound is head + one read."""
    return type(
        "Connection",
        (BoundedConnection,),
        {"head_bytes": head_bytes + HIGH_WATER_LIMIT, "refuse": staticmethod(refuse)},
    )

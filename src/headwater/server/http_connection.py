"""An HTTP connection of uvicorn with a deadline and a size limit for the bytes before a body and after an answer.

uvicorn waits for the rest of a request's head without end, keeps a header line of any length in memory, and answers
the next request of a caller that has not read the answer before.
Source: RFC 9112 (framing); the limits are ours.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from headwater.base.errors import HeadwaterError, Malformed, TooLarge
from headwater.web.http import peer, presence
from headwater.web.http.presence import Presence
from headwater.web.http.request_head import (
    head_without_upgrade,
    refuse_content_of_handshake,
    refuse_transfer_coding,
    take_host_of_target,
)
from headwater.web.http.socket_account import Endpoint
from headwater.web.reply import Reply

HEAD_SECONDS = 10.0
"""The deadline of a request's head, from its first byte (or from the connection's begin)."""

DRAIN_SECONDS = 10.0
"""The time for the rest of a body after its request was answered, so that the client can read the answer."""

UNREAD_SECONDS = 20.0
"""The time in which the last bytes of an answer must be read; then the connection is cut."""

AHEAD_BYTES = 2 * 1024 * 1024
"""The most bytes of a body that are read before its handler asks for them, once the handler has kept up.

uvicorn pauses at 64 KiB, and a pause costs more than the bytes: a body of 256 MiB then took 1.6 times as long.
"""

Refuse = Callable[[str, HeadwaterError, int], Reply]
"""Renders an error of the framing for a path, in the envelope of the door at that path."""


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose head is late or too large, or whose framing grows while no body arrives."""

    head_bytes: ClassVar[int]
    refuse: ClassVar[Refuse]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._in_message = False
        self._unaccounted_bytes = 0
        self._ahead_bytes = HIGH_WATER_LIMIT
        self._deadline: asyncio.TimerHandle | None = None
        self._unread_deadline: asyncio.TimerHandle | None = None
        self._held: tuple[RequestResponseCycle, ASGI3Application] | None = None
        self._running: RequestResponseCycle | None = None
        self._fault: Malformed | None = None
        self._plain_head: bytes | None = None
        self._fed = self._unfed = b""
        self._presence = Presence(self._has_hung_up, self._abort)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the deadline of the first head."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the deadlines, and reports to waiting requests that their caller is gone."""
        self._stop_clock()
        self._stop_unread_clock()
        self._held = None
        self._disconnect_running()
        super().connection_lost(exc)
        self._presence.end()

    def pause_writing(self) -> None:
        """Starts the deadline of an answer whose sending is over."""
        super().pause_writing()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._start_unread_clock()

    def resume_writing(self) -> None:
        """Stops that deadline, and begins the request that was held until the answer before was read."""
        super().resume_writing()
        self._stop_unread_clock()
        held, self._held = self._held, None
        if held is not None and not self.transport.is_closing():
            self._begin(*held)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begins a request, once its caller has read the answer before."""
        if self.flow.write_paused:
            self._held = (cycle, app)
        else:
            self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _disconnect_running(self) -> None:
        """Marks the request that is handled as over; uvicorn marks the last one that arrived, which may be another."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser; limits the bytes that belong to no finished head and to no body."""
        if not self._in_message:
            self._in_head = True
        self._unaccounted_bytes += len(data)
        self._unfed = data
        while self._unfed:
            self._fed, self._unfed = self._unfed, b""
            super().data_received(self._fed)
        self._fed = b""
        if self.transport.is_closing():
            return
        if self._in_head and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._cut)
        if self._unaccounted_bytes > self.head_bytes and (self._in_head or self._in_message):
            self._refuse(TooLarge("the request's head is too large", code="HEADERS_TOO_LARGE"), 431)

    def on_message_begin(self) -> None:
        """Resets the state for a new request."""
        super().on_message_begin()
        presence.put(self.scope, self._presence)
        ends = [Endpoint(end[0], end[1] or 0) if end else peer.NOWHERE for end in (self.client, self.server)]
        peer.put(self.scope, peer.Peer(*ends))
        self._in_head = self._in_message = True
        self._ahead_bytes = HIGH_WATER_LIMIT

    def on_headers_complete(self) -> None:
        """Stops the deadline of the head, which is complete. Raises: Malformed (framing that is refused)."""
        try:
            refuse_transfer_coding(self.headers)
            if self.parser.should_upgrade():
                if not self._should_upgrade():
                    self._plain_head = head_without_upgrade(
                        self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
                    )
                    return
                refuse_content_of_handshake(self.headers)
        except Malformed as failure:
            self._fault = failure
            raise
        take_host_of_target(self.url, self.headers)
        self._in_head = False
        self._unaccounted_bytes = 0
        self._stop_clock()
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Stores a header; drops a trailer, which follows the head."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Buffers a piece of the body until the handler asks for it; the framing before it no longer counts."""
        self._unaccounted_bytes = 0
        cycle: RequestResponseCycle = self.cycle
        if cycle.response_complete or (self.parser.should_upgrade() and self._should_upgrade()):
            return
        if not cycle.body:
            # The handler has read all earlier pieces: it may have more at once.
            self._ahead_bytes = min(2 * self._ahead_bytes, AHEAD_BYTES)
        cycle.body += body
        if len(cycle.body) > self._ahead_bytes:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Ends the request, which is complete; one whose upgrade is ignored is read anew."""
        if self._plain_head is not None:
            return
        self._in_message = False
        self._unaccounted_bytes = 0
        self._stop_clock()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Starts the deadline of a body whose request was answered, and which no handler reads any more."""
        super().on_response_complete()
        if self.flow.write_paused or self.transport.is_closing():
            self._start_unread_clock()
        if self._in_message and self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(DRAIN_SECONDS, self._cut)

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection to the protocol of WebSockets."""
        self._stop_clock()
        self._stop_unread_clock()
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Reads a request anew without its upgrade, which is ignored.

        The parser takes the body of such a request for the bytes of the other protocol. They would be lost, or be read
        as another request, which no proxy in front has seen. Source: RFC 9110 section 7.8 (a server may ignore it).
        """
        failure, head = sys.exception(), self._plain_head
        assert isinstance(failure, httptools.HttpParserUpgrade)
        assert head is not None
        self._plain_head = None
        self._unfed = head + self._fed[failure.args[0] :]
        self.parser = httptools.HttpRequestParser(self)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """Answers bytes that are no HTTP request."""
        self._refuse(self._fault or Malformed("the bytes are not a valid HTTP/1.1 request"), 400)

    def _refuse(self, failure: HeadwaterError, status: int) -> None:
        """Answers with an error, unless another answer has started or is due, and closes."""
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

    def _start_unread_clock(self) -> None:
        if self._unread_deadline is None:
            self._unread_deadline = self.loop.call_later(UNREAD_SECONDS, self._abort)

    def _stop_unread_clock(self) -> None:
        if self._unread_deadline is not None:
            self._unread_deadline.cancel()
            self._unread_deadline = None

    def _abort(self) -> None:
        self._disconnect_running()
        self.transport.abort()

    def _has_hung_up(self) -> bool:
        """True when the caller has closed the connection, also while its bytes are not read."""
        if self.transport.is_closing():
            return True
        plain: socket.socket | None = self.transport.get_extra_info("socket")
        if plain is None or not hasattr(select, "POLLRDHUP"):
            return False
        looked = select.poll()
        looked.register(plain.fileno(), select.POLLRDHUP)
        return bool(looked.poll(0))

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded(head_bytes: int, refuse: Refuse) -> type[BoundedConnection]:
    """Creates the connection class of one server; its limit is the head and one read of uvicorn's size."""
    return type(
        "Connection",
        (BoundedConnection,),
        {"head_bytes": head_bytes + HIGH_WATER_LIMIT, "refuse": staticmethod(refuse)},
    )

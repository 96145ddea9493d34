"""A cheap closed-loop HTTP client: each connection sends its next request when the answer is complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import uvloop

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Answer(NamedTuple):
    """One answer: its status, its body, and the seconds from sending to the last byte."""

    status: int
    body: bytes
    seconds: float


class Run(NamedTuple):
    """A finished run: requests answered, seconds taken, and the latencies in seconds, ascending."""

    count: int
    seconds: float
    latencies_seconds: list[float]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.count / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency below which so many percent lie, in milliseconds."""
        at = min(len(self.latencies_seconds) - 1, int(len(self.latencies_seconds) * percent / 100))
        return self.latencies_seconds[at] * 1000


class _Connection(asyncio.Protocol):
    """One connection: sends the requests that ``following`` returns, one after the other."""

    def __init__(self, following: Callable[[], bytes | None], answered: Callable[[Answer], None]) -> None:
        self._following = following
        self._answered = answered
        self._parts: list[bytes] = []
        self._missing = -1
        self._head = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            end = self._head.find(_END)
            if end < 0:
                return
            head, rest = self._head[:end].lower(), self._head[end + 4 :]
            at = head.find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._missing = length - len(rest)
            self._parts = [rest]
        else:
            self._parts.append(data)
            self._missing -= len(data)
        if self._missing <= 0:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _finish(self) -> None:
        status = int(self._head[9:12])
        self._answered(Answer(status, b"".join(self._parts), time.perf_counter() - self._sent_at))
        self._head, self._missing = b"", -1
        self._send()

    def _send(self) -> None:
        request = self._following()
        assert self._transport is not None
        if request is None:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """The bytes of one request on a connection that stays open."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method != "GET":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + _END + body


def drive(
    port: int, requests: Iterator[bytes], connections: int, *, expect: tuple[int, ...] = (200, 201, 202, 204)
) -> tuple[Run, list[Answer]]:
    """Sends all requests over some connections; returns the figures, and the last answers (at most 100).

    Raises: RuntimeError at an answer of another status than expected.
    """

    async def main() -> tuple[Run, list[Answer]]:
        latencies: list[float] = []
        answers: list[Answer] = []
        wrong: list[Answer] = []

        def following() -> bytes | None:
            return None if wrong else next(requests, None)

        def answered(answer: Answer) -> None:
            latencies.append(answer.seconds)
            if answer.status not in expect:
                wrong.append(answer)
            elif len(answers) < 100:
                answers.append(answer)

        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        made = [
            await loop.create_connection(lambda: _Connection(following, answered), "127.0.0.1", port)
            for _ in range(connections)
        ]
        await asyncio.gather(*(protocol.done for _, protocol in made))
        seconds = time.perf_counter() - began
        if wrong:
            raise RuntimeError(f"unexpected answer {wrong[0].status}: {wrong[0].body[:300]!r}")
        return Run(len(latencies), seconds, sorted(latencies)), answers

    return uvloop.run(main())


class Caller:
    """A plain blocking client on one connection, for requests one after the other."""

    def __init__(self, port: int) -> None:
        import socket  # noqa: PLC0415 - only here

        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> Answer:
        """Sends one request and waits for its answer."""
        began = time.perf_counter()
        self._socket.sendall(request)
        received = b""
        while (end := received.find(_END)) < 0:
            received += self._take()
        head = received[:end].lower()
        at = head.find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        parts = [received[end + 4 :]]
        missing = length - len(parts[0])
        while missing > 0:
            parts.append(self._take())
            missing -= len(parts[-1])
        return Answer(int(head[9:12]), b"".join(parts), time.perf_counter() - began)

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def _take(self) -> bytes:
        piece = self._socket.recv(1 << 20)
        if not piece:
            raise ConnectionError("the server closed the connection")
        return piece

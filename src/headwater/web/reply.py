"""An HTTP answer before it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from headwater.base.wire import encode

Header = tuple[bytes, bytes]
Part = bytes | memoryview
_JSON = (b"content-type", b"application/json")


class Reply(NamedTuple):
    """Status, headers and body.

    ``parts`` are a body that is sent part by part, where joining them would copy megabytes. ``stream`` is a body
    that is produced in pieces; its content-length is then a header, if it is known. ``permitted`` raises when the
    caller may not have a stream any more; it is called again and again while the stream is sent.
    """

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    parts: Sequence[Part] = ()
    permitted: Callable[[], Awaitable[object]] | None = None

    @property
    def size(self) -> int:
        """The length of the body in bytes, unless it is a stream."""
        return len(self.body) + sum(map(len, self.parts))

    def whole(self) -> bytes:
        """Returns the whole body as one value, unless it is a stream."""
        return b"".join((self.body, *self.parts))


def json_bytes(body: bytes, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """Returns an answer of encoded JSON."""
    return Reply(status, (_JSON, *headers), body)


def json_parts(parts: Sequence[Part]) -> Reply:
    """Returns an answer of encoded JSON in parts."""
    return Reply(200, (_JSON,), parts=parts)


def json(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """Returns an answer with a value as JSON."""
    return Reply(status, (_JSON, *headers), encode(value))


def empty(status: int = 204, headers: tuple[Header, ...] = ()) -> Reply:
    """Returns an answer without a body and without a content type."""
    return Reply(status, headers)

"""An HTTP answer before it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from headwater.base.wire import encode

Header = tuple[bytes, bytes]
_JSON = (b"content-type", b"application/json")


class Reply(NamedTuple):
    """Status, headers and body; with ``stream`` the body comes in pieces (then give content-length if known)."""

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


def json_bytes(body: bytes, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """An answer of JSON that is encoded already."""
    return Reply(status, (_JSON, *headers), body)


def json(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """An answer of a value as JSON."""
    return Reply(status, (_JSON, *headers), encode(value))


def empty(status: int = 204, headers: tuple[Header, ...] = ()) -> Reply:
    """An answer without a body and without a content type."""
    return Reply(status, headers)

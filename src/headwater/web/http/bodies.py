"""Request bodies: their limits of size and time, and the checks of JSON before it is decoded.

Source: RFC 8259 (JSON), RFC 9110 section 8.4 (Content-Encoding).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import BodyTimeout, Invalid, Malformed, MediaUnsupported, TooLarge
from headwater.base.settings.table import LimitSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_EXACT_BYTES = 64 * 1024
_MAX_LENGTH_DIGITS = 18
# An unterminated string is one match up to the end: otherwise each of its quotes would begin a search of the rest.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NUL = re.compile(rb"[^\\]*+(?:\\(?!u0000).[^\\]*+)*+\\u0000", re.DOTALL)


def refuse_coding(headers: dict[bytes, bytes]) -> None:
    """Refuses a body with a Content-Encoding, because a compressed body evades the limits of size.

    Raises: MediaUnsupported.
    """
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        raise MediaUnsupported("bodies are accepted without Content-Encoding only")


def has_body(headers: dict[bytes, bytes]) -> bool:
    """True when the request's head announces a body."""
    return b"content-length" in headers or b"transfer-encoding" in headers


def expected_bytes(headers: dict[bytes, bytes], limit_bytes: int) -> int:
    """Returns the bytes that a body may have: the announced ones, or the limit when it announces none or too many."""
    declared = headers.get(b"content-length", b"")
    announced = int(declared) if declared.isdigit() and len(declared) <= _MAX_LENGTH_DIGITS else limit_bytes
    return min(announced, limit_bytes)


async def read(receive: Receive, headers: dict[bytes, bytes], limit_bytes: int, limits: LimitSettings) -> bytes:
    """Reads the whole body. Raises: TooLarge, Malformed (cut off), BodyTimeout."""
    size_bytes = _declared_bytes(headers)
    if size_bytes is not None and size_bytes > limit_bytes:
        raise TooLarge(f"the body has {size_bytes} bytes; at most {limit_bytes} are accepted here")
    if size_bytes is None and not has_body(headers):
        return b""
    expected_bytes = limit_bytes if size_bytes is None else size_bytes
    try:
        async with asyncio.timeout(limits.body_seconds_base + expected_bytes / limits.body_bytes_per_second):
            return await _collect(receive, limit_bytes)
    except TimeoutError:
        raise BodyTimeout("the body arrived too slowly") from None


async def pieces(receive: Receive, headers: dict[bytes, bytes], limits: LimitSettings) -> AsyncIterator[bytes]:
    """Yields the body's pieces as they arrive. Raises: Malformed (cut off), BodyTimeout (below the minimum rate)."""
    more = has_body(headers)
    left_seconds = float(limits.body_seconds_base)
    while more:
        began_seconds = monotonic_seconds()
        try:
            async with asyncio.timeout(left_seconds):
                message = await receive()
        except TimeoutError:
            raise BodyTimeout("the body arrived too slowly") from None
        if message["type"] != "http.request":
            raise _cut_off()
        more = message.get("more_body", False)
        piece = message.get("body", b"")
        # Only the caller's time counts, not the handler's time for a piece.
        left_seconds += len(piece) / limits.body_bytes_per_second - (monotonic_seconds() - began_seconds)
        if piece:
            yield piece


def check_json(body: bytes, depth: int) -> None:
    """Refuses JSON that is nested too deeply or has a NUL in a string, which database text cannot contain.

    Raises: Malformed (no body, or too deep), Invalid (a NUL, with its path).
    """
    if not body:
        raise Malformed("the body is empty; JSON is expected")
    if is_deeper(body, depth):
        raise Malformed(f"the body is nested deeper than {depth} levels", code="JSON_TOO_DEEP")
    if b"\\u0000" in body and _NUL.match(body):
        path = _path_of_nul(body)
        raise Invalid.of(path, "incorrect_value", "text may not hold the character U+0000")


def is_deeper(body: bytes, depth: int) -> bool:
    """True when JSON is nested deeper than ``depth``.

    The answer is exact up to 64 KiB. In a larger body, brackets inside strings may hide levels. This is safe, since
    the parser has its own limit, and skips all levels that a shape does not name.
    """
    if body.count(b"[") + body.count(b"{") <= depth:
        return False
    if len(body) <= _EXACT_BYTES:
        return _levels_over(_STRING.sub(b"", body), depth)
    return _levels_over(body, depth) and _levels_over(_STRING.sub(b"", body), depth)


def _levels_over(text: bytes, depth: int) -> bool:
    """True when brackets remain after the innermost pairs were removed ``depth`` times."""
    outline = text.translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(depth):
        shorter = outline.replace(b"[]", b"")
        if len(shorter) == len(outline):
            break
        outline = shorter
    # Brackets that remain without any pair are unbalanced, not deep; the parser reports them.
    return b"[]" in outline or outline.count(b"[") > depth


def _declared_bytes(headers: dict[bytes, bytes]) -> int | None:
    declared = headers.get(b"content-length")
    if declared is None:
        return None
    if not declared.isdigit():
        raise Malformed("Content-Length is not a number")
    return int(declared) if len(declared) <= _MAX_LENGTH_DIGITS else 10**_MAX_LENGTH_DIGITS


async def _collect(receive: Receive, limit_bytes: int) -> bytes:
    message = await receive()
    if message["type"] != "http.request":
        raise _cut_off()
    first: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(first) > limit_bytes:
            raise _too_large(limit_bytes)
        return first
    parts, size_bytes = [first], len(first)
    while message.get("more_body"):
        message = await receive()
        if message["type"] != "http.request":
            raise _cut_off()
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
    return b"".join(parts)


def _path_of_nul(body: bytes) -> str:
    """Returns the path of the first NUL, as ``contacts[3].email``; empty for a large body, where a search is costly."""
    if len(body) > _EXACT_BYTES:
        return ""
    try:
        return next(_nuls(json.loads(body), ""), "")
    except (ValueError, RecursionError):
        return ""


def _nuls(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str) and "\0" in value:
        yield path
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _nuls(item, f"{path}[{place}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if "\0" in name:
                yield path
            yield from _nuls(item, f"{path}.{name}" if path else name)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body has more than {limit_bytes} bytes")


def _cut_off() -> Malformed:
    return Malformed("the connection ended before the body did", code="BODY_CUT_OFF")

"""Compresses answers for callers that accept zstd or gzip, at the fastest level. Source: RFC 9110 section 8.4.

An answer with an ETag is not compressed: the tag identifies its exact bytes, and If-Match compares strongly.
"""

from __future__ import annotations

import asyncio
import threading
import zlib
from functools import lru_cache

import zstandard

from headwater.web.reply import Header, Reply

LEAST_BYTES = 2048
"""Least size of a compressed answer; a smaller one fits into a packet or two anyway."""

OFF_LOOP_BYTES = 256 * 1024
"""Size from which on a thread compresses, so that the event loop serves other requests."""

VARY: Header = (b"vary", b"accept-encoding")
_ZSTD_LEVEL = 1
_GZIP_LEVEL = 1
_GZIP_WINDOW = 31
_KEEPS_AS_IS = frozenset((b"etag", b"content-encoding", b"content-range"))
_SMALLER = (b"application/json", b"application/problem+json", b"text/")
_local = threading.local()


async def compressed(reply: Reply, accepted: bytes | None) -> Reply:
    """Returns the reply, compressed when that is worthwhile and the Accept-Encoding header allows it."""
    if reply.size < LEAST_BYTES or not _may_shrink(reply):
        return reply
    coding = chosen(accepted) if accepted is not None else None
    if coding is None:
        return reply._replace(headers=(*reply.headers, VARY))
    whole = reply.whole()
    if len(whole) < OFF_LOOP_BYTES:
        body = shrink(whole, coding)
    else:
        body = await asyncio.to_thread(shrink, whole, coding)
    return reply._replace(headers=(*reply.headers, VARY, (b"content-encoding", coding)), body=body, parts=())


@lru_cache(maxsize=256)
def chosen(accepted: bytes) -> bytes | None:
    """Returns the best supported coding that an Accept-Encoding header names with a weight above zero, or None."""
    weights: dict[bytes, bool] = {}
    for part in accepted.lower().split(b","):
        name, _, parameters = part.partition(b";")
        weight = parameters.replace(b" ", b"").removeprefix(b"q=")
        weights[name.strip()] = weight.strip(b"0.") != b"" if parameters else True
    for coding in (b"zstd", b"gzip"):
        if weights.get(coding, weights.get(b"*", False)):
            return coding
    return None


def shrink(body: bytes, coding: bytes) -> bytes:
    """Compresses bytes with a coding; thread-safe."""
    if coding == b"gzip":
        return zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_WINDOW)
    compressor: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    return compressor.compress(body)


def _may_shrink(reply: Reply) -> bool:
    fits = False
    for name, value in reply.headers:
        if name in _KEEPS_AS_IS:
            return False
        if name == b"content-type":
            fits = value.startswith(_SMALLER)
    return fits

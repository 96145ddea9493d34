"""Fetches labels from an upstream: an HTTPS URL with its ETag, or a JSON file; capped in bytes and in time.

Every fault is an UpstreamFailed that names its kind, never the upstream's address.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import socket
import ssl
import stat
import zlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import httpx2

from headwater.base.errors import HeadwaterError, UpstreamFailed
from headwater.base.settings.table import TerminologySettings
from headwater.contracts.terminology import label_sets, outbound
from headwater.contracts.terminology.label_sets import Labels
from headwater.contracts.terminology.outbound import OutboundTarget
from headwater.contracts.terminology.queries import FILE

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host for a port, the best first."""

_TAG_LENGTH_MAX = 1_000
_ADDRESSES_TRIED = 3
_CODINGS = frozenset({"", "identity", "gzip", "x-gzip"})
_GZIP_MARK = b"\x1f\x8b"
_GZIP_WINDOW = 31


class Fetched(NamedTuple):
    """The labels that a source returned (None: those of the tag that was sent still hold), and their tag."""

    labels: Labels | None
    etag: str | None


class Fetch(Protocol):
    """Gets the labels of a source."""

    async def __call__(self, source: str, location: str, etag: str | None) -> Fetched:
        """The labels of a source, or that those under ``etag`` still hold. Raises: UpstreamFailed."""


class Upstream:
    """Fetches as the settings allow: hosts, bytes and seconds. ``resolve`` and ``tls`` replace the system's."""

    def __init__(
        self,
        settings: TerminologySettings,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._resolve = resolve or resolve_host
        self._tls = tls

    async def __call__(self, source: str, location: str, etag: str | None) -> Fetched:
        """The labels of a source, or that those under ``etag`` still hold. Raises: UpstreamFailed."""
        try:
            async with asyncio.timeout(self._settings.upstream_seconds):
                if source == FILE:
                    return await asyncio.to_thread(_from_file, location, etag, self._settings.upstream_bytes)
                return await self._from_url(location, etag)
        except TimeoutError:
            raise _failed("took too long", "slow") from None

    async def _from_url(self, url: str, etag: str | None) -> Fetched:
        try:
            target = outbound.target(url, self._settings.allowed_hosts)
            found = await self._resolve(target.host, target.port)
        except HeadwaterError:
            raise _failed("may not be fetched any more, by this server's settings", "not_allowed") from None
        except OSError:
            raise _failed("has a host without an address", "no_address") from None
        addresses = outbound.usable(found, self._settings.allowed_hosts)
        if not addresses:
            raise _failed("has no address that may be connected to", "not_allowed")
        if self._tls is None:
            # Reading the system's certificates takes long enough to block other requests.
            self._tls = await asyncio.to_thread(httpx2.create_ssl_context, trust_env=False)
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return await self._from_address(target, address, etag, self._tls)
            except httpx2.ConnectError:
                continue
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError):
                raise _failed("broke off its answer, or gave one that is no HTTP", "broken") from None
        raise _failed("cannot be connected to", "no_connection")

    async def _from_address(
        self, target: OutboundTarget, address: str, etag: str | None, tls: ssl.SSLContext
    ) -> Fetched:
        headers = {"Host": target.authority, "Accept": "application/json", "Accept-Encoding": "identity"}
        if etag is not None:
            headers["If-None-Match"] = etag
        async with (
            httpx2.AsyncClient(
                verify=tls, trust_env=False, follow_redirects=False, timeout=self._settings.upstream_seconds
            ) as client,
            client.stream(
                "GET", target.at(address), headers=headers, extensions={"sni_hostname": target.host}
            ) as answer,
        ):
            if answer.status_code == 304 and etag is not None:
                return Fetched(None, etag)
            if answer.status_code != 200:
                raise _failed(f"answered with status {answer.status_code}", "status")
            if answer.headers.get("content-encoding", "identity").strip().lower() not in _CODINGS:
                raise _failed("packed its answer in another way than gzip, though it was asked not to", "encoded")
            document = await self._body(answer)
        labels = await asyncio.to_thread(_labels_of, document, self._settings.upstream_bytes)
        return Fetched(labels, _usable_tag(answer.headers.get("etag")))

    async def _body(self, answer: httpx2.Response) -> bytes:
        """The raw body. Raises: UpstreamFailed as soon as it is over the limit."""
        pieces, size = [], 0
        async for piece in answer.aiter_raw():
            size += len(piece)
            if size > self._settings.upstream_bytes:
                raise _too_large(self._settings.upstream_bytes)
            pieces.append(piece)
        return b"".join(pieces)


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses that the system returns for a host. Raises: OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _from_file(path: str, etag: str | None, limit_bytes: int) -> Fetched:
    """The labels in a file; its tag changes with its inode, size or time of writing."""
    try:
        # Without blocking, or opening a pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise _failed("is no ordinary file", "unreadable")
            tag = f"{about.st_ino}-{about.st_size}-{about.st_mtime_ns}"
            if tag == etag:
                return Fetched(None, tag)
            document = file.read(limit_bytes + 1)
    except OSError as failure:
        raise _failed(f"is a file that cannot be read ({failure.strerror})", "unreadable") from None
    if len(document) > limit_bytes:
        raise _too_large(limit_bytes)
    return Fetched(_labels_of(document, limit_bytes), tag)


def _labels_of(document: bytes, limit_bytes: int) -> Labels:
    """The labels of a document, which may be packed by gzip and begin with the mark of UTF-8."""
    if document.startswith(_GZIP_MARK):
        document = _unpacked(document, limit_bytes)
    try:
        return label_sets.of_document(document.removeprefix(codecs.BOM_UTF8))
    except HeadwaterError as fault:
        raise _failed(f"gave no labels: {fault.detail}", "garbage") from None


def _unpacked(packed: bytes, limit_bytes: int) -> bytes:
    """The content of a gzip stream. Raises: UpstreamFailed (over the limit, damaged, or cut off)."""
    whole = bytearray()
    while packed:
        member = zlib.decompressobj(wbits=_GZIP_WINDOW)
        try:
            whole += member.decompress(packed, limit_bytes + 1 - len(whole))
        except zlib.error:
            raise _failed("gave a packed answer that is damaged", "garbage") from None
        if len(whole) > limit_bytes:
            raise _too_large(limit_bytes)
        if not member.eof:
            raise _failed("gave a packed answer that is cut off", "garbage")
        packed = member.unused_data
    return bytes(whole)


def _usable_tag(tag: str | None) -> str | None:
    """The tag when it can be sent back unchanged."""
    return tag if tag and len(tag) <= _TAG_LENGTH_MAX and tag.isascii() and tag.isprintable() else None


def _too_large(limit_bytes: int) -> UpstreamFailed:
    return _failed(f"gave more than {limit_bytes} bytes", "too_large")


def _failed(what: str, reason: str) -> UpstreamFailed:
    return UpstreamFailed(f"the source of these labels {what}", extra={"reason": reason})

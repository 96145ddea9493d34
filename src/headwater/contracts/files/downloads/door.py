"""The door of downloads: one version of a file, whole or a range; many files in one stream.

Source: files contract, "GET /api/v1/sync/download"; readings, section 7, "Content".
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from headwater.base.errors import QuotaExceeded
from headwater.contracts.files import access, content
from headwater.contracts.files.access import Access
from headwater.contracts.files.content import FRAMES_MEDIA
from headwater.contracts.files.content_stream import started, stream
from headwater.contracts.files.downloads import batch, rules
from headwater.contracts.files.downloads.batch import Contents
from headwater.contracts.files.downloads.batch_frames import frames
from headwater.contracts.files.downloads.rules import Found
from headwater.contracts.files.downloads.shapes import Manifest, ManifestChunk, read_batch
from headwater.store.database import Transaction
from headwater.store.packs import chunks
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_each, read_range, touched
from headwater.store.tree import versions
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.http.content_disposition import attachment
from headwater.web.http.ranges import Span, chosen_span
from headwater.web.reply import Header, Reply
from headwater.web.services import Services
from headwater.web.single_flight import SingleFlight

CHECKSUMS_AT_ONCE = 2
"""Checksums that are computed at once; others wait, however many callers ask."""

DOUBTFUL_AT_ONCE = 16
"""Chunks with a mark of damage that are read before the head; the others are compared when they are sent."""

_SAFE_TYPE = b"application/octet-stream"


class _Source(NamedTuple):
    """The source of a download: the version and the places of its chunks, or None where they are read page by page.

    ``marked`` are those of its chunks that were found damaged where they are.
    """

    found: Found
    refs: list[ChunkRef] | None
    marked: frozenset[bytes]


class DownloadDoor:
    """The handlers of ``/api/v1/sync/download`` and ``/api/v1/downloads/batch``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._checksums: SingleFlight[str] = SingleFlight(CHECKSUMS_AT_ONCE)

    async def batch(self, call: Call) -> Reply:
        """POST /batch: many files, or chunks, in one stream."""
        fields = call.decoded(read_batch)

        def transaction(tx: Transaction) -> Contents:
            return batch.find(tx, call.principal, fields, self._services.settings.files)

        contents = await call.read(transaction, slow=True)
        pieces = frames(self._services.packs, contents, self._services.database)
        permitted = partial(_still_readable, call, contents.row.feed)
        return Reply(200, ((b"content-type", FRAMES_MEDIA),), stream=stream(pieces), permitted=permitted)

    async def download(self, call: Call) -> Reply:
        """GET /{file_id}: the content of a version; 200, 206, 304 or 416."""

        def transaction(tx: Transaction) -> _Source:
            found = rules.find(tx, call.principal, call.params["file_id"], call.query.get("version"))
            feed, organisation, version = found.row.feed, found.row.organisation, found.version.id
            pieces = versions.pieces(tx, feed, version, 0, content.REFS_AT_ONCE + 1)
            # More are looked up on a thread, a page at a time, while the first ones are sent.
            refs = content.refs_of(tx, organisation, pieces) if len(pieces) <= content.REFS_AT_ONCE else None
            marked = chunks.damaged(tx, organisation, [ref.chunk for ref in refs or ()])
            return _Source(found, refs, frozenset(marked))

        source = await call.read(transaction)
        version = source.found.version
        tag = etags.etag(version.id)
        not_modified = call.header(b"if-none-match")
        if not_modified is not None and etags.matches(not_modified, tag, weak=True):
            return reply.empty(304, ((b"etag", tag.encode()),))
        span = chosen_span(
            version.size_bytes, tag,
            range_header=call.header(b"range"), if_range=call.header(b"if-range"),
            range_start=call.query.get("range_start"), range_end=call.query.get("range_end"),
        )  # fmt: skip
        sha256 = version.sha256
        if sha256 is None and _wants_digest(call):
            sha256 = await self._sha256(source)
        head = self._head(source, tag, span, sha256)
        if call.method == "HEAD":
            return head._replace(stream=stream(iter(())))
        first, stop = (0, version.size_bytes) if span is None else (span.first, span.last + 1)
        if source.marked and source.refs is not None:
            # Known damage is answered as an error, wherever in the range it is; unless its pack was put back.
            doubtful = [ref for ref in touched(source.refs, first, stop) if ref.chunk in source.marked]
            await asyncio.to_thread(_compare, self._services.packs, doubtful[:DOUBTFUL_AT_ONCE])
        pieces = await started(self._pieces(source, first, stop))
        return head._replace(stream=stream(pieces), permitted=partial(_still_readable, call, source.found.row.feed))

    async def manifest(self, call: Call) -> Reply:
        """GET /{file_id}/chunks: the chunks of a version, for a caller that has some of them."""

        def transaction(tx: Transaction) -> Manifest:
            found = rules.find(tx, call.principal, call.params["file_id"], call.query.get("version"))
            pieces = versions.pieces(tx, found.row.feed, found.version.id)
            listed = [ManifestChunk(piece.chunk.hex(), piece.length_bytes) for piece in pieces]
            version = found.version
            return Manifest(found.id, version.id, version.size_bytes, version.content_hash, listed)

        return reply.json(await call.read(transaction, slow=True))

    async def _sha256(self, source: _Source) -> str:
        """The SHA-256 of a version that came without one; computed once for all who ask meanwhile, then stored."""
        version, feed = source.found.version, source.found.row.feed

        async def compute() -> str:
            refs = self._refs(source)
            sha256 = await asyncio.to_thread(content.sha256_of, self._services.packs, refs)
            # A full disk refuses to store it, and the download needs no room.
            with suppress(QuotaExceeded):
                await self._services.database.write(
                    lambda tx: rules.store_sha256(tx, feed, version.id, sha256), feed=feed
                )
            return sha256

        return await self._checksums.result((feed, version.id), compute)

    def _refs(self, source: _Source) -> Iterable[ChunkRef]:
        """The places of the chunks of a download, in their order."""
        if source.refs is not None:
            return source.refs
        row, version = source.found.row, source.found.version
        return content.refs_by_page(self._services.database, row.feed, row.organisation, version.id)

    def _pieces(self, source: _Source, first: int, stop: int) -> Iterator[bytes]:
        return read_range(self._services.packs, self._refs(source), first, stop)

    def _head(self, source: _Source, tag: str, span: Span | None, sha256: str | None) -> Reply:
        found = source.found
        version = found.version
        length_bytes = version.size_bytes if span is None else span.length_bytes
        headers: list[Header] = [
            (b"content-type", _content_type(version.mime_type)),
            (b"content-length", str(length_bytes).encode()),
            (b"content-disposition", attachment(found.name).encode("ascii")),
            (b"accept-ranges", b"bytes"),
            (b"cache-control", b"private, no-cache"),
            (b"etag", tag.encode()),
            (b"x-version-id", version.id.encode()),
            (b"x-version-number", str(version.number).encode()),
        ]
        if sha256 is not None:
            digest = base64.b64encode(bytes.fromhex(sha256))
            headers.append((b"repr-digest", b"sha-256=:" + digest + b":"))
            headers.append((b"x-checksum-sha256", sha256.encode()))
        if span is not None:
            headers.append((b"content-range", span.content_range(version.size_bytes).encode()))
        return Reply(200 if span is None else 206, tuple(headers))


def _compare(place: PackBackend, refs: Sequence[ChunkRef]) -> None:
    """Reads these chunks. Raises: Damaged."""
    for _ in read_each(place, refs):
        pass


async def _still_readable(call: Call, feed: int) -> None:
    """Refuses a download under way to a caller that may not read the share any more. Raises: NotFound."""
    await call.read(lambda tx: access.require_feed(tx, call.principal, feed, Access.READ))


def _wants_digest(call: Call) -> bool:
    """True when the caller asked for the checksum. Source: RFC 9530 section 4 (Want-Repr-Digest)."""
    wanted = (call.header(b"want-repr-digest") or "").replace(" ", "").lower().split(",")
    named = any(part.startswith("sha-256=") and part != "sha-256=0" for part in wanted)
    return named or call.query.get("checksum") == "sha256"


def _content_type(mime_type: str) -> bytes:
    """The type that the uploader gave, if a header can contain it."""
    safe = mime_type.isascii() and mime_type.isprintable() and "/" in mime_type
    return mime_type.encode("ascii") if safe else _SAFE_TYPE

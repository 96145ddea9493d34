"""The decisions about uploads under way, of chunk sessions and of tus: which bytes they accept, and completion.

An upload belongs to the user who began it; to other callers it does not exist. Chunks arrive in packs that are
durable before a row names them, and one transaction records them together with their part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from headwater.base import errors
from headwater.base.clock import SECOND_US
from headwater.base.errors import FieldError, Gone, HeadwaterError, Invalid, NotFound, StateConflict, TooLarge
from headwater.base.ids import random_id
from headwater.base.settings.table import FileSettings
from headwater.base.wire import encode, parse_time
from headwater.contracts.files import access, quota
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.devices import rules as device_rules
from headwater.contracts.files.uploads import commit
from headwater.contracts.files.uploads.commit import Committed, Destination
from headwater.contracts.files.uploads.ingest import DurableChunks
from headwater.contracts.files.uploads.shapes import UploadFields
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.packs import chunks
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor
from headwater.store.tree.versions import Piece, Staging, Version

CHUNKS_TABLE = "upload_chunks"
"""The table that marks the chunks of unfinished uploads as live."""

CHUNKS = "chunks"
TUS = "tus"
DEFAULT_TYPE = "application/octet-stream"
MAX_PARTS = 100_000
"""Most chunks of a session and most requests of tus: each is at least one row, however few bytes it brings."""

_NO_LIMIT = 1 << 62

_COLUMNS = (
    "id, feed, organisation, user_id, protocol, size_bytes, chunk_bytes, offset_bytes, mime_type, sha256, request,"
    " version, created_us, expires_us"
)


class Refusal(msgspec.Struct):
    """The stored refusal of a commit: the name of the error's class, and its content."""

    kind: str
    code: str
    detail: str
    fields: list[tuple[str, str, str]]
    extra: dict[str, Any]

    @classmethod
    def of(cls, failure: HeadwaterError) -> Refusal:
        """The refusal to store for an error."""
        fields = [(field.field, field.code, field.detail) for field in failure.fields]
        return cls(type(failure).__name__, failure.error_code, failure.detail, fields, dict(failure.extra))

    @property
    def failure(self) -> HeadwaterError:
        """The error again."""
        kind: type[HeadwaterError] = getattr(errors, self.kind, StateConflict)
        fields = tuple(FieldError(*field) for field in self.fields)
        return kind(self.detail, code=self.code, fields=fields, extra=dict(self.extra))


class Request(msgspec.Struct, kw_only=True):
    """The file that an upload names at its beginning, and the outcome of its commit once it is complete."""

    path: str | None = None
    folder_id: str | None = None
    file_name: str | None = None
    modified_us: int | None = None
    device_id: str = ""
    commit: bool = False
    base_version_id: str | None = None
    metadata: str = ""
    landed: str | None = None
    refused: Refusal | None = None

    @property
    def place(self) -> Destination:
        """The place of the file in the share."""
        return Destination(self.path, self.folder_id, self.file_name)


_read_request = msgspec.json.Decoder(Request)


class Upload(NamedTuple):
    """An upload; sizes in bytes, times in microseconds UTC since 1970."""

    id: str
    feed: int
    organisation: str
    user_id: str
    protocol: str
    size_bytes: int | None
    chunk_bytes: int
    offset_bytes: int
    mime_type: str
    sha256: str | None
    request: Request
    version: str | None
    created_us: int
    expires_us: int

    @property
    def total_parts(self) -> int:
        """The number of chunks of a session."""
        return -(-(self.size_bytes or 0) // self.chunk_bytes) if self.chunk_bytes else 0

    def part_bytes(self, part: int) -> int:
        """The length of one of a session's chunks. Raises: Invalid (it has no such chunk)."""
        if not 0 <= part < self.total_parts:
            raise Invalid.of("chunk", "incorrect_value", f"this upload has {self.total_parts} chunks, from 0")
        return min(self.chunk_bytes, (self.size_bytes or 0) - part * self.chunk_bytes)


class Completed(NamedTuple):
    """A complete upload: its staged or kept version, and the outcome of the commit, if it asked for one."""

    upload: Upload
    version: Version
    landed: Committed | None
    failure: HeadwaterError | None


def request_of(fields: UploadFields) -> Request:
    """The request in a session's fields. Raises: Invalid (the time)."""
    request = Request(
        path=fields.path,
        folder_id=fields.folder_id,
        file_name=fields.file_name,
        modified_us=None if fields.modified_at is None else parse_time(fields.modified_at, "modified_at"),
        device_id=fields.device_id or "",
        commit=fields.commit,
        base_version_id=fields.base_version_id,
    )
    if request.commit and not request.place.is_named:
        raise Invalid.of("path", "missing", "to commit, name the file with path, or with file_name and folder_id")
    return request


class Beginning(NamedTuple):
    """An upload to begin; ``size_bytes`` is null while tus defers it, ``chunk_bytes`` is 0 for tus."""

    protocol: str
    size_bytes: int | None
    chunk_bytes: int
    mime_type: str | None
    sha256: str | None
    request: Request


def begin(tx: Transaction, principal: Principal, share_id: str, beginning: Beginning, settings: FileSettings) -> Upload:
    """Begins an upload, and reserves its room. Raises: NotFound, Forbidden, Invalid, TooLarge, QuotaExceeded."""
    row = access.require(tx, principal, share_id, Access.WRITE)
    quota.require_room(tx, row, settings, beginning.size_bytes or 0)
    if beginning.request.commit:
        commit.require_name(tx, row, beginning.request.place)
    device_id = device_rules.own_id(tx, principal, beginning.request.device_id or "")
    request = msgspec.structs.replace(beginning.request, device_id=device_id)
    upload = Upload(
        random_id("upl"), row.feed, row.organisation, principal.user_id, beginning.protocol, beginning.size_bytes,
        beginning.chunk_bytes, 0, beginning.mime_type or DEFAULT_TYPE,
        None if beginning.sha256 is None else beginning.sha256.lower(), request, None, tx.now_us,
        tx.now_us + settings.upload_idle_seconds * SECOND_US,
    )  # fmt: skip
    if upload.total_parts > MAX_PARTS:
        least = -(-(upload.size_bytes or 0) // MAX_PARTS)
        raise Invalid.of("chunk_size", "incorrect_value", f"a file of this size needs chunks of at least {least} bytes")
    stored = upload._replace(request=encode(upload.request))  # type: ignore[arg-type]
    tx.run(f"INSERT INTO uploads ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *stored)
    return upload


def find(tx: Transaction, principal: Principal, upload_id: str) -> tuple[Upload, ShareRow]:
    """The caller's upload with its share. Raises: NotFound, Forbidden (WRITE was taken away), Gone (expired)."""
    row = tx.row(f"SELECT {_COLUMNS} FROM uploads WHERE id = ?", upload_id)
    if row is None or row[3] != principal.user_id:
        raise NotFound(f"no upload {upload_id!r}")
    share = access.require_feed(tx, principal, row[1], Access.WRITE)
    upload = Upload(*row)._replace(request=_read_request.decode(bytes(row[10])))
    if upload.expires_us <= tx.at_us:
        raise Gone("the upload expired; begin a new one", code="UPLOAD_EXPIRED")
    return upload, share


def find_open(tx: Transaction, principal: Principal, upload_id: str) -> tuple[Upload, ShareRow]:
    """As ``find``, for one that still accepts bytes. Raises: StateConflict (it is complete)."""
    upload, share = find(tx, principal, upload_id)
    if upload.version is not None:
        raise StateConflict("the upload is complete", code="UPLOAD_COMPLETE", extra={"version_id": upload.version})
    return upload, share


def receive_part(
    tx: Transaction, principal: Principal, upload_id: str, part: int, batch: DurableChunks, settings: FileSettings
) -> Upload:
    """Records a durable chunk of a session; an earlier one of the same number is replaced."""
    upload, _ = find_open(tx, principal, upload_id)
    chunks.register(tx, batch.written)
    tx.run("DELETE FROM upload_chunks WHERE upload = ? AND part = ?", upload.id, part)
    _record(tx, upload, part, batch.pieces)
    return _renew(tx, upload, settings, upload.offset_bytes)


def append(
    tx: Transaction,
    principal: Principal,
    upload_id: str,
    offset_bytes: int,
    batch: DurableChunks,
    settings: FileSettings,
) -> Upload:
    """Appends durable bytes to a tus upload. Raises: StateConflict (another request was faster)."""
    upload, share = find_open(tx, principal, upload_id)
    require_offset(upload, offset_bytes)
    if upload.size_bytes is None:
        quota.require_room(tx, share, settings, batch.size_bytes)
    chunks.register(tx, batch.written)
    last = tx.value("SELECT max(part) FROM upload_chunks WHERE upload = ?", upload.id)
    part = 0 if last is None else last + 1
    if part >= MAX_PARTS:
        raise TooLarge(
            f"an upload arrives in at most {MAX_PARTS} requests; begin a new one, with more bytes in each",
            code="TOO_MANY_CHUNKS",
        )
    _record(tx, upload, part, batch.pieces)
    return _renew(tx, upload, settings, offset_bytes + batch.size_bytes)


def room_left(tx: Transaction, principal: Principal, upload_id: str, settings: FileSettings) -> quota.Level | None:
    """The quota that leaves an upload of unknown length the least room; None when it reserved its room."""
    upload, share = find_open(tx, principal, upload_id)
    return quota.estimate(tx, share, settings) if upload.size_bytes is None else None


def require_offset(upload: Upload, offset_bytes: int) -> None:
    """Refuses bytes that do not begin at the upload's offset. Raises: StateConflict with the right offset."""
    if offset_bytes != upload.offset_bytes:
        raise StateConflict(
            f"the upload is at offset {upload.offset_bytes}, not at {offset_bytes}",
            code="OFFSET_MISMATCH",
            extra={"offset": upload.offset_bytes},
        )


def declare_size(
    tx: Transaction, principal: Principal, upload_id: str, size_bytes: int, settings: FileSettings
) -> None:
    """Sets the size that tus had deferred; a size that is known stays. Raises: Invalid, TooLarge, QuotaExceeded."""
    upload, share = find_open(tx, principal, upload_id)
    tx.lock(upload.feed)
    if upload.size_bytes is None:
        if size_bytes < upload.offset_bytes:
            raise Invalid.of("Upload-Length", "incorrect_value", f"{upload.offset_bytes} bytes have come already")
        quota.require_room(tx, share, settings, size_bytes - upload.offset_bytes)
        quota.require_size(settings, size_bytes)
        tx.run("UPDATE uploads SET size_bytes = ? WHERE id = ?", size_bytes, upload.id)
    elif upload.size_bytes != size_bytes:
        raise Invalid.of("Upload-Length", "incorrect_value", f"the upload has {upload.size_bytes} bytes")


def received(tx: Transaction, upload: Upload) -> dict[int, int]:
    """The parts received so far, each with its length in bytes."""
    rows = tx.rows(
        "SELECT part, CAST(sum(length_bytes) AS BIGINT) FROM upload_chunks WHERE upload = ?"
        " GROUP BY part ORDER BY part",
        upload.id,
    )
    return {row[0]: row[1] for row in rows}


def content(tx: Transaction, upload: Upload) -> list[Piece]:
    """The chunks of all bytes received so far, in order."""
    rows = tx.rows("SELECT chunk, length_bytes FROM upload_chunks WHERE upload = ? ORDER BY part, place", upload.id)
    return [Piece(bytes(row[0]), row[1]) for row in rows]


def require_whole(tx: Transaction, upload: Upload) -> list[Piece]:
    """The chunks of an upload that has all its bytes. Raises: StateConflict naming what is missing."""
    pieces = content(tx, upload)
    have = sum(piece.length_bytes for piece in pieces)
    if upload.size_bytes != have:
        parts = received(tx, upload)
        missing = [part for part in range(upload.total_parts) if part not in parts]
        raise StateConflict(
            f"{have} of {upload.size_bytes} bytes have come; {len(missing)} chunks are missing",
            code="UPLOAD_INCOMPLETE",
            extra={"received_bytes": have, "file_size": upload.size_bytes, "missing_chunks": missing[:100]},
        )
    return pieces


def complete(
    tx: Transaction, principal: Principal, upload_id: str, checked: Sequence[Piece] | None, settings: FileSettings
) -> Completed:
    """Stages the version of a whole upload, and commits it when its beginning asked for that.

    ``checked`` are the chunks whose SHA-256 was compared with the one given; None when none was. A commit that
    is refused leaves the version staged. A repeated call, even at the same time, returns the same.
    Raises: StateConflict (bytes are missing, or arrived after the comparison).
    """
    upload, share = find(tx, principal, upload_id)
    # A transaction function that does not hold the feed is run again with it, so the upload is read under the lock.
    tx.lock(upload.feed)
    if upload.version is not None:
        return _completed_before(tx, upload)
    # Locked before its bytes are read: a transaction that drops expired uploads then waits, and finds it renewed.
    expires_us = _renew(tx, upload, settings, upload.offset_bytes).expires_us
    pieces = require_whole(tx, upload)
    if checked is not None and pieces != list(checked):
        raise StateConflict("the upload was changed while it was being checked; complete it again")
    request = upload.request
    modified_us = tx.now_us if request.modified_us is None else min(request.modified_us, tx.now_us)
    staging = Staging(
        upload.feed, upload.organisation, upload.user_id, request.device_id, upload.mime_type, modified_us,
        upload.sha256, expires_us,
    )  # fmt: skip
    version = versions.stage(tx, staging, pieces)
    tx.run("DELETE FROM upload_chunks WHERE upload = ?", upload.id)
    landed, failure = None, None
    if request.commit:
        actor = Actor(upload.user_id, request.device_id)
        try:
            landed = tx.attempt(
                lambda: commit.commit_version(tx, share, actor, request.place, version, request.base_version_id)
            )
        except HeadwaterError as refused:
            failure = refused
    final = version if landed is None else landed.version
    request.landed = landed.status if landed else None
    request.refused = Refusal.of(failure) if failure else None
    tx.run("UPDATE uploads SET version = ?, request = ? WHERE id = ?", final.id, encode(request), upload.id)
    return Completed(upload._replace(version=final.id, expires_us=expires_us), final, landed, failure)


def drop(tx: Transaction, principal: Principal, upload_id: str) -> None:
    """Removes an upload; a version that it staged or committed stays. Raises: NotFound, Gone."""
    upload, _ = find(tx, principal, upload_id)
    tx.lock(upload.feed)
    tx.frees_room()
    tx.run("DELETE FROM upload_chunks WHERE upload = ?", upload.id)
    tx.run("DELETE FROM uploads WHERE id = ?", upload.id)


def expired(tx: Transaction, limit: int = _NO_LIMIT) -> list[str]:
    """The ids of uploads that were idle too long, at most ``limit``."""
    rows = tx.rows("SELECT id FROM uploads WHERE expires_us <= ? LIMIT ?", tx.now_us, limit)
    return [row[0] for row in rows]


def drop_expired(tx: Transaction, limit: int = 500) -> int:
    """Removes some of the expired uploads; the next sweep frees their chunks. Returns their number."""
    ids = expired(tx, limit)
    tx.frees_room()
    # The DELETE checks the time again: another transaction may have received bytes since, and prolonged the upload.
    tx.run_many("DELETE FROM uploads WHERE id = ? AND expires_us <= ?", [(id, tx.now_us) for id in ids])
    tx.run_many(
        "DELETE FROM upload_chunks WHERE upload = ? AND NOT EXISTS (SELECT 1 FROM uploads WHERE id = ?)",
        [(id, id) for id in ids],
    )
    return len(ids)


def _completed_before(tx: Transaction, upload: Upload) -> Completed:
    version = versions.find(tx, upload.feed, upload.version or "")
    if version is None:
        raise Gone("the staged version expired; upload again", code="UPLOAD_EXPIRED")
    request = upload.request
    if request.refused is not None:
        return Completed(upload, version, None, request.refused.failure)
    node = None if version.node is None else nodes.find(tx, upload.feed, version.node)
    landed = None if node is None or request.landed is None else Committed(request.landed, node, version)
    return Completed(upload, version, landed, None)


def _record(tx: Transaction, upload: Upload, part: int, pieces: Sequence[Piece]) -> None:
    tx.run_many(
        "INSERT INTO upload_chunks (upload, part, place, organisation, chunk, length_bytes) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (upload.id, part, place, upload.organisation, piece.chunk, piece.length_bytes)
            for place, piece in enumerate(pieces)
        ],
    )


def _renew(tx: Transaction, upload: Upload, settings: FileSettings, offset_bytes: int) -> Upload:
    """Stores the offset of an upload, and prolongs it. Raises: Gone (it was removed since it was read)."""
    expires_us = tx.now_us + settings.upload_idle_seconds * SECOND_US
    sql = "UPDATE uploads SET offset_bytes = ?, expires_us = ? WHERE id = ?"
    if not tx.run(sql, offset_bytes, expires_us, upload.id):
        raise Gone("the upload expired; begin a new one", code="UPLOAD_EXPIRED")
    return upload._replace(offset_bytes=offset_bytes, expires_us=expires_us)

"""The door of upload sessions: chunks in any order and in parallel, then complete. Source: readings, section 7.

The same resource speaks tus: a request with the header Tus-Resumable is one of tus.
"""

from __future__ import annotations

import asyncio
from typing import Any

from blake3 import blake3

from headwater.base.errors import HeadwaterError, Invalid, StateConflict
from headwater.base.wire import format_seconds
from headwater.contracts.files import access, content
from headwater.contracts.files.access import Access
from headwater.contracts.files.uploads import rules, shapes
from headwater.contracts.files.uploads.ingest import DurableChunks, Intake, pour, record, sizes_of
from headwater.contracts.files.uploads.rules import CHUNKS, Beginning, Completed, Upload
from headwater.contracts.files.uploads.shapes import (
    CheckAnswer,
    PartAnswer,
    StagedAnswer,
    UploadAnswer,
    UploadProgress,
)
from headwater.contracts.files.uploads.tus_door import RESUMABLE, TusDoor
from headwater.store.database import Transaction
from headwater.store.packs import chunks
from headwater.store.packs.format import ChunkRef
from headwater.store.tree import nodes
from headwater.store.tree.versions import Piece
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.errors import problem, status_of
from headwater.web.reply import Reply
from headwater.web.services import Services


class UploadDoor:
    """The handlers of ``/api/v1/uploads``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.files
        self._tus = TusDoor(services)

    async def options(self, call: Call) -> Reply:
        """OPTIONS: the version and extensions of tus."""
        return await self._tus.options(call)

    async def begin(self, call: Call) -> Reply:
        """POST: a new session, 201; or a new tus upload."""
        if RESUMABLE in call.headers:
            return await self._tus.create(call)
        await call.read_body(self._services.settings.limits.body_bytes)
        fields = call.decoded(shapes.read_upload)
        beginning = Beginning(
            CHUNKS, fields.file_size, fields.chunk_size, fields.mime_type, fields.checksum_sha256,
            rules.request_of(fields),
        )  # fmt: skip
        return await call.act(
            lambda tx: rules.begin(tx, call.principal, fields.share_id, beginning, self._settings), _begun
        )

    async def put_part(self, call: Call) -> Reply:
        """PUT /{id}/chunks/{n}: one chunk, in any order; 200 when it is durable. ``?blake3=`` is compared."""
        part = _number(call.params["chunk"])
        upload_id = call.params["upload_id"]

        def find(tx: Transaction) -> Upload:
            return rules.find_open(tx, call.principal, upload_id)[0]

        upload = await call.read(find)
        if upload.protocol != CHUNKS:
            raise StateConflict("this upload speaks tus: send PATCH with Upload-Offset", code="UPLOAD_IS_TUS")
        async with call.counted_as_upload():
            receiver = _PartReceiver(self._services, call, upload, part)
            batch = await receiver.receive()
        upload = await record(
            self._services.database,
            self._services.packs,
            batch,
            lambda tx: rules.receive_part(tx, call.principal, upload_id, part, batch, self._settings),
            feed=upload.feed,
            recheck=call.recheck,
        )
        answer = PartAnswer(part, batch.size_bytes, receiver.blake3, format_seconds(upload.expires_us))
        return reply.json(answer)

    async def progress(self, call: Call) -> Reply:
        """GET /{id}: the progress; HEAD answers tus clients with the offset."""
        if RESUMABLE in call.headers or call.method == "HEAD":
            return await self._tus.head(call)

        def transaction(tx: Transaction) -> UploadProgress:
            upload, share = rules.find(tx, call.principal, call.params["upload_id"])
            return _progress(tx, upload, share.id)

        return reply.json(await call.read(transaction))

    async def patch(self, call: Call) -> Reply:
        """PATCH /{id}: the next bytes of a tus upload."""
        return await self._tus.patch(call)

    async def remove(self, call: Call) -> Reply:
        """DELETE /{id}: cancel an upload; 204."""
        if RESUMABLE in call.headers:
            return await self._tus.remove(call)
        await call.write(lambda tx: rules.drop(tx, call.principal, call.params["upload_id"]))
        return reply.empty()

    async def complete(self, call: Call) -> Reply:
        """POST /{id}/complete: check and stage the whole; commit it if the session asked for that."""
        upload_id = call.params["upload_id"]
        checked = await check_whole(self._services, call, upload_id)
        await call.recheck()
        return await call.act(
            lambda tx: _with_path(tx, rules.complete(tx, call.principal, upload_id, checked, self._settings)),
            lambda found: _completed(*found, call.request_id),
        )

    async def check(self, call: Call) -> Reply:
        """POST /check: those of these chunks that must be sent."""
        fields = call.decoded(shapes.read_check)

        def transaction(tx: Transaction) -> CheckAnswer:
            row = access.require(tx, call.principal, fields.share_id, Access.WRITE)
            ids = [bytes.fromhex(text) for text in fields.hashes]
            have = content.reachable(tx, call.principal, row.organisation, ids)
            have -= chunks.damaged(tx, row.organisation, have)
            return CheckAnswer([text for text, chunk in zip(fields.hashes, ids, strict=True) if chunk not in have])

        return reply.json(await call.read(transaction, slow=len(fields.hashes) > 200))


class _PartReceiver:
    """Receives one chunk of a session into a pack."""

    def __init__(self, services: Services, call: Call, upload: Upload, part: int) -> None:
        self._call = call
        self._expected_bytes = upload.part_bytes(part)
        self._intake = Intake(services.packs, upload.organisation, sizes_of(services.settings.files))
        self._received_bytes = 0
        self._digest = blake3()

    @property
    def blake3(self) -> str:
        """The BLAKE3 of all its bytes, in hexadecimal."""
        return str(self._digest.hexdigest())

    async def receive(self) -> DurableChunks:
        """Writes the body to a pack. Raises: Invalid (wrong length, or wrong hash)."""
        declared = self._call.header(b"content-length")
        if declared is not None and int(declared) != self._expected_bytes:
            raise self._wrong_length(int(declared))
        async with self._intake:
            await pour(self._call.stream(), self._take)
            if self._received_bytes != self._expected_bytes:
                raise self._wrong_length(self._received_bytes)
            given = self._call.query.get("blake3")
            if given is not None and given.lower() != self.blake3:
                raise Invalid("the chunk does not have the BLAKE3 that was given", code="CHECKSUM_MISMATCH")
            return await asyncio.to_thread(self._intake.finish)

    def _take(self, piece: bytes) -> None:
        self._received_bytes += len(piece)
        if self._received_bytes > self._expected_bytes:
            raise self._wrong_length(self._received_bytes)
        self._digest.update(piece)
        self._intake.take(piece)

    def _wrong_length(self, received_bytes: int) -> Invalid:
        return Invalid(
            f"this chunk has {self._expected_bytes} bytes; {received_bytes} came",
            code="CHUNK_LENGTH",
            extra={"expected_bytes": self._expected_bytes, "received_bytes": received_bytes},
        )


async def check_whole(services: Services, call: Call, upload_id: str) -> list[Piece] | None:
    """Compares an upload with the SHA-256 given at its beginning; the chunks compared, None if none was given.

    Raises: StateConflict (bytes are missing), Invalid (another content).
    """

    def expectation(tx: Transaction) -> tuple[str | None, list[Piece], list[ChunkRef]]:
        upload, _ = rules.find(tx, call.principal, upload_id)
        if upload.version is not None:
            return None, [], []
        pieces = rules.require_whole(tx, upload)
        return upload.sha256, pieces, content.refs_of(tx, upload.organisation, pieces)

    expected, pieces, refs = await call.read(expectation, slow=True)
    if expected is None:
        return None
    found = await asyncio.to_thread(content.sha256_of, services.packs, refs)
    if found != expected:
        raise Invalid(
            "the content does not have the SHA-256 that was given",
            code="CHECKSUM_MISMATCH",
            extra={"expected_sha256": expected, "found_sha256": found},
        )
    return pieces


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Invalid.of("chunk", "incorrect_value", "a chunk is named by its number, from 0")
    return int(text)


def _begun(upload: Upload) -> Reply:
    answer = UploadAnswer(upload.id, upload.chunk_bytes, upload.total_parts, format_seconds(upload.expires_us))
    return reply.json(answer, 201, ((b"location", f"/api/v1/uploads/{upload.id}".encode()),))


def _progress(tx: Transaction, upload: Upload, share_id: str) -> UploadProgress:
    session = upload.protocol == CHUNKS
    parts = rules.received(tx, upload)
    done = upload.version is not None
    received_bytes = (upload.size_bytes or 0) if done else sum(parts.values())
    offset_bytes = received_bytes if done or not session else _in_a_row(parts)
    numbers = (list(range(upload.total_parts)) if done else list(parts)) if session else []
    return UploadProgress(
        upload.id, share_id, upload.protocol, "complete" if done else "open", upload.size_bytes,
        upload.chunk_bytes or None, upload.total_parts if session else None, numbers, received_bytes, offset_bytes,
        upload.version, format_seconds(upload.created_us), format_seconds(upload.expires_us),
    )  # fmt: skip


def _in_a_row(parts: dict[int, int]) -> int:
    offset_bytes = part = 0
    while part in parts:
        offset_bytes += parts[part]
        part += 1
    return offset_bytes


def _with_path(tx: Transaction, completed: Completed) -> tuple[Completed, str | None]:
    landed = completed.landed
    return completed, nodes.path_of(tx, completed.upload.feed, landed.node) if landed else None


def _completed(completed: Completed, path: str | None, request_id: str) -> Reply:
    """The answer to a completion; a commit that was refused is that refusal, and names the staged version."""
    upload, version, landed, failure = completed
    if failure is not None:
        return _refused(failure, version.id, request_id)
    answer = StagedAnswer(
        upload.id, landed.status if landed else "staged", version.id, version.size_bytes, version.content_hash,
        version.sha256, landed.node.id if landed else None, path, version.number or None,
        None if version.expires_us is None else format_seconds(version.expires_us),
        format_seconds(version.modified_us),
    )  # fmt: skip
    return reply.json(answer)


def _refused(failure: HeadwaterError, version_id: str, request_id: str) -> Reply:
    extra: dict[str, Any] = {**failure.extra, "staged_version_id": version_id}
    failure.extra = extra
    return problem(failure, status_of(failure), request_id)

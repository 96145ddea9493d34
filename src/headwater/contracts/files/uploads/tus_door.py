"""tus 1.0 on the resource of uploads: creation, creation-with-upload, expiration, checksum, termination.

Source: tus resumable upload protocol 1.0.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from headwater.base.errors import (
    HeadwaterError,
    Invalid,
    PreconditionFailed,
    StateConflict,
    TooLarge,
)
from headwater.contracts.files import content
from headwater.contracts.files.uploads import rules
from headwater.contracts.files.uploads.ingest import DurableChunks, Intake, note, pour, sizes_of
from headwater.contracts.files.uploads.rules import TUS, Completed, Upload
from headwater.contracts.files.uploads.tus_headers import (
    CHECKSUMS,
    Checksum,
    UnequalError,
    beginning_of,
    has_bytes,
    integer,
    require_type,
    size_of,
    state,
)
from headwater.contracts.files.uploads.tus_lock import UploadLocks, UploadTurn
from headwater.contracts.files.uploads.tus_receiver import BodyReader
from headwater.store.database import Transaction, TransactionFunction
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.writer import Written, discard
from headwater.store.tree.versions import Piece
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.errors import problem, status_of
from headwater.web.reply import Header, Reply
from headwater.web.services import Services

RESUMABLE = b"tus-resumable"
VERSION = b"1.0.0"
LEG_BYTES = 256 * 1024 * 1024
"""So much of one long request is made durable and known before more is taken."""

_EXTENSIONS = b"creation,creation-with-upload,creation-defer-length,expiration,checksum,termination"
_UNEQUAL = 460
"""The status that the checksum extension names for content of another checksum."""
Result = TypeVar("Result")
Handler = Callable[[Call], Awaitable[Reply]]


class TusDoor:
    """The handlers of tus requests."""

    def __init__(self, services: Services, gate: asyncio.Semaphore) -> None:
        self._services = services
        self._settings = services.settings.files
        self._gate = gate
        self._turns = UploadLocks()

    async def options(self, _call: Call) -> Reply:
        """OPTIONS: the version, the extensions, the largest upload."""
        return reply.empty(
            204,
            (
                (RESUMABLE, VERSION),
                (b"tus-version", VERSION),
                (b"tus-extension", _EXTENSIONS),
                (b"tus-max-size", str(self._settings.file_bytes).encode()),
                (b"tus-checksum-algorithm", ",".join(CHECKSUMS).encode()),
            ),
        )

    async def create(self, call: Call) -> Reply:
        """POST: a new upload, 201 with its Location; a body is its first bytes."""
        return await _spoken(call, self._create)

    async def head(self, call: Call) -> Reply:
        """HEAD /{id}: the offset at which to go on."""
        return await _spoken(call, self._head, versioned=False)

    async def patch(self, call: Call) -> Reply:
        """PATCH /{id}: bytes at the offset; 204 with the next offset."""
        return await _spoken(call, self._patch)

    async def remove(self, call: Call) -> Reply:
        """DELETE /{id}: termination; 204."""
        return await _spoken(call, self._remove)

    async def _create(self, call: Call) -> Reply:
        size_bytes = size_of(call)
        share_id, beginning = beginning_of(call, size_bytes)
        with_body = has_bytes(call)
        if with_body:
            require_type(call)
        upload: Upload = await self._services.database.write(
            lambda tx: rules.begin(tx, call.principal, share_id, beginning, self._settings)
        )
        try:
            upload, completed = await self._begun(call, upload, with_body=with_body)
        except HeadwaterError:
            # Nobody was told its Location: it would only hold the room that it reserved. It expires all the same where
            # it cannot be dropped now; what is told is why the creation was refused.
            with suppress(HeadwaterError):
                await call.write(lambda tx: rules.drop(tx, call.principal, upload.id), feed=upload.feed)
            raise
        headers = ((b"location", f"/api/v1/uploads/{upload.id}".encode()), *state(upload, completed))
        return reply.empty(201, headers)

    async def _begun(self, call: Call, upload: Upload, *, with_body: bool) -> tuple[Upload, Completed | None]:
        """Take the bytes that came with a creation, and complete what has all of them."""
        completed = None
        if with_body:
            async with self._turns.of(upload.id) as turn:
                upload, completed = await self._take(call, upload, turn)
        if completed is None and upload.offset_bytes == upload.size_bytes:
            completed = await self._complete(call, upload)
        return upload, completed

    async def _head(self, call: Call) -> Reply:
        upload_id = call.params["upload_id"]

        def look(tx: Transaction) -> Upload:
            return rules.find(tx, call.principal, upload_id)[0]

        await call.read(look)
        async with self._turns.of(upload_id):
            upload = await call.read(look)
        headers = [*state(upload, None), (b"cache-control", b"no-store")]
        if upload.size_bytes is None:
            headers.append((b"upload-defer-length", b"1"))
        else:
            headers.append((b"upload-length", str(upload.size_bytes).encode()))
        if upload.request.metadata:
            headers.append((b"upload-metadata", upload.request.metadata.encode("latin-1")))
        if upload.version is not None:
            headers.append((b"x-version-id", upload.version.encode()))
        return reply.empty(200, tuple(headers))

    async def _patch(self, call: Call) -> Reply:
        require_type(call)
        offset_bytes = integer(call, b"upload-offset")
        upload_id, settings = call.params["upload_id"], self._settings

        def look(tx: Transaction) -> Upload:
            return rules.find(tx, call.principal, upload_id)[0]

        await call.read(look)
        async with self._turns.of(upload_id) as turn:
            upload = await call.read(look)
            rules.require_offset(upload, offset_bytes)
            if upload.protocol != TUS:
                raise StateConflict("this upload takes numbered chunks: PUT them", code="UPLOAD_HAS_CHUNKS")
            size_bytes = integer(call, b"upload-length") if b"upload-length" in call.headers else None
            ends = size_bytes == offset_bytes and not has_bytes(call)
            if size_bytes is not None and not ends:
                await call.write(lambda tx: rules.declare_size(tx, call.principal, upload_id, size_bytes, settings))
                upload = upload._replace(size_bytes=size_bytes)
            completed = None
            if upload.version is None and not ends:
                upload, completed = await self._take(call, upload, turn)
            elif has_bytes(call):
                raise TooLarge("the upload has all its bytes")
            if upload.version is None and (ends or upload.offset_bytes == upload.size_bytes):
                completed = await self._complete(call, upload, size_bytes)
                upload = completed.upload
        return reply.empty(204, state(upload, completed))

    async def _remove(self, call: Call) -> Reply:
        upload_id = call.params["upload_id"]
        await call.read(lambda tx: rules.find(tx, call.principal, upload_id)[0])
        async with self._turns.of(upload_id):
            await call.write(lambda tx: rules.drop(tx, call.principal, upload_id))
        return reply.empty()

    async def _take(self, call: Call, upload: Upload, turn: UploadTurn) -> tuple[Upload, Completed | None]:
        """Take the body behind what is there, and complete the upload with its last byte.

        A body that breaks off is kept as far as it came, then told.
        """
        completed = None
        room_bytes = (
            self._settings.file_bytes if upload.size_bytes is None else upload.size_bytes
        ) - upload.offset_bytes
        declared = call.header(b"content-length")
        if declared is not None and int(declared) > room_bytes:
            raise TooLarge(f"{declared} bytes come, and {room_bytes} are left", extra={"left_bytes": room_bytes})
        checksum = Checksum.of(call)
        source = BodyReader(call.stream(), turn, room_bytes, checksum)
        intake = Intake(self._services.packs, upload.organisation, sizes_of(self._settings))
        leg_bytes = room_bytes + 1 if checksum is not None else LEG_BYTES
        try:
            async with self._gate:
                while source.goes_on():
                    await pour(source.leg(leg_bytes), intake.take)
                    if checksum is not None:
                        source.require_whole()
                        checksum.require_equal()
                    batch = await asyncio.to_thread(intake.settle if source.goes_on() else intake.finish)
                    upload, completed = await self._note(call, upload, batch)
        except BaseException:
            await asyncio.to_thread(intake.abort)
            raise
        source.require_whole()
        return upload, completed

    async def _note(self, call: Call, upload: Upload, batch: DurableChunks) -> tuple[Upload, Completed | None]:
        """Make bytes known. The last ones complete the upload in the same transaction, so that no upload can be
        found with all its bytes and yet incomplete: a client that sees the full offset asks for nothing more.
        """
        if not batch.pieces:
            return upload, None
        settings = self._settings

        def append(tx: Transaction) -> Upload:
            return rules.append(tx, call.principal, upload.id, upload.offset_bytes, batch, settings)

        if upload.offset_bytes + batch.size_bytes != upload.size_bytes:
            return await self._noted(call, upload, batch, append), None
        checked = await self._compare(call, upload, batch)

        def complete(tx: Transaction) -> Completed:
            append(tx)
            return rules.complete(tx, call.principal, upload.id, checked, settings)

        completed = await self._noted(call, upload, batch, complete)
        return completed.upload, completed

    async def _noted(
        self, call: Call, upload: Upload, batch: DurableChunks, function: TransactionFunction[Result]
    ) -> Result:
        database, packs = self._services.database, self._services.packs
        return await note(database, packs, batch, function, feed=upload.feed, recheck=call.recheck)

    async def _complete(self, call: Call, upload: Upload, size_bytes: int | None = None) -> Completed:
        """Stage the whole content when nothing more comes; ``size_bytes`` is the length if it is told only now."""
        checked = await self._compare(call, upload, DurableChunks((), Written(upload.organisation, (), ()), 0))
        await call.recheck()

        def complete(tx: Transaction) -> Completed:
            if size_bytes is not None:
                rules.declare_size(tx, call.principal, upload.id, size_bytes, self._settings)
            return rules.complete(tx, call.principal, upload.id, checked, self._settings)

        return await call.write(complete)

    async def _compare(self, call: Call, upload: Upload, last: DurableChunks) -> list[Piece] | None:
        """Compare all bytes, the durable last ones included, with the SHA-256 that the metadata gave, if it did.

        Raises: Invalid (another content; the upload is dropped).
        """
        if upload.sha256 is None:
            return None

        def look(tx: Transaction) -> tuple[list[Piece], list[ChunkRef]]:
            pieces = rules.content(tx, rules.find_open(tx, call.principal, upload.id)[0])
            return pieces, content.refs_of(tx, upload.organisation, pieces)

        try:
            pieces, refs = await call.read(look, slow=True)
            new = {ref.chunk: ref for ref in last.written.refs}
            refs += [new[piece.chunk] for piece in last.pieces]
            found = await asyncio.to_thread(content.sha256_of, self._services.packs, refs)
            if found != upload.sha256:
                await call.write(lambda tx: rules.drop(tx, call.principal, upload.id))
                raise Invalid(
                    "the content does not have the SHA-256 that was given; the upload is dropped",
                    code="CHECKSUM_MISMATCH",
                )
        except BaseException:
            await asyncio.to_thread(discard, self._services.packs, last.written)
            raise
        return [*pieces, *last.pieces]


async def _spoken(call: Call, handler: Handler, *, versioned: bool = True) -> Reply:
    """Answer in tus: every answer, refusals too, names the version."""
    own: tuple[Header, ...] = ((RESUMABLE, VERSION),)
    if versioned and call.headers.get(RESUMABLE) != VERSION:
        failure = PreconditionFailed(f"this server speaks tus {VERSION.decode()}", code="TUS_VERSION")
        answer = problem(failure, status_of(failure), call.request_id)
        return answer._replace(headers=(*answer.headers, *own, (b"tus-version", VERSION)))
    try:
        answer = await handler(call)
    except HeadwaterError as refused:
        status = _UNEQUAL if isinstance(refused, UnequalError) else status_of(refused)
        answer = problem(refused, status, call.request_id)
    return answer._replace(headers=(*answer.headers, *own))

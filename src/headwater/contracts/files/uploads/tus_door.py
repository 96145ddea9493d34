"""tus 1.0 on the resource of uploads: creation, creation-with-upload, expiration, checksum, termination.

Source: tus resumable upload protocol 1.0.0.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from headwater.base.errors import HeadwaterError, PreconditionFailed, StateConflict, TooLarge
from headwater.contracts.files.uploads import rules
from headwater.contracts.files.uploads.rules import TUS, Completed, Upload
from headwater.contracts.files.uploads.tus_headers import (
    CHECKSUMS,
    UnequalError,
    beginning_of,
    has_bytes,
    integer,
    require_type,
    size_of,
    state,
)
from headwater.contracts.files.uploads.tus_lock import UploadLocks
from headwater.contracts.files.uploads.tus_receiver import TusReceiver
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.errors import problem, status_of
from headwater.web.reply import Header, Reply
from headwater.web.services import Services

RESUMABLE = b"tus-resumable"
VERSION = b"1.0.0"

_EXTENSIONS = b"creation,creation-with-upload,creation-defer-length,expiration,checksum,termination"
_UNEQUAL = 460
"""The status that the checksum extension names for content of another checksum."""
Handler = Callable[[Call], Awaitable[Reply]]


class TusDoor:
    """The handlers of tus requests."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.files
        self._receiver = TusReceiver(services)
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
        return await _in_tus(call, self._create)

    async def head(self, call: Call) -> Reply:
        """HEAD /{id}: the offset at which to continue."""
        return await _in_tus(call, self._head, versioned=False)

    async def patch(self, call: Call) -> Reply:
        """PATCH /{id}: bytes at the offset; 204 with the next offset."""
        return await _in_tus(call, self._patch)

    async def remove(self, call: Call) -> Reply:
        """DELETE /{id}: termination; 204."""
        return await _in_tus(call, self._remove)

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
            # No client knows its Location: it would only hold the room that it reserved. It expires all the same where
            # it cannot be removed now; the client receives the reason why the creation was refused.
            with suppress(HeadwaterError):
                await call.write(lambda tx: rules.drop(tx, call.principal, upload.id), feed=upload.feed)
            raise
        headers = ((b"location", f"/api/v1/uploads/{upload.id}".encode()), *state(upload, completed))
        return reply.empty(201, headers)

    async def _begun(self, call: Call, upload: Upload, *, with_body: bool) -> tuple[Upload, Completed | None]:
        """Receives the bytes that arrive with a creation, and completes an upload that has all of them."""
        completed = None
        if with_body:
            async with self._turns.of(upload.id, call.counted_as_waiting) as turn:
                upload, completed = await self._receiver.receive(call, upload, turn)
        if completed is None and upload.offset_bytes == upload.size_bytes:
            completed = await self._receiver.complete(call, upload)
        return upload, completed

    async def _head(self, call: Call) -> Reply:
        upload_id = call.params["upload_id"]

        def find(tx: Transaction) -> Upload:
            return rules.find(tx, call.principal, upload_id)[0]

        await call.read(find)
        async with self._turns.of(upload_id, call.counted_as_waiting):
            upload = await call.read(find)
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

        def find(tx: Transaction) -> Upload:
            return rules.find(tx, call.principal, upload_id)[0]

        await call.read(find)
        async with self._turns.of(upload_id, call.counted_as_waiting) as turn:
            upload = await call.read(find)
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
                upload, completed = await self._receiver.receive(call, upload, turn)
            elif has_bytes(call):
                raise TooLarge("the upload has all its bytes")
            if upload.version is None and (ends or upload.offset_bytes == upload.size_bytes):
                completed = await self._receiver.complete(call, upload, size_bytes)
                upload = completed.upload
        return reply.empty(204, state(upload, completed))

    async def _remove(self, call: Call) -> Reply:
        upload_id = call.params["upload_id"]
        await call.read(lambda tx: rules.find(tx, call.principal, upload_id)[0])
        async with self._turns.of(upload_id, call.counted_as_waiting):
            await call.write(lambda tx: rules.drop(tx, call.principal, upload_id))
        return reply.empty()


async def _in_tus(call: Call, handler: Handler, *, versioned: bool = True) -> Reply:
    """Answers in tus: every answer, a refusal included, names the version."""
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

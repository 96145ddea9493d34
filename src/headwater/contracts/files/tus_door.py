"""tus 1.0 on the resource of uploads: creation, creation-with-upload, expiration, checksum, termination.

One request at a time writes to an upload. A later one ends the one before, whose connection is most likely dead
without the server knowing; what that one had received is kept first, so no byte is sent twice.

Source: tus resumable upload protocol 1.0.0.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

from headwater.base.clock import SECOND_US
from headwater.base.errors import (
    HeadwaterError,
    Invalid,
    Malformed,
    MediaUnsupported,
    PreconditionFailed,
    StateConflict,
    TooLarge,
)
from headwater.base.wire import parse_time
from headwater.contracts.files import content, uploads
from headwater.contracts.files.intake import Batch, Intake, note, pour, sizes_of
from headwater.contracts.files.uploads import TUS, Beginning, Completed, Request, Upload
from headwater.store.database import Transaction
from headwater.store.pack_format import ChunkRef
from headwater.store.packs import Written, discard
from headwater.store.versions import Piece
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
_CHECKSUMS = ("sha256", "sha1", "md5")
_BODY_TYPE = "application/offset+octet-stream"
_MAX_DIGITS = 18
_UNEQUAL = 460
"""The status that the checksum extension names for content of another checksum."""
Handler = Callable[[Call], Awaitable[Reply]]


class TusDoor:
    """The handlers of tus requests."""

    def __init__(self, services: Services, gate: asyncio.Semaphore) -> None:
        self._services = services
        self._settings = services.settings.files
        self._gate = gate
        self._turns = _Turns()

    async def options(self, _call: Call) -> Reply:
        """OPTIONS: the version, the extensions, the largest upload."""
        return reply.empty(
            204,
            (
                (RESUMABLE, VERSION),
                (b"tus-version", VERSION),
                (b"tus-extension", _EXTENSIONS),
                (b"tus-max-size", str(self._settings.file_bytes).encode()),
                (b"tus-checksum-algorithm", ",".join(_CHECKSUMS).encode()),
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
        size_bytes = _size(call)
        share_id, beginning = _beginning(call, size_bytes)
        with_body = _has_bytes(call)
        if with_body:
            _require_type(call)
        upload: Upload = await self._services.database.write(
            lambda tx: uploads.begin(tx, call.principal, share_id, beginning, self._settings)
        )
        completed = None
        if with_body:
            async with self._turns.of(upload.id) as turn:
                upload, completed = await self._take(call, upload, turn)
        if completed is None and upload.offset_bytes == upload.size_bytes:
            completed = await self._complete(call, upload)
        headers = ((b"location", f"/api/v1/uploads/{upload.id}".encode()), *_state(upload, completed))
        return reply.empty(201, headers)

    async def _head(self, call: Call) -> Reply:
        upload_id = call.params["upload_id"]

        def look(tx: Transaction) -> Upload:
            return uploads.find(tx, call.principal, upload_id)[0]

        await call.read(look)
        async with self._turns.of(upload_id):
            upload = await call.read(look)
        headers = [*_state(upload, None), (b"cache-control", b"no-store")]
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
        _require_type(call)
        offset_bytes = _integer(call, b"upload-offset")
        upload_id, settings = call.params["upload_id"], self._settings

        def look(tx: Transaction) -> Upload:
            return uploads.find(tx, call.principal, upload_id)[0]

        await call.read(look)
        async with self._turns.of(upload_id) as turn:
            upload = await call.read(look)
            uploads.require_offset(upload, offset_bytes)
            if upload.protocol != TUS:
                raise StateConflict("this upload takes numbered chunks: PUT them", code="UPLOAD_HAS_CHUNKS")
            size_bytes = _integer(call, b"upload-length") if b"upload-length" in call.headers else None
            ends = size_bytes == offset_bytes and not _has_bytes(call)
            if size_bytes is not None and not ends:
                await call.write(lambda tx: uploads.declare_size(tx, call.principal, upload_id, size_bytes, settings))
                upload = upload._replace(size_bytes=size_bytes)
            completed = None
            if upload.version is None and not ends:
                upload, completed = await self._take(call, upload, turn)
            elif _has_bytes(call):
                raise TooLarge("the upload has all its bytes")
            if upload.version is None and (ends or upload.offset_bytes == upload.size_bytes):
                completed = await self._complete(call, upload, size_bytes)
                upload = completed.upload
        return reply.empty(204, _state(upload, completed))

    async def _remove(self, call: Call) -> Reply:
        upload_id = call.params["upload_id"]
        await call.read(lambda tx: uploads.find(tx, call.principal, upload_id)[0])
        async with self._turns.of(upload_id):
            await call.write(lambda tx: uploads.drop(tx, call.principal, upload_id))
        return reply.empty()

    async def _take(self, call: Call, upload: Upload, turn: _Turn) -> tuple[Upload, Completed | None]:
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
        checksum = _Checksum.of(call)
        source = _Source(call.stream(), turn, room_bytes, checksum)
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

    async def _note(self, call: Call, upload: Upload, batch: Batch) -> tuple[Upload, Completed | None]:
        """Make bytes known. The last ones complete the upload in the same transaction, so that no upload can be
        found with all its bytes and yet incomplete: a client that sees the full offset asks for nothing more.
        """
        if not batch.pieces:
            return upload, None
        database, packs, principal, settings = (
            self._services.database,
            self._services.packs,
            call.principal,
            self._settings,
        )

        def append(tx: Transaction) -> Upload:
            return uploads.append(tx, principal, upload.id, upload.offset_bytes, batch, settings)

        if upload.offset_bytes + batch.size_bytes != upload.size_bytes:
            return await note(database, packs, batch, append, feed=upload.feed), None
        checked = await self._compare(call, upload, batch)

        def complete(tx: Transaction) -> Completed:
            append(tx)
            return uploads.complete(tx, principal, upload.id, checked, settings)

        completed = await note(database, packs, batch, complete, feed=upload.feed)
        return completed.upload, completed

    async def _complete(self, call: Call, upload: Upload, size_bytes: int | None = None) -> Completed:
        """Stage the whole content when nothing more comes; ``size_bytes`` is the length if it is told only now."""
        checked = await self._compare(call, upload, Batch((), Written(upload.organisation, (), ()), 0))

        def complete(tx: Transaction) -> Completed:
            if size_bytes is not None:
                uploads.declare_size(tx, call.principal, upload.id, size_bytes, self._settings)
            return uploads.complete(tx, call.principal, upload.id, checked, self._settings)

        return await call.write(complete)

    async def _compare(self, call: Call, upload: Upload, last: Batch) -> list[Piece] | None:
        """Compare all bytes, the durable last ones included, with the SHA-256 that the metadata gave, if it did.

        Raises: Invalid (another content; the upload is dropped).
        """
        if upload.sha256 is None:
            return None

        def look(tx: Transaction) -> tuple[list[Piece], list[ChunkRef]]:
            pieces = uploads.content(tx, uploads.find_open(tx, call.principal, upload.id)[0])
            return pieces, content.refs_of(tx, upload.organisation, pieces)

        try:
            pieces, refs = await call.read(look, slow=True)
            new = {ref.chunk: ref for ref in last.written.refs}
            refs += [new[piece.chunk] for piece in last.pieces]
            found = await asyncio.to_thread(content.sha256_of, self._services.packs, refs)
            if found != upload.sha256:
                await call.write(lambda tx: uploads.drop(tx, call.principal, upload.id))
                raise Invalid(
                    "the content does not have the SHA-256 that was given; the upload is dropped",
                    code="CHECKSUM_MISMATCH",
                )
        except BaseException:
            await asyncio.to_thread(discard, self._services.packs, last.written)
            raise
        return [*pieces, *last.pieces]


class _Turn:
    """A request's turn at an upload, which a later request may end."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._stopped = False
        self._scope: asyncio.Timeout | None = None

    def stop(self) -> None:
        """End the wait for more bytes, now or when it begins."""
        self._stopped = True
        if self._scope is not None:
            # An instant of the loop's clock that has long passed.
            self._scope.reschedule(0.0)

    async def next_of(self, stream: AsyncIterator[bytes]) -> bytes | None:
        """The next piece of a body; None at its end. Raises: TimeoutError (the turn was ended)."""
        try:
            # Who was stopped still gets what has arrived, and waits for nothing more.
            async with asyncio.timeout(0 if self._stopped else None) as self._scope:
                return await anext(stream, None)
        finally:
            self._scope = None


class _Turns:
    """Who is writing to which upload."""

    def __init__(self) -> None:
        self._held: dict[str, _Turn] = {}

    @asynccontextmanager
    async def of(self, upload_id: str) -> AsyncGenerator[_Turn, None]:
        """A turn at an upload, once whoever has it was ended and has kept what it received."""
        while (before := self._held.get(upload_id)) is not None:
            before.stop()
            await before.done.wait()
        turn = self._held[upload_id] = _Turn()
        try:
            yield turn
        finally:
            del self._held[upload_id]
            turn.done.set()


class _Source:
    """A request's body in legs; a break in it is remembered until what came before is safe."""

    def __init__(self, stream: AsyncIterator[bytes], turn: _Turn, room_bytes: int, checksum: _Checksum | None) -> None:
        self._ended = False
        self._stream = stream
        self._turn = turn
        self._left_bytes = room_bytes
        self._checksum = checksum
        self._failure: HeadwaterError | None = None

    def goes_on(self) -> bool:
        """True until the body has ended or broken off."""
        return not self._ended

    async def leg(self, leg_bytes: int) -> AsyncIterator[bytes]:
        """The next pieces, about this many bytes."""
        while leg_bytes > 0 and not self._ended:
            piece = await self._next()
            if piece is None:
                return
            self._left_bytes -= len(piece)
            if self._left_bytes < 0:
                raise TooLarge("more bytes came than the upload has left")
            if self._checksum is not None:
                self._checksum.update(piece)
            leg_bytes -= len(piece)
            yield piece

    def require_whole(self) -> None:
        """Tell of the break, if there was one. Raises: Malformed, BodyTimeout, StateConflict."""
        if self._failure is not None:
            raise self._failure

    async def _next(self) -> bytes | None:
        piece = None
        try:
            piece = await self._turn.next_of(self._stream)
        except Malformed as failure:
            self._failure = failure
        except TimeoutError:
            self._failure = StateConflict("a later request goes on with this upload", code="UPLOAD_TAKEN_OVER")
        self._ended = piece is None
        return piece


class _Checksum:
    """The checksum that a request's body must have. Source: tus 1.0, "Checksum"."""

    def __init__(self, name: str, expected: bytes) -> None:
        self._digest: Any = hashlib.new(name, usedforsecurity=False)
        self._expected = expected

    @classmethod
    def of(cls, call: Call) -> _Checksum | None:
        """What the header Upload-Checksum asks for, or None. Raises: Malformed."""
        given = call.header(b"upload-checksum")
        if given is None:
            return None
        name, _, encoded = given.strip().partition(" ")
        if name not in _CHECKSUMS:
            raise Malformed(f"Upload-Checksum: the algorithms are {', '.join(_CHECKSUMS)}")
        return cls(name, _base64(encoded.strip(), "Upload-Checksum"))

    def update(self, piece: bytes) -> None:
        """Take the next bytes into account."""
        self._digest.update(piece)

    def require_equal(self) -> None:
        """Hold back a body of another checksum. Raises: _Unequal."""
        if self._digest.digest() != self._expected:
            raise _UnequalError("the bytes do not have the checksum that was given; none was kept")


class _UnequalError(Invalid):
    """The body has another checksum than its header says."""

    code = "CHECKSUM_MISMATCH"
    title = "Checksum mismatch"


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
        status = _UNEQUAL if isinstance(refused, _UnequalError) else status_of(refused)
        answer = problem(refused, status, call.request_id)
    return answer._replace(headers=(*answer.headers, *own))


def _state(upload: Upload, completed: Completed | None) -> tuple[Header, ...]:
    """Where an upload stands: its offset, when it goes, and what became of it once it is complete."""
    offset_bytes = upload.offset_bytes if upload.version is None else upload.size_bytes
    headers = [
        (b"upload-offset", str(offset_bytes).encode()),
        (b"upload-expires", formatdate(upload.expires_us // SECOND_US, usegmt=True).encode()),
    ]
    if completed is not None:
        headers.append((b"x-version-id", completed.version.id.encode()))
        if completed.landed is not None:
            headers.append((b"x-resource-id", completed.landed.node.id.encode()))
        if completed.failure is not None:
            headers.append((b"x-commit-error", completed.failure.error_code.encode()))
    return tuple(headers)


def _size(call: Call) -> int | None:
    """The length that a creation names; None when it is deferred."""
    if call.header(b"upload-defer-length") == "1" and b"upload-length" not in call.headers:
        return None
    return _integer(call, b"upload-length")


def _integer(call: Call, name: bytes) -> int:
    text = call.header(name)
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise Malformed(f"{name.decode()} must be a number of bytes")
    return int(text)


def _has_bytes(call: Call) -> bool:
    return b"transfer-encoding" in call.headers or call.headers.get(b"content-length", b"0") != b"0"


def _require_type(call: Call) -> None:
    if (call.header(b"content-type") or "").partition(";")[0].strip().lower() != _BODY_TYPE:
        raise MediaUnsupported(f"bytes come as {_BODY_TYPE}")


def _beginning(call: Call, size_bytes: int | None) -> tuple[str, Beginning]:
    """The share, and what the metadata says of the upload. Raises: Malformed, Invalid."""
    raw = call.header(b"upload-metadata") or ""
    found = _metadata(raw)
    share_id = found.get("share_id") or call.query.get("share_id")
    if not share_id:
        raise Invalid.of("share_id", "missing", "name the share in Upload-Metadata, or with ?share_id=")
    path = found.get("path")
    named = path is not None or "filename" in found or "name" in found
    request = Request(
        path=None if path is None else "/" + path.lstrip("/"),
        folder_id=found.get("folder_id") or call.query.get("folder_id"),
        file_name=found.get("filename") or found.get("name"),
        modified_us=parse_time(found["modified_at"], "modified_at") if "modified_at" in found else None,
        device_id=(found.get("device_id") or call.header(b"x-device-id") or "")[:128],
        commit=named and found.get("commit") != "false",
        base_version_id=found.get("base_version_id"),
        metadata=raw,
    )
    sha256 = found.get("checksum_sha256")
    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise Invalid.of("checksum_sha256", "incorrect_value", "64 hexadecimal digits are expected")
    mime_type = found.get("filetype") or found.get("mime_type")
    if mime_type is not None and not (mime_type.isascii() and mime_type.isprintable() and len(mime_type) <= 255):
        raise Invalid.of("filetype", "incorrect_value", "this is no media type")
    return share_id, Beginning(TUS, size_bytes, 0, mime_type, sha256, request)


def _metadata(raw: str) -> dict[str, str]:
    """The pairs of an Upload-Metadata header. Raises: Malformed."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in raw.split(","))):
        key, _, encoded = pair.partition(" ")
        try:
            found[key] = _base64(encoded.strip(), "Upload-Metadata").decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed(f"Upload-Metadata: {key} is not UTF-8") from None
        if "\0" in found[key]:
            raise Invalid.of(key, "incorrect_value", "text may not hold the character U+0000")
    return found


def _base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Malformed(f"{name}: this is not base64") from None

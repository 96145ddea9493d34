"""Receives the body of a tus request into an upload, part by part, each durable before the next is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from headwater.base.errors import HeadwaterError, Invalid, Malformed, StateConflict, TooLarge
from headwater.contracts.files import content
from headwater.contracts.files.quota import Level
from headwater.contracts.files.uploads import rules
from headwater.contracts.files.uploads.ingest import DurableChunks, Intake, commit_or_discard, pour, sizes_of
from headwater.contracts.files.uploads.rules import Completed, Upload
from headwater.contracts.files.uploads.tus_headers import Checksum
from headwater.contracts.files.uploads.tus_lock import UploadTurn
from headwater.store.database import Transaction
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.writer import Written
from headwater.store.tree.versions import Piece
from headwater.web.call import Call
from headwater.web.services import Services

PART_BYTES = 256 * 1024 * 1024
"""So much of one long request is made durable and recorded before more is read."""


class TusReceiver:
    """Writes request bodies to packs, and records them in their uploads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.files

    async def receive(self, call: Call, upload: Upload, turn: UploadTurn) -> tuple[Upload, Completed | None]:
        """Appends the body to an upload, and completes the upload with its last byte.

        A body that breaks off is stored as far as it arrived, then the break is raised.
        Raises: TooLarge, UnequalError, Malformed, BodyTimeout, StateConflict (a later request has the turn).
        """
        completed = None
        size_bytes = self._settings.file_bytes if upload.size_bytes is None else upload.size_bytes
        room_bytes = size_bytes - upload.offset_bytes
        level = await call.read(lambda tx: rules.room_left(tx, call.principal, upload.id, self._settings))
        if level is not None and level.left_bytes < room_bytes:
            room_bytes = max(0, level.left_bytes)
        else:
            level = None
        declared = call.header(b"content-length")
        if declared is not None and int(declared) > room_bytes:
            raise _no_room(level, int(declared), room_bytes)
        checksum = Checksum.of(call)
        body = BodyReader(call.stream(), turn, room_bytes, checksum, level)
        # A checksum covers the whole body: nothing of it may be recorded before all of it was compared.
        part_bytes = PART_BYTES if checksum is None else room_bytes + 1
        sizes = sizes_of(self._settings)
        async with call.counted_as_upload(), Intake(self._services.packs, upload.organisation, sizes) as intake:
            while not body.has_ended():
                await pour(body.part(part_bytes), intake.take)
                if checksum is not None:
                    body.require_whole()
                    checksum.require_equal()
                batch = await asyncio.to_thread(intake.finish if body.has_ended() else intake.settle)
                upload, completed = await self._record(call, upload, batch)
        body.require_whole()
        return upload, completed

    async def complete(self, call: Call, upload: Upload, size_bytes: int | None = None) -> Completed:
        """Stages the whole content when no more bytes follow; ``size_bytes`` is a length deferred until now."""
        checked = await self._compare(call, upload, DurableChunks((), Written(upload.organisation, (), ()), 0))
        await call.recheck()

        def complete(tx: Transaction) -> Completed:
            if size_bytes is not None:
                rules.declare_size(tx, call.principal, upload.id, size_bytes, self._settings)
            return rules.complete(tx, call.principal, upload.id, checked, self._settings)

        return await call.write(complete)

    async def _record(self, call: Call, upload: Upload, batch: DurableChunks) -> tuple[Upload, Completed | None]:
        """Records durable bytes in the upload. The last ones complete it in the same transaction: no reader can find
        an upload that has all its bytes and is incomplete, because a client that sees the full offset stops there.
        """
        if not batch.pieces:
            return upload, None
        settings = self._settings
        is_last = upload.offset_bytes + batch.size_bytes == upload.size_bytes
        async with commit_or_discard(self._services.packs, batch.written) as pending:
            checked = await self._compare(call, upload, batch) if is_last else None

            def append(tx: Transaction) -> tuple[Upload, Completed | None]:
                longer = rules.append(tx, call.principal, upload.id, upload.offset_bytes, batch, settings)
                if not is_last:
                    return longer, None
                completed = rules.complete(tx, call.principal, upload.id, checked, settings)
                return completed.upload, completed

            await call.recheck()
            return await self._services.database.write(pending.watch(append), feed=upload.feed)

    async def _compare(self, call: Call, upload: Upload, last: DurableChunks) -> list[Piece] | None:
        """Compares all bytes, the durable last ones included, with the SHA-256 that the metadata gave, if it did.

        Raises: Invalid (another content; the upload is dropped).
        """
        if upload.sha256 is None:
            return None

        def stored(tx: Transaction) -> tuple[list[Piece], list[ChunkRef]]:
            pieces = rules.content(tx, rules.find_open(tx, call.principal, upload.id)[0])
            return pieces, content.refs_of(tx, upload.organisation, pieces)

        pieces, refs = await call.read(stored, slow=True)
        new = {ref.chunk: ref for ref in last.written.refs}
        refs += [new[piece.chunk] for piece in last.pieces]
        found = await asyncio.to_thread(content.sha256_of, self._services.packs, refs)
        if found != upload.sha256:
            await call.write(lambda tx: rules.drop(tx, call.principal, upload.id))
            raise Invalid(
                "the content does not have the SHA-256 that was given; the upload is dropped",
                code="CHECKSUM_MISMATCH",
            )
        return [*pieces, *last.pieces]


class BodyReader:
    """A request's body in parts; a break in it is remembered until what arrived before is safe."""

    def __init__(
        self,
        stream: AsyncIterator[bytes],
        turn: UploadTurn,
        room_bytes: int,
        checksum: Checksum | None,
        level: Level | None = None,
    ) -> None:
        self._level = level
        self._read_bytes = 0
        self._ended = False
        self._stream = stream
        self._turn = turn
        self._left_bytes = room_bytes
        self._checksum = checksum
        self._failure: HeadwaterError | None = None

    def has_ended(self) -> bool:
        """True once the body has ended or broken off."""
        return self._ended

    async def part(self, part_bytes: int) -> AsyncIterator[bytes]:
        """The next pieces, about this many bytes. Raises: TooLarge, QuotaExceeded (an upload of unknown length)."""
        while part_bytes > 0 and not self._ended:
            piece = await self._next()
            if piece is None:
                return
            self._left_bytes -= len(piece)
            self._read_bytes += len(piece)
            if self._left_bytes < 0:
                raise _no_room(self._level, self._read_bytes, self._left_bytes + self._read_bytes)
            if self._checksum is not None:
                self._checksum.update(piece)
            part_bytes -= len(piece)
            yield piece

    def require_whole(self) -> None:
        """Refuses a body that broke off. Raises: Malformed, BodyTimeout, StateConflict."""
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


def _no_room(level: Level | None, size_bytes: int, left_bytes: int) -> HeadwaterError:
    """The refusal of bytes beyond the length of an upload, or beyond the quota where its length is unknown."""
    if level is not None:
        return level.refusal(size_bytes)
    return TooLarge(f"{size_bytes} bytes come, and {left_bytes} are left", extra={"left_bytes": left_bytes})

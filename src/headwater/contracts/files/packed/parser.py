"""Reads a packed upload: many files in one stream, each a line of JSON and then its bytes.

Shape: ``{"path":"/a/b.txt","size":12}``, a line feed and 12 bytes, again and again. A file whose line is well-formed
but wrong is skipped; a line without a size ends the reading, because the beginning of the next one is unknown.
The content is written to one pack. Runs on threads, one call at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
from blake3 import blake3

from headwater.base.chunking import Chunker
from headwater.base.errors import HeadwaterError, Invalid, Malformed, NotFound, TooLarge
from headwater.base.settings.table import FileSettings
from headwater.base.wire import decode, parse_time
from headwater.contracts.files.names import MAX_PATH_BYTES, NamePolicy, name_key, stored_name, stored_path
from headwater.contracts.files.packed.shapes import PackedFields, read_packed
from headwater.contracts.files.quota import Level
from headwater.contracts.files.uploads.ingest import PendingPacks, sizes_of
from headwater.contracts.files.uploads.shapes import FailureAnswer
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.writer import PackWriter, Written
from headwater.store.tree.nodes import Name
from headwater.store.tree.versions import Piece

MAX_LINE_BYTES = 1024 * 1024
"""Longest line; one with a list of chunks is long."""

MAX_LISTED_CHUNKS = 20_000
"""Most chunks that the files of one stream list: each becomes a row, while other writers wait."""

MAX_SMALL_CHUNKS = 64
"""Most chunks of a list, but for its last one, that are smaller than this server cuts them: the ends of a session's
parts are such."""

_NO_FIELDS = PackedFields(size=0)


class Arrived(msgspec.Struct, gc=False):
    """A file of the stream: its place and its chunks; or the reason why it is not stored.

    ``folder`` is the stored path of its folder, empty for the root; ``name`` is null when it names a resource.
    """

    number: int
    fields: PackedFields
    folder: str = ""
    name: Name | None = None
    modified_us: int | None = None
    pieces: tuple[Piece, ...] = ()
    failure: FailureAnswer | None = None

    @property
    def size_bytes(self) -> int:
        """The size of its content, sent or known."""
        fields = self.fields
        return fields.size if fields.chunks is None else sum(piece.length_bytes for piece in self.pieces)


class Unpacker(PendingPacks):
    """Splits the stream into files; as a context it removes after a failure what was written."""

    def __init__(
        self,
        place: PackBackend,
        organisation: str,
        policy: NamePolicy,
        settings: FileSettings,
        *,
        digested: bool = False,
        room: Level | None = None,
    ) -> None:
        self._settings = settings
        self._room = room
        self._listed_left = MAX_LISTED_CHUNKS
        self._sizes = sizes_of(settings)
        self._names = _Names(policy)
        self._writer = PackWriter(place, organisation)
        self._held = b""
        self._file: _Whole | _Cut | _ChunkList | _Skipped | None = None
        self._arrived: list[Arrived] = []
        self._taken_bytes = 0
        self._cutter: Chunker | None = None
        self._digest = blake3() if digested else None

    def take(self, content: bytes) -> None:
        """Parses and writes the next bytes. Raises: Malformed (a line is missing), TooLarge, QuotaExceeded (disk)."""
        self._taken_bytes += len(content)
        if self._taken_bytes > self._settings.packed_bytes:
            raise TooLarge(f"a packed upload has at most {self._settings.packed_bytes} bytes")
        if self._digest is not None:
            self._digest.update(content)
        held = self._held + content if self._held else content
        view = memoryview(held)
        at = 0
        while True:
            if self._file is None:
                end = held.find(b"\n", at)
                if end < 0:
                    break
                opened = self._open(held[at:end])
                at = end + 1
                if isinstance(opened, Arrived):
                    stop = at + opened.fields.size
                    if stop <= len(held):
                        # Most files are small, whole and without a checksum: the fast path.
                        opened.pieces = (Piece(self._writer.append(view[at:stop]).chunk, stop - at),)
                        self._arrived.append(opened)
                        at = stop
                        continue
                    self._file = _Whole(opened, self._writer)
                else:
                    self._file = opened
            taken = self._file.take(view[at:])
            at += taken
            if not self._file.is_complete:
                break
            closed = self._file.close()
            self._arrived.append(closed)
            if self._room is not None and closed.failure is not None and not isinstance(self._file, _Skipped):
                self._room.left_bytes += closed.size_bytes
            self._file = None
        self._held = held[at:]
        if self._file is None and len(self._held) > MAX_LINE_BYTES:
            raise self._broken("the line before it is too long")

    def finish(self) -> tuple[list[Arrived], Written]:
        """Makes everything durable, at the end of the stream. Raises: Malformed (it ended inside a file)."""
        if self._file is not None or self._held:
            raise self._broken("the stream ended inside it")
        return self._arrived, self._writer.close()

    @property
    def digest(self) -> bytes:
        """The BLAKE3 of the whole stream, if it was ``digested``; else nothing."""
        return b"" if self._digest is None else self._digest.digest()

    def remove(self) -> None:
        """Removes what was written; does nothing after ``finish``."""
        self._writer.abort()

    def _open(self, line: bytes) -> Arrived | _Whole | _Cut | _ChunkList | _Skipped:
        """The receiver of the next file's bytes; the file itself, if they are one chunk without a checksum."""
        index = len(self._arrived)
        if index >= self._settings.packed_files:
            raise TooLarge(f"a packed upload has at most {self._settings.packed_files} files")
        try:
            fields = decode(read_packed, line)
            if b"\\u0000" in line:
                raise Invalid("text may not hold the character U+0000")
        except HeadwaterError as failure:
            return _Skipped(index, self._size_in(line), _NO_FIELDS, failure)
        try:
            folder, name = self._names.of(fields)
            modified_us = None if fields.modified_at is None else parse_time(fields.modified_at, "modified_at")
            self._require_room(_require_sizes(fields, self._settings))
            self._require_few_chunks(fields)
        except HeadwaterError as failure:
            return _Skipped(index, fields.size, fields, failure)
        arrived = Arrived(index, fields, folder, name, modified_us)
        if fields.chunks is not None:
            return _ChunkList(arrived, self._writer)
        if fields.size > self._sizes.average_bytes:
            self._cutter = self._cutter or Chunker(self._sizes)
            return _Cut(arrived, self._writer, self._cutter)
        if fields.size and fields.blake3 is None and fields.checksum_sha256 is None:
            return arrived
        return _Whole(arrived, self._writer)

    def _require_room(self, size_bytes: int) -> None:
        """Refuses a file before its bytes are written, where the quota has no room for it. Raises: QuotaExceeded."""
        if self._room is not None:
            if size_bytes > self._room.left_bytes:
                raise self._room.refusal(size_bytes)
            self._room.left_bytes -= size_bytes

    def _require_few_chunks(self, fields: PackedFields) -> None:
        """Refuses a list beyond the chunks that one stream may list. Raises: TooLarge."""
        number = len(fields.chunks or ())
        if number > self._listed_left:
            raise TooLarge(
                f"the files of one packed upload list at most {MAX_LISTED_CHUNKS} chunks; send this one in the next",
                code="TOO_MANY_CHUNKS",
            )
        self._listed_left -= number

    def _size_in(self, line: bytes) -> int:
        """The size in a line that is wrong otherwise. Raises: Malformed."""
        try:
            found: Any = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._broken("the line before it is not JSON") from None
        size = found.get("size") if isinstance(found, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise self._broken("the line before it gives no size")
        return size

    def _broken(self, why: str) -> Malformed:
        index = len(self._arrived)
        return Malformed(f"file {index} of the stream: {why}; nothing was taken", extra={"index": index})


class _Names:
    """The places of files, as the share stores names; each folder is checked once."""

    def __init__(self, policy: NamePolicy) -> None:
        self._policy = policy
        self._folders: dict[str, str] = {"": ""}

    def of(self, fields: PackedFields) -> tuple[str, Name | None]:
        """The stored path of the folder, and the name. Raises: Invalid."""
        if fields.path is None:
            if fields.resource_id is None:
                raise Invalid.of("path", "missing", "name the file with path or resource_id")
            return "", None
        folder, slash, last = fields.path.rpartition("/")
        if not slash:
            raise Invalid.of("path", "not_absolute", "a path begins with '/'")
        stored = self._folders.get(folder)
        if stored is None:
            stored = self._folders[folder] = stored_path(folder, self._policy)
        name = stored_name(last, self._policy, field="path")
        if len(fields.path) * 4 > MAX_PATH_BYTES:
            stored_path(fields.path, self._policy)
        return stored, Name(name, name_key(name, self._policy))


class _Receiver:
    """Receives the bytes of a file, and compares them with the checksums in its line."""

    def __init__(self, arrived: Arrived) -> None:
        fields = arrived.fields
        self._file = arrived
        self._left_bytes = fields.size
        self._pieces: list[Piece] = []
        self._failure: HeadwaterError | None = None
        self._blake3 = None if fields.blake3 is None or fields.chunks is not None else blake3()
        self._sha256 = None if fields.checksum_sha256 is None or fields.chunks is not None else hashlib.sha256()

    @property
    def is_complete(self) -> bool:
        """True when all its bytes were received."""
        return self._left_bytes == 0

    def close(self) -> Arrived:
        """The file as it arrived, refused if a checksum differs."""
        fields = self._file.fields
        if self._failure is None:
            if self._blake3 is not None and self._blake3.hexdigest() != fields.blake3:
                self._failure = unequal("BLAKE3")
            given = (fields.checksum_sha256 or "").lower()
            if self._sha256 is not None and self._sha256.hexdigest() != given:
                self._failure = unequal("SHA-256")
        self._file.pieces = tuple(self._pieces)
        self._file.failure = failure_of(self._failure)
        return self._file

    def _hash(self, content: memoryview) -> None:
        if self._blake3 is not None:
            self._blake3.update(content)
        if self._sha256 is not None:
            self._sha256.update(content)


class _Whole(_Receiver):
    """Receives a file of one chunk: waits until all of it has arrived."""

    def __init__(self, arrived: Arrived, writer: PackWriter) -> None:
        super().__init__(arrived)
        self._writer = writer

    def take(self, content: memoryview) -> int:
        """Writes the file once all of it has arrived; returns the bytes used."""
        size = self._left_bytes
        if len(content) < size:
            return 0
        if size:
            ref = self._writer.append(content[:size])
            self._pieces.append(Piece(ref.chunk, size))
            if self._blake3 is not None or self._sha256 is not None:
                self._hash(content[:size])
            self._left_bytes = 0
        return size


class _Cut(_Receiver):
    """Receives a file and cuts it into chunks as it arrives."""

    def __init__(self, arrived: Arrived, writer: PackWriter, cutter: Chunker) -> None:
        super().__init__(arrived)
        self._writer = writer
        self._cutter = cutter

    def take(self, content: memoryview) -> int:
        """Writes what has arrived; returns the bytes used."""
        taken = min(len(content), self._left_bytes)
        self._hash(content[:taken])
        self._append(self._cutter.feed(content[:taken]))
        self._left_bytes -= taken
        if not self._left_bytes:
            self._append(self._cutter.finish())
        return taken

    def _append(self, cut: Iterator[memoryview]) -> None:
        for chunk in cut:
            ref = self._writer.append(chunk)
            self._pieces.append(Piece(ref.chunk, ref.length_bytes))


class _ChunkList(_Receiver):
    """Receives a file given as a list of chunks, of which only some follow, in their order."""

    def __init__(self, arrived: Arrived, writer: PackWriter) -> None:
        super().__init__(arrived)
        self._writer = writer
        listed = arrived.fields.chunks or []
        self._pieces = [Piece(bytes.fromhex(chunk.hash), chunk.size) for chunk in listed]
        self._coming = [piece for piece, chunk in zip(self._pieces, listed, strict=True) if chunk.sent]
        self._coming.reverse()

    def take(self, content: memoryview) -> int:
        """Writes the chunks that have arrived whole; returns the bytes used."""
        at = 0
        while self._coming and len(content) - at >= self._coming[-1].length_bytes:
            piece = self._coming.pop()
            try:
                self._writer.append(content[at : at + piece.length_bytes], piece.chunk)
            except Invalid as failure:
                self._failure = failure
            at += piece.length_bytes
        self._left_bytes -= at
        return at


class _Skipped:
    """Skips the bytes of a file that is not stored."""

    def __init__(self, index: int, size: int, fields: PackedFields, failure: HeadwaterError) -> None:
        self._left_bytes = size
        self._arrived = Arrived(index, fields, failure=failure_of(failure))

    @property
    def is_complete(self) -> bool:
        """True when all its bytes were skipped."""
        return self._left_bytes == 0

    def take(self, content: memoryview) -> int:
        """Skips what has arrived; returns their number."""
        taken = min(len(content), self._left_bytes)
        self._left_bytes -= taken
        return taken

    def close(self) -> Arrived:
        """The file with the reason why it was not stored."""
        return self._arrived


def failure_of(failure: HeadwaterError | None) -> FailureAnswer | None:
    """An error in the form of one file's result."""
    return None if failure is None else FailureAnswer(failure.error_code, failure.detail)


def _require_sizes(fields: PackedFields, settings: FileSettings) -> int:
    """The size of a file's content.

    Raises: TooLarge (the file), Invalid (its list of chunks does not fit its size, or lists tiny ones).
    """
    size_bytes = fields.size
    if fields.chunks is not None:
        sent_bytes = sum(chunk.size for chunk in fields.chunks if chunk.sent)
        if sent_bytes != fields.size:
            raise Invalid.of("size", "incorrect_value", f"the chunks that are sent have {sent_bytes} bytes")
        size_bytes = sum(chunk.size for chunk in fields.chunks)
        # Each chunk is a row, so many tiny ones would take room that no quota counts.
        small = sum(chunk.size < settings.chunk_min_bytes for chunk in fields.chunks[:-1])
        if small > MAX_SMALL_CHUNKS:
            least = f"of the listed chunks at most {MAX_SMALL_CHUNKS} have less than {settings.chunk_min_bytes} bytes"
            raise Invalid.of("chunks", "incorrect_value", f"{least}; send this file without a list")
    if size_bytes > settings.file_bytes:
        raise TooLarge(f"a file has at most {settings.file_bytes} bytes; this one has {size_bytes}")
    return size_bytes


def unequal(name: str) -> Invalid:
    """The refusal of a file whose content has another checksum than its line states."""
    return Invalid(f"the content does not have the {name} that was given", code="CHECKSUM_MISMATCH")


def unknown_chunks(missing: int) -> NotFound:
    """The refusal of a file with chunks that are unknown, or that the caller may not reach."""
    return NotFound(f"{missing} of its chunks are not known here; send them", code="CHUNKS_MISSING")

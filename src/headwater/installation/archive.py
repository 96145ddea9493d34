"""The backup's file format: a tar, plain or compressed, whose last members are its manifest and the manifest's hash.

Shape: ``tables/NAME/NNNNNN.msgpack`` (pages of rows) · ``packs/XX/NAME`` (content) · ``admin.token`` (only of versions
before 0.2) · ``manifest.json`` (every member with its size and SHA-256, the tables with columns and row counts, the
schema steps) · ``manifest.sha256``. A file that was cut off has no manifest, and nothing of it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import msgspec
import zstandard

from headwater.base.descriptors import opened
from headwater.base.errors import HeadwaterError
from headwater.base.wire import encode

FORMAT = "headwater-backup"
VERSION = 1
MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.sha256"
ADMIN_TOKEN = "admin.token"  # noqa: S105 - a file's name
PIECE_BYTES = 1024 * 1024

_MEMBER = re.compile(r"tables/[a-z_]+/\d{6,}\.msgpack|packs/[0-9a-f]{2}/[0-9A-Za-z_-]+(\.[0-9A-Za-z]+)?|admin\.token")
_LEVEL = 3
_UNREADABLE = (tarfile.TarError, zstandard.ZstdError, EOFError)


class BackupDamaged(HeadwaterError):
    """A backup file that is cut off, changed, or not a Headwater backup."""

    code = "BACKUP_DAMAGED"
    title = "Backup damaged"
    hint = "Nothing was restored from it. Use another backup; 'headwater verify --backup FILE' checks one."


class ArchiveMember(NamedTuple):
    """A file inside the backup."""

    name: str
    size_bytes: int
    sha256: str


class TableSummary(msgspec.Struct, frozen=True):
    """The columns and the row count of a table, as the manifest states them."""

    columns: tuple[str, ...]
    rows: int


class BackupManifest(msgspec.Struct, frozen=True):
    """The contents of a backup; ``heads`` has the newest position of each feed."""

    format: str
    version: int
    headwater: str
    made_at: str
    database: str
    epoch: str
    packs: str
    schema_steps: tuple[str, ...]
    tables: dict[str, TableSummary]
    heads: dict[str, int]
    members: tuple[ArchiveMember, ...]


class ArchiveWriter:
    """Writes members one after the other, and hashes each while it is written."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.members: list[ArchiveMember] = []

    def add_bytes(self, name: str, content: bytes) -> None:
        """Writes a member that is in memory."""
        self._add(name, len(content), io.BytesIO(content))

    def add_file(self, name: str, path: Path) -> None:
        """Writes a file of this machine as a member."""
        with path.open("rb") as file:
            self._add(name, os.fstat(file.fileno()).st_size, file)

    def finish(self, manifest: BackupManifest) -> None:
        """Writes the manifest and its hash; no member may follow."""
        content = encode(manifest)
        self.add_bytes(MANIFEST, content)
        self.add_bytes(MANIFEST_HASH, hashlib.sha256(content).hexdigest().encode() + b"\n")
        self._stream.write(bytes(2 * tarfile.BLOCKSIZE))

    def _add(self, name: str, size_bytes: int, source: IO[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size = size_bytes
        info.mode = 0o600
        self._stream.write(info.tobuf(tarfile.PAX_FORMAT))
        digest, left_bytes = hashlib.sha256(), size_bytes
        while left_bytes:
            piece = source.read(min(PIECE_BYTES, left_bytes))
            if not piece:
                raise HeadwaterError(f"{name} became shorter while it was read")
            digest.update(piece)
            self._stream.write(piece)
            left_bytes -= len(piece)
        self._stream.write(bytes(-size_bytes % tarfile.BLOCKSIZE))
        self.members.append(ArchiveMember(name, size_bytes, digest.hexdigest()))


@contextmanager
def create(path: Path) -> Iterator[ArchiveWriter]:
    """Writes a new backup file, which gets its name only once it is whole and on disk; only its owner may read it."""
    unfinished = path.with_name(f"{path.name}.unfinished-{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if is_compressed(path):
                with zstandard.ZstdCompressor(level=_LEVEL, threads=-1).stream_writer(file, closefd=False) as stream:
                    yield ArchiveWriter(stream)
            else:
                yield ArchiveWriter(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def is_compressed(path: Path) -> bool:
    """True when a backup of this name is compressed."""
    return path.name.endswith(".zst")


def check(
    path: Path,
    progress: Callable[[int], None] = lambda _bytes: None,
    on_piece: Callable[[str, bytes], None] = lambda _name, _piece: None,
) -> BackupManifest:
    """Reads a whole backup and compares it with its manifest; ``progress`` receives the bytes of each read.

    ``on_piece`` receives each member's name and content, piece by piece; an empty piece ends the member.

    Raises: BackupDamaged.
    """
    found: list[ArchiveMember] = []
    manifest_bytes = hash_bytes = b""
    for name, source in members(path, progress):
        digest, size_bytes, pieces = hashlib.sha256(), 0, []
        while piece := source.read(PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
            on_piece(name, piece)
            if name in (MANIFEST, MANIFEST_HASH):
                pieces.append(piece)
        on_piece(name, b"")
        found.append(ArchiveMember(name, size_bytes, digest.hexdigest()))
        if name == MANIFEST:
            manifest_bytes = b"".join(pieces)
        elif name == MANIFEST_HASH:
            hash_bytes = b"".join(pieces)
    if not hash_bytes:
        raise BackupDamaged(f"{path} is cut off: its manifest is missing")
    if hashlib.sha256(manifest_bytes).hexdigest().encode() != hash_bytes.strip():
        raise BackupDamaged(f"{path} is damaged: the manifest does not have its hash")
    manifest = _manifest(path, manifest_bytes)
    actual_members = [member for member in found if member.name not in (MANIFEST, MANIFEST_HASH)]
    for expected, actual in zip(manifest.members, actual_members, strict=False):
        if expected != actual:
            raise BackupDamaged(f"{path} is damaged at {actual.name}")
    if len(manifest.members) != len(actual_members):
        raise BackupDamaged(f"{path} holds {len(actual_members)} members, its manifest names {len(manifest.members)}")
    return manifest


def members(path: Path, progress: Callable[[int], None] = lambda _bytes: None) -> Iterator[tuple[str, IO[bytes]]]:
    """The members of a backup, in order; a member's content must be read before the next member is requested.

    Raises: BackupDamaged (no tar, cut off, or a member that no backup has).
    """
    try:
        with path.open("rb") as file:
            stream = cast("IO[bytes]", _CountedStream(file, progress))
            if is_compressed(path):
                stream = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for info in tar:
                    content = tar.extractfile(info) if info.isreg() and _is_member(info.name) else None
                    if content is None:
                        raise BackupDamaged(f"{path} holds something that no backup does: {info.name!r}")
                    yield info.name, cast("IO[bytes]", _MemberStream(path, content))
    except _UNREADABLE as failure:
        raise BackupDamaged(f"{path} is no backup, or was cut off") from failure


class _MemberStream:
    """The content of a member; raises BackupDamaged when it ends too early."""

    def __init__(self, path: Path, source: IO[bytes]) -> None:
        self._path = path
        self._source = source

    def read(self, size: int = -1) -> bytes:
        try:
            return self._source.read(size)
        except _UNREADABLE as failure:
            raise BackupDamaged(f"{self._path} is damaged or cut off: {failure}") from None


class _CountedStream:
    """Reports the bytes of each read to ``progress``."""

    def __init__(self, source: IO[bytes], progress: Callable[[int], None]) -> None:
        self._source = source
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self._progress(len(piece))
        return piece


def _is_member(name: str) -> bool:
    return name in (MANIFEST, MANIFEST_HASH) or _MEMBER.fullmatch(name) is not None


def _manifest(path: Path, content: bytes) -> BackupManifest:
    try:
        manifest = msgspec.json.decode(content, type=BackupManifest)
    except msgspec.MsgspecError as failure:
        raise BackupDamaged(f"{path} has a manifest that cannot be read: {failure}") from None
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise BackupDamaged(
            f"{path} is of format {manifest.format} {manifest.version}; this version reads {FORMAT} {VERSION}"
        )
    return manifest


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    with opened(folder) as descriptor:
        os.fsync(descriptor)

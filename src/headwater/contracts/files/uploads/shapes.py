"""Requests and replies about content: upload sessions, the check for chunks, packed uploads, batch downloads.

Source: readings, section 7, "Content".
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

KIB = 1024
MIB = 1024 * KIB
MAX_SIZE_BYTES = 2**53
DEFAULT_CHUNK_BYTES = 4 * MIB
MAX_CHUNK_BYTES = 64 * MIB
MAX_HASHES = 10_000

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Size = Annotated[int, Meta(ge=0, le=MAX_SIZE_BYTES)]
PathText = Annotated[str, Meta(min_length=1, max_length=8192)]
NameText = Annotated[str, Meta(min_length=1, max_length=1024)]
MediaType = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[!-~][ -~]*$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
Blake3 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Meta(max_length=64)]


class UploadFields(msgspec.Struct, kw_only=True):
    """An upload to begin. With ``commit`` its file is made or updated as soon as it is complete.

    The file is named by ``path``, or by ``folder_id`` (absent: the share's root) and ``file_name``.
    """

    share_id: Id
    file_size: Size
    chunk_size: Annotated[int, Meta(ge=KIB, le=MAX_CHUNK_BYTES)] = DEFAULT_CHUNK_BYTES
    folder_id: Id | None = None
    path: PathText | None = None
    file_name: NameText | None = None
    mime_type: MediaType | None = None
    checksum_sha256: Sha256 | None = None
    modified_at: Time | None = None
    device_id: Id | None = None
    commit: bool = False
    base_version_id: Id | None = None


class UploadAnswer(msgspec.Struct, gc=False):
    """An upload session that was begun."""

    session_id: str
    chunk_size: int
    total_chunks: int
    expires_at: str


class PartAnswer(msgspec.Struct, gc=False):
    """A chunk of a session that is durable; ``blake3`` of all its bytes."""

    chunk: int
    size: int
    blake3: str
    expires_at: str


class UploadProgress(msgspec.Struct, gc=False):
    """How far an upload is. ``offset`` counts the bytes received in a row from the beginning.

    ``received_chunks`` are the numbers of the session's chunks; empty for tus, which has only the offset.
    """

    session_id: str
    share_id: str
    protocol: str
    status: str
    file_size: int | None
    chunk_size: int | None
    total_chunks: int | None
    received_chunks: list[int]
    received_bytes: int
    offset: int
    version_id: str | None
    created_at: str
    expires_at: str


class FailureAnswer(msgspec.Struct, gc=False):
    """Why one file of several was not taken or given."""

    code: str
    detail: str


class StagedAnswer(msgspec.Struct, gc=False):
    """A complete upload: its version, and where it went when it was committed.

    ``status`` is staged, created, updated or unchanged (the file has this content already).
    """

    session_id: str
    status: str
    version_id: str
    size: int
    content_hash: str
    checksum_sha256: str | None
    resource_id: str | None
    path: str | None
    version_number: int | None
    expires_at: str | None


class CheckFields(msgspec.Struct, kw_only=True):
    """Chunks, by the hexadecimal BLAKE3 of each, of which the caller asks what it has to send."""

    share_id: Id
    hashes: Annotated[list[Blake3], Meta(max_length=MAX_HASHES)]


class CheckAnswer(msgspec.Struct, gc=False):
    """Those of the chunks that must be sent."""

    missing: list[str]


class PackedFields(msgspec.Struct, kw_only=True, gc=False):
    """The line before a file in a packed upload; ``size`` bytes follow it.

    ``path`` or ``resource_id`` names the file. With ``chunks`` the content is the list of chunks that it gives;
    then only those that it marks with ``sent`` follow, and ``size`` counts them alone.
    """

    size: Size
    path: PathText | None = None
    resource_id: Id | None = None
    mime_type: MediaType | None = None
    modified_at: Time | None = None
    blake3: Blake3 | None = None
    checksum_sha256: Sha256 | None = None
    base_version_id: Id | None = None
    client_change_id: Id | None = None
    chunks: list[PackedChunk] | None = None


class PackedChunk(msgspec.Struct, kw_only=True, gc=False):
    """A chunk of a packed file: its BLAKE3, its length, and whether its bytes follow."""

    hash: Blake3
    size: Annotated[int, Meta(ge=1, le=16 * MIB)]
    sent: bool = False


class PackedResult(msgspec.Struct, gc=False, omit_defaults=True):
    """What became of one file: created, updated, unchanged, staged or failed."""

    index: int
    status: str
    resource_id: str | None = None
    version_id: str | None = None
    path: str | None = None
    client_change_id: str | None = None
    error: FailureAnswer | None = None


class PackedAnswer(msgspec.Struct, gc=False):
    """One result a file, in the order of the stream."""

    results: list[PackedResult]


class BatchFields(msgspec.Struct, kw_only=True):
    """What to download in one stream: files by id or path, or chunks by hash."""

    share_id: Id
    file_ids: list[Id] | None = None
    paths: list[PathText] | None = None
    chunks: Annotated[list[Blake3], Meta(max_length=MAX_HASHES)] | None = None


class BatchHead(msgspec.Struct, gc=False, omit_defaults=True):
    """The line before a file or chunk in a batch download; ``size`` bytes follow it.

    ``index`` is its place in the request: files come in the order in which they are stored.
    """

    index: int
    size: int
    file_id: str | None = None
    path: str | None = None
    version_id: str | None = None
    version_number: int | None = None
    mime_type: str | None = None
    modified_at: str | None = None
    content_hash: str | None = None
    checksum_sha256: str | None = None
    chunk: str | None = None
    error: FailureAnswer | None = None


class ManifestChunk(msgspec.Struct, gc=False):
    """A chunk of a version: its BLAKE3 and its length."""

    hash: str
    size: int


class Manifest(msgspec.Struct, gc=False):
    """The chunks of a version in order."""

    file_id: str
    version_id: str
    size: int
    content_hash: str
    chunks: list[ManifestChunk]


read_upload = msgspec.json.Decoder(UploadFields)
read_check = msgspec.json.Decoder(CheckFields)
read_packed = msgspec.json.Decoder(PackedFields)
read_batch = msgspec.json.Decoder(BatchFields)

UPLOAD_EXAMPLE: dict[str, Any] = {
    "share_id": "shr_1", "path": "/Minutes/2026/march.pdf", "file_size": 10_485_760, "chunk_size": 4_194_304,
    "mime_type": "application/pdf",
}  # fmt: skip
CHECK_EXAMPLE: dict[str, Any] = {"share_id": "shr_1", "hashes": ["a" * 64]}
BATCH_EXAMPLE: dict[str, Any] = {"share_id": "shr_1", "file_ids": ["fil_1", "fil_2"]}

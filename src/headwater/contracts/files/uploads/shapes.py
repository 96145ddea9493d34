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
_HASH = {"form": "a hash of 64 hexadecimal digits"}
_SMALL_HASH = {"form": "a hash of 64 hexadecimal digits in small letters"}

MediaType = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[!-~][ -~]*$", extra={"form": "a media type like text/plain"})
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$", extra=_HASH)]
Blake3 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", extra=_SMALL_HASH)]
Time = Annotated[str, Meta(max_length=64)]


class UploadFields(msgspec.Struct, kw_only=True):
    """An upload to begin. With ``commit`` its file is created or updated as soon as it is complete.

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
    """The progress of an upload. ``offset`` counts the bytes received in a row from the beginning.

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
    """The reason why one file of several was not stored or sent."""

    code: str
    detail: str


class StagedAnswer(msgspec.Struct, gc=False):
    """A complete upload: its version, and its place in the tree if it was committed.

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
    modified_at: str | None = None


class CheckFields(msgspec.Struct, kw_only=True):
    """Chunks, by the hexadecimal BLAKE3 of each: the caller asks for those that it must send."""

    share_id: Id
    hashes: Annotated[list[Blake3], Meta(max_length=MAX_HASHES)]


class CheckAnswer(msgspec.Struct, gc=False):
    """Those of the chunks that must be sent."""

    missing: list[str]


read_upload = msgspec.json.Decoder(UploadFields)
read_check = msgspec.json.Decoder(CheckFields)

UPLOAD_EXAMPLE: dict[str, Any] = {
    "share_id": "shr_1", "path": "/Minutes/2026/march.pdf", "file_size": 10_485_760, "chunk_size": 4_194_304,
    "mime_type": "application/pdf",
}  # fmt: skip
CHECK_EXAMPLE: dict[str, Any] = {"share_id": "shr_1", "hashes": ["a" * 64]}

"""Requests and replies of downloads. Source: readings, section 7, "Content"."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headwater.contracts.files.uploads.shapes import MAX_HASHES, Blake3, FailureAnswer, Id, PathText


class BatchFields(msgspec.Struct, kw_only=True):
    """The items to download in one stream: files by id or path, or chunks by hash."""

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


read_batch = msgspec.json.Decoder(BatchFields)


BATCH_EXAMPLE: dict[str, Any] = {"share_id": "shr_1", "file_ids": ["fil_1", "fil_2"]}

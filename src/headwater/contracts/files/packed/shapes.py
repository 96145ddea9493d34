"""Requests and replies of packed uploads. Source: readings, section 7, "Content"."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from headwater.contracts.files.uploads.shapes import (
    MIB,
    Blake3,
    FailureAnswer,
    Id,
    MediaType,
    PathText,
    Sha256,
    Size,
    Time,
)


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
    """The outcome of one file: created, updated, unchanged, staged or failed.

    ``modified_at`` is the time that is stored: one in the future was replaced by that of the receipt.
    """

    index: int
    status: str
    resource_id: str | None = None
    version_id: str | None = None
    path: str | None = None
    client_change_id: str | None = None
    error: FailureAnswer | None = None
    modified_at: str | None = None


class PackedAnswer(msgspec.Struct, gc=False):
    """One result a file, in the order of the stream."""

    results: list[PackedResult]


read_packed = msgspec.json.Decoder(PackedFields)

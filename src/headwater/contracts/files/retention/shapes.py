"""Requests and replies about removal for good. Source: readings, section 7, "Content"; ours."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

YEARS_SECONDS = 10 * 365 * 86_400
"""The longest time that a rule names."""


class EmptiedTrash(msgspec.Struct, gc=False):
    """The counts of files and folders that were removed for good; ``kept`` stays because an open conflict needs it.

    ``complete`` is false when the same request finds more to remove.
    """

    removed: int
    kept: int
    freed_bytes: int
    used_bytes: int
    complete: bool


class PruneFields(msgspec.Struct, gc=False, kw_only=True):
    """The versions of each file that stay: its last ones, those that are younger, or what either keeps."""

    keep_last: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    keep_younger_seconds: Annotated[int, Meta(ge=0, le=YEARS_SECONDS)] | None = None
    dry_run: bool = False


class PrunedHistory(msgspec.Struct, gc=False):
    """The counts of versions that were removed for good; with ``dry_run`` those that would be."""

    removed: int
    freed_bytes: int
    used_bytes: int
    complete: bool
    dry_run: bool


read_prune = msgspec.json.Decoder(PruneFields)

PRUNE_EXAMPLE: dict[str, Any] = {"keep_last": 10, "keep_younger_seconds": 30 * 86_400}

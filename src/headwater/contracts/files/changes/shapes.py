"""Requests and replies of changes, cursors and status. Source: files contract, "Change tracking"."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headwater.contracts.files.apply.shapes import ChangeType, ResourceType


class SyncStatus(msgspec.Struct, gc=False, kw_only=True):
    """The position of a device in a share."""

    cursor_position: int
    last_sync_at: str
    pending_changes: int
    has_conflicts: bool


class CursorSet(msgspec.Struct, gc=False, kw_only=True):
    """The position of a device after it reported it."""

    cursor_position: int
    last_sync_at: str


class ChangeDetails(msgspec.Struct, gc=False, kw_only=True):
    """A change's metadata; the content's part is absent for a folder."""

    parent_id: str | None
    device_id: str | None
    size: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    mime_type: str | None = None
    checksum_sha256: str | None = None
    content_hash: str | None = None
    modified_at: str | None = None
    version_number: int | None = None
    relist: bool | None = None


class FileChange(msgspec.Struct, gc=False, kw_only=True):
    """One change of a share."""

    id: str
    tenant_id: str
    share_id: str
    resource_type: ResourceType
    resource_id: str
    change_type: ChangeType
    changed_by: str
    changed_at: str
    old_path: str | None
    new_path: str | None
    version_id: str | None
    metadata: ChangeDetails
    position: int


class ChangesAnswer(msgspec.Struct, gc=False, kw_only=True):
    """A page of changes; pass ``cursor`` on."""

    changes: list[FileChange]
    cursor: str
    has_more: bool
    share_id: str | None


CHANGES_EXAMPLE: dict[str, Any] = {
    "changes": [
        {
            "id": "chg_1_7",
            "tenant_id": "default",
            "share_id": "shr_1",
            "resource_type": "file",
            "resource_id": "fil_1",
            "change_type": "updated",
            "changed_by": "usr_1",
            "changed_at": "2026-01-02T03:04:05Z",
            "old_path": "/a/b.txt",
            "new_path": "/a/b.txt",
            "version_id": "ver_2",
            "metadata": {"size": 9, "mime_type": "text/plain", "parent_id": "fld_1", "device_id": None},
            "position": 7,
        }
    ],
    "cursor": "c1.AAAB",
    "has_more": False,
    "share_id": "shr_1",
}


STATUS_EXAMPLE: dict[str, Any] = {
    "cursor_position": 42,
    "last_sync_at": "2026-01-02T03:04:05Z",
    "pending_changes": 0,
    "has_conflicts": False,
}

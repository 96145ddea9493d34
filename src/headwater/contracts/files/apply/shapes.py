"""Requests and replies of apply and conflicts. Source: files contract."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Path = Annotated[str, Meta(max_length=16_384)]
ResourceType = Literal["file", "folder", "share"]
ChangeType = Literal["created", "updated", "deleted", "moved", "renamed"]
Resolution = Literal["LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS", "MANUAL"]
MAX_ITEMS = 1000
"""Most items in one apply."""


class ItemDetails(msgspec.Struct, gc=False, kw_only=True):
    """The metadata of an item: its content, and the id that recognises a repeat."""

    size: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    checksum_sha256: Annotated[str, Meta(max_length=128)] | None = None
    modified_at: Annotated[str, Meta(max_length=64)] | None = None
    client_change_id: Id | None = None
    seen_position: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    """Of a folder's deletion: the position up to which the device has seen the share."""


class ChangeItem(msgspec.Struct, kw_only=True):
    """One change that a device made; ``version_id`` names the version that it staged."""

    resource_type: ResourceType
    change_type: ChangeType
    resource_id: Id | None = None
    version_id: Id | None = None
    base_version_id: Id | None = None
    old_path: Path | None = None
    new_path: Path | None = None
    metadata: ItemDetails = msgspec.field(default_factory=ItemDetails)


class Apply(msgspec.Struct, kw_only=True):
    """A device's changes in their order; ``atomic`` applies all or none."""

    device_id: Id
    share_id: Id
    changes: Annotated[list[ChangeItem], Meta(max_length=MAX_ITEMS)]
    conflict_resolution: Resolution = "LAST_WRITER_WINS"
    atomic: bool = False


class Applied(msgspec.Struct, gc=False, kw_only=True):
    """An item that holds now; ``change_id`` is null when it held before."""

    index: int
    change_id: str | None
    resource_id: str
    version_id: str | None
    path: str | None
    outcome: str
    modified_at: str | None = None
    """The time that is stored for the version: the device's, unless it lay in the future."""


class FileConflict(msgspec.Struct, gc=False, kw_only=True):
    """Two sides that disagreed; ``resolution`` is null while it waits for a person."""

    id: str
    share_id: str
    device_id: str
    resource_type: str
    resource_id: str | None
    local_version_id: str | None
    server_version_id: str | None
    resolution: str | None
    created_at: str
    resolved_at: str | None
    conflict_type: str
    path: str | None
    copy_id: str | None
    resolved_by: str | None


class KeptAs(msgspec.Struct, gc=False, kw_only=True):
    """The place where the item, or its content, ended up: ``keeper`` is current, history, copy, trash or held."""

    keeper: str
    resource_id: str | None
    version_id: str | None
    path: str | None


class ConflictItem(FileConflict, gc=False, kw_only=True):
    """An item that met another change, with its record."""

    index: int
    code: str
    change_id: str | None
    kept_as: KeptAs | None


class ErrorItem(msgspec.Struct, gc=False, kw_only=True):
    """An item of which nothing was done, with the reason."""

    index: int
    code: str
    detail: str
    reason: str | None = None
    resource_id: str | None = None
    current_version_id: str | None = None


class ApplyAnswer(msgspec.Struct, kw_only=True):
    """Each item in exactly one list, by its index in the request."""

    applied: list[Applied]
    conflicts: list[ConflictItem]
    errors: list[ErrorItem]


read_apply = msgspec.json.Decoder(Apply)
read_item = msgspec.json.Decoder(ChangeItem)

APPLY_EXAMPLE: dict[str, Any] = {
    "device_id": "0b6f7b7e-0d2c-4f0e-9d6b-3f1f0a7c1c11",
    "share_id": "shr_1",
    "conflict_resolution": "LAST_WRITER_WINS",
    "changes": [
        {
            "resource_type": "file",
            "resource_id": "fil_1",
            "change_type": "updated",
            "version_id": "ver_3",
            "base_version_id": "ver_2",
            "old_path": "/a/b.txt",
            "new_path": "/a/b.txt",
            "metadata": {"size": 10, "modified_at": "2026-01-02T03:04:00Z", "client_change_id": "e1"},
        }
    ],
}
APPLY_ANSWER_EXAMPLE: dict[str, Any] = {
    "applied": [
        {
            "index": 0,
            "change_id": "chg_1_8",
            "resource_id": "fil_1",
            "version_id": "ver_3",
            "path": "/a/b.txt",
            "outcome": "applied",
        }
    ],
    "conflicts": [],
    "errors": [],
}
CONFLICT_EXAMPLE: dict[str, Any] = {
    "id": "cfl_1",
    "share_id": "shr_1",
    "device_id": "0b6f7b7e-0d2c-4f0e-9d6b-3f1f0a7c1c11",
    "resource_type": "file",
    "resource_id": "fil_1",
    "local_version_id": "ver_3",
    "server_version_id": "ver_4",
    "resolution": None,
    "created_at": "2026-01-02T03:04:05Z",
    "resolved_at": None,
    "conflict_type": "content",
    "path": "/a/b.txt",
    "copy_id": None,
    "resolved_by": None,
}

"""Requests and replies about shares, their members and their trees. Source: readings, section 7, "Content"."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

Id = Annotated[str, Meta(min_length=1, max_length=128)]
PathText = Annotated[str, Meta(min_length=1, max_length=8192)]
NameText = Annotated[str, Meta(min_length=1, max_length=1024)]


class FolderFields(msgspec.Struct, gc=False, kw_only=True):
    """A folder to create, by its path, or by its parent's id (null: the root) and its name."""

    path: PathText | None = None
    parent_id: Id | None = None
    name: NameText | None = None
    parents: bool = False


class Placement(msgspec.Struct, gc=False, kw_only=True):
    """The new place of a file or folder: by path, or by folder and name; ``share_id`` crosses into another share."""

    path: PathText | None = None
    parent_id: Id | UnsetType | None = UNSET
    name: NameText | None = None
    share_id: Id | None = None


class NodeAnswer(msgspec.Struct, gc=False):
    """A file or folder; what concerns content is null for a folder."""

    id: str
    share_id: str
    type: str
    name: str
    path: str
    parent_id: str | None
    version_id: str | None
    version_number: int | None
    size: int | None
    mime_type: str | None
    checksum_sha256: str | None
    modified_at: str | None
    created_at: str
    updated_at: str
    trashed_at: str | None
    position: int


class NodePage(msgspec.Struct, gc=False):
    """Files and folders; pass ``cursor`` on while ``has_more``."""

    data: list[NodeAnswer]
    cursor: str | None
    has_more: bool


class VersionAnswer(msgspec.Struct, gc=False):
    """A version of a file."""

    id: str
    number: int
    size: int
    mime_type: str
    checksum_sha256: str | None
    modified_at: str
    created_at: str
    created_by: str
    device_id: str | None
    is_current: bool


class VersionPage(msgspec.Struct, gc=False):
    """Versions of a file, the newest first."""

    data: list[VersionAnswer]
    has_more: bool


read_folder = msgspec.json.Decoder(FolderFields)
read_placement = msgspec.json.Decoder(Placement)

FOLDER_EXAMPLE: dict[str, Any] = {"path": "/Minutes/2026", "parents": True}
PLACEMENT_EXAMPLE: dict[str, Any] = {"path": "/Minutes/archive"}

"""Requests and replies about shares, their members and their trees. Source: readings, section 7, "Content"."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Id = Annotated[str, Meta(min_length=1, max_length=128)]
ShareName = Annotated[str, Meta(min_length=1, max_length=200)]
Quota = Annotated[int, Meta(ge=0, le=2**62)]
PathText = Annotated[str, Meta(min_length=1, max_length=8192)]
NameText = Annotated[str, Meta(min_length=1, max_length=1024)]


class ShareFields(msgspec.Struct, gc=False, kw_only=True):
    """A share to create; how it compares names is fixed then."""

    name: ShareName
    case_sensitive: bool = False
    portable_names: bool = True
    quota_bytes: Quota | None = None


class SharePatch(msgspec.Struct, gc=False, kw_only=True):
    """What may change of a share; an absent field is kept."""

    name: ShareName | UnsetType = UNSET
    quota_bytes: Quota | UnsetType | None = UNSET


class ShareAnswer(msgspec.Struct, gc=False):
    """A share as the caller sees it."""

    id: str
    name: str
    organization_id: str
    owner_id: str
    case_sensitive: bool
    portable_names: bool
    quota_bytes: int | None
    used_bytes: int
    access: str
    created_at: str
    updated_at: str


class ShareList(msgspec.Struct, gc=False):
    """The shares that the caller may read."""

    data: list[ShareAnswer]


class Member(msgspec.Struct, gc=False):
    """A user, a role or a chapter with what it may do in a share."""

    kind: Literal["user", "role", "chapter"]
    id: Id
    access: Literal["READ", "WRITE", "MANAGE"]


class Members(msgspec.Struct, gc=False):
    """All members of a share beside its owner."""

    members: Annotated[list[Member], Meta(max_length=1000)]


class FolderFields(msgspec.Struct, gc=False, kw_only=True):
    """A folder to create, by its path, or by its parent's id (null: the root) and its name."""

    path: PathText | None = None
    parent_id: Id | None = None
    name: NameText | None = None
    parents: bool = False


class Placement(msgspec.Struct, gc=False, kw_only=True):
    """Where a file or folder shall go: by path, or by folder and name; ``share_id`` crosses into another share."""

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


read_share = msgspec.json.Decoder(ShareFields)
read_share_patch = msgspec.json.Decoder(SharePatch)
read_members = msgspec.json.Decoder(Members)
read_folder = msgspec.json.Decoder(FolderFields)
read_placement = msgspec.json.Decoder(Placement)

SHARE_EXAMPLE: dict[str, Any] = {"name": "Team documents"}
MEMBERS_EXAMPLE: dict[str, Any] = {"members": [{"kind": "role", "id": "coordinator", "access": "WRITE"}]}
FOLDER_EXAMPLE: dict[str, Any] = {"path": "/Minutes/2026", "parents": True}
PLACEMENT_EXAMPLE: dict[str, Any] = {"path": "/Minutes/archive"}

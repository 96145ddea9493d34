"""Requests and replies about shares and their members. Source: readings, section 7, "Content"."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from headwater.contracts.files.tree.shapes import Id

ShareName = Annotated[str, Meta(min_length=1, max_length=200)]


Quota = Annotated[int, Meta(ge=0, le=2**62)]


class ShareFields(msgspec.Struct, gc=False, kw_only=True):
    """A share to create; its rules for names never change afterwards."""

    name: ShareName
    case_sensitive: bool = False
    portable_names: bool = True
    quota_bytes: Quota | None = None


class SharePatch(msgspec.Struct, gc=False, kw_only=True):
    """The fields of a share that may change; an absent one stays."""

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
    """A user, a role or a chapter with its access to a share."""

    kind: Literal["user", "role", "chapter"]
    id: Id
    access: Literal["READ", "WRITE", "MANAGE"]


class Members(msgspec.Struct, gc=False):
    """All members of a share beside its owner."""

    members: Annotated[list[Member], Meta(max_length=1000)]


read_share = msgspec.json.Decoder(ShareFields)


read_share_patch = msgspec.json.Decoder(SharePatch)


read_members = msgspec.json.Decoder(Members)


SHARE_EXAMPLE: dict[str, Any] = {"name": "Team documents"}


MEMBERS_EXAMPLE: dict[str, Any] = {"members": [{"kind": "role", "id": "coordinator", "access": "WRITE"}]}

"""The input of the conflict choice: one item of an ``apply``, and the state of the server about it.

Everything here is looked up by the caller inside its transaction and then frozen, so that the choice itself
is a pure function. Paths are stored paths (NFC); times are integer microseconds UTC since 1970.

Source: files contract, "POST /api/v1/sync/apply", and the readings "apply" and "Strategies".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headwater.contracts.files.names import DEFAULT_POLICY, NamePolicy
from headwater.contracts.files.paths import FolderState


class ResourceType(StrEnum):
    """The type of the resource that a change is about."""

    FILE = "file"
    FOLDER = "folder"
    SHARE = "share"


class ChangeType(StrEnum):
    """The kind of a change; ``renamed`` stays under its parent, ``moved`` has another."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    MOVED = "moved"
    RENAMED = "renamed"


PLACING = frozenset({ChangeType.RENAMED, ChangeType.MOVED})
"""The changes that ask for a place."""


class Strategy(StrEnum):
    """The strategy that resolves a conflict."""

    LAST_WRITER_WINS = "LAST_WRITER_WINS"
    KEEP_BOTH = "KEEP_BOTH"
    SERVER_WINS = "SERVER_WINS"
    CLIENT_WINS = "CLIENT_WINS"
    MANUAL = "MANUAL"


@dataclass(frozen=True, slots=True)
class Item:
    """One change that a device asks for.

    ``content_hash`` is that of the version that ``version_id`` names, None when no version that the caller
    may use has this id. ``modified_at_us`` is the device's own time: it orders, it never decides alone.
    """

    resource_type: ResourceType
    change_type: ChangeType
    version_id: str | None = None
    content_hash: str | None = None
    base_version_id: str | None = None
    old_path: str | None = None
    new_path: str | None = None
    modified_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A file or folder as the server has it now.

    ``deleted``: it, or a folder above it, is in the trash; ``path`` is then where it was. ``version_id``,
    ``content_hash`` and ``modified_at_us`` (clamped when it was accepted) are of the current version, None
    for a folder. ``placed_at_us`` is when the server last gave it its name or folder.
    """

    resource_id: str
    resource_type: ResourceType
    path: str
    deleted: bool = False
    version_id: str | None = None
    content_hash: str | None = None
    modified_at_us: int | None = None
    placed_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """The version on which the device worked, found in the resource's own history."""

    content_hash: str
    modified_at_us: int


@dataclass(frozen=True, slots=True)
class Spot:
    """A path to be taken: the folder above it, the resource there now, and whether it lies inside the resource.

    It is found by path: ``folder`` is DELETED only when no live folder has taken that path since. ``occupant``
    is the *live* resource whose name has the same key; it may be the resource itself, as in a rename that
    changes case only. A deleted folder has no occupants.
    """

    folder: FolderState = FolderState.LIVE
    occupant: Resource | None = None
    inside_itself: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """An item and all that decides about it.

    ``resource`` is what ``resource_id`` names in the share, None when unknown. ``base`` is None when the item
    names none or the resource's history does not hold it. ``target`` is the spot of ``item.new_path``, None
    without one; ``home`` the spot of a deleted resource's own path. ``earlier`` is the conflict that this very wish
    (same device, resource, base, content and strategy) already made, while both sides stand as they stood then.
    ``received_at_us`` is the receipt.
    ``has_news``: another device changed something below the item's folder, which the device has not seen.
    ``settling``: a person answers a recorded conflict, so what fits by now is still theirs to decide.
    """

    item: Item
    strategy: Strategy
    received_at_us: int
    resource: Resource | None = None
    base: Base | None = None
    target: Spot | None = None
    home: Spot | None = None
    policy: NamePolicy = DEFAULT_POLICY
    earlier: RecordedConflict | None = None
    settling: bool = False
    has_news: bool = False


@dataclass(frozen=True, slots=True)
class RecordedConflict:
    """The part of a conflict record that the choice needs; ``resolution`` is None while it waits for a person."""

    conflict_id: str
    resolution: Strategy | None = None

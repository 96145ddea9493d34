"""Compares each aspect of a change, its content and its place, with the server, before any strategy.

Source: files contract, reading "apply".
"""

from __future__ import annotations

from enum import Enum, auto

from headwater.contracts.files.apply.decision import Reason
from headwater.contracts.files.apply.inputs import PLACING, ChangeType, Resource, ResourceType, Situation, Spot
from headwater.contracts.files.names import path_key
from headwater.contracts.files.paths import FolderState


class Comparison(Enum):
    """The result of comparing one aspect of a change with the server.

    NONE: not asked for. SAME: the server has it already. UNEDITED: the content is still the base's. FITS: only the
    client changed it. The others are conflicts: DIVERGED content; CROSSED, the resource is elsewhere by now; TAKEN,
    the name has another owner; FOLDER_DELETED, the target folder was deleted.
    """

    NONE = auto()
    SAME = auto()
    UNEDITED = auto()
    FITS = auto()
    DIVERGED = auto()
    CROSSED = auto()
    TAKEN = auto()
    FOLDER_DELETED = auto()


def compare_content(s: Situation, resource: Resource) -> Comparison | Reason:
    """Compares the content of the item with the current version."""
    item = s.item
    if not brings_version(s):
        return Comparison.NONE
    if item.content_hash == resource.content_hash:
        return Comparison.SAME
    if s.settling:
        return Comparison.DIVERGED
    if item.base_version_id is None:
        return Reason.BASE_MISSING
    if item.base_version_id == resource.version_id:
        return Comparison.FITS
    if s.base is None:
        return Reason.BASE_UNKNOWN
    if item.content_hash == s.base.content_hash:
        return Comparison.UNEDITED
    # The server may be back at the base's content by way of other versions: then only one side changed.
    return Comparison.FITS if s.base.content_hash == resource.content_hash else Comparison.DIVERGED


def compare_place(s: Situation, resource: Resource) -> Comparison | Reason:
    """Compares the place that the item asks for with the resource's and with those of others."""
    item = s.item
    if item.change_type not in PLACING:
        return Comparison.NONE
    holds = old_path_holds(s, resource)
    if resource.path == item.new_path or (not holds and same_path(s, resource.path, item.new_path)):
        return Comparison.SAME
    reason = spot_reason(s.target)
    if reason is not None:
        return reason
    if item.old_path is None and not s.settling:
        if item.base_version_id is None or item.base_version_id != resource.version_id:
            return Reason.BASE_MISSING
        holds = True
    if not holds:
        return Comparison.CROSSED
    if other_at(s.target, resource) is not None:
        return Comparison.TAKEN
    if target_of(s).folder is FolderState.DELETED:
        return Comparison.FOLDER_DELETED
    return Comparison.CROSSED if s.settling else Comparison.FITS


def clamped_time(s: Situation, time_us: int | None) -> int | None:
    """A modification time clamped between the base's and the receipt, so that no clock can claim the future."""
    if time_us is None:
        return None
    floor_us = s.base.modified_at_us if s.base else time_us
    return min(max(time_us, floor_us), s.received_at_us)


def spot_reason(spot: Spot | None) -> Reason | None:
    """The reason why nothing can be placed there under any strategy, or None."""
    if spot is None or spot.folder is FolderState.MISSING:
        return Reason.PARENT_MISSING
    if spot.folder is FolderState.NOT_A_FOLDER:
        return Reason.PARENT_NOT_FOLDER
    return Reason.INTO_ITSELF if spot.inside_itself else None


def other_at(spot: Spot | None, resource: Resource | None) -> Resource | None:
    """The other resource at the spot, or None: a rename that changes case only meets itself."""
    occupant = spot.occupant if spot else None
    if occupant is None or (resource is not None and occupant.resource_id == resource.resource_id):
        return None
    return occupant


def target_of(s: Situation) -> Spot:
    """The spot that the item asks for; items without one were refused before."""
    assert s.target is not None, "an item that asks for a place was checked to have one"
    return s.target


def old_path_holds(s: Situation, resource: Resource) -> bool:
    """True when the resource is still where the device saw it, but for case."""
    return s.item.old_path is not None and same_path(s, s.item.old_path, resource.path)


def same_path(s: Situation, path: str, other: str | None) -> bool:
    """True when the share treats both paths as one."""
    return other is not None and path_key(path, s.policy) == path_key(other, s.policy)


def is_equal(s: Situation, other: Resource) -> bool:
    """True when a creation and an existing resource are equal: two folders, or two files of one content."""
    return s.item.resource_type is other.resource_type and s.item.content_hash == other.content_hash


def is_file(s: Situation) -> bool:
    """True when the item is about a file."""
    return s.item.resource_type is ResourceType.FILE


def brings_version(s: Situation) -> bool:
    """True when the item carries content: renames and moves may repeat the base's id without an edit."""
    item = s.item
    if item.change_type is ChangeType.DELETED or not is_file(s) or item.version_id is None:
        return False
    return item.change_type not in PLACING or item.version_id != item.base_version_id

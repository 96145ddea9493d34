"""Looks up all that decides about an item, in one transaction; the choice itself is ``resolve``.

Source: files contract, "POST /api/v1/sync/apply"; reading "apply".
"""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import Invalid
from headwater.base.wire import parse_time
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.apply.inputs import (
    PLACING,
    Base,
    ChangeType,
    Item,
    RecordedConflict,
    Resource,
    ResourceType,
    Situation,
    Spot,
    Strategy,
)
from headwater.contracts.files.apply.shapes import ChangeItem
from headwater.contracts.files.names import name_key, parent_path, split_path, stored_path
from headwater.contracts.files.paths import FolderState, PathIndex
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import ROOT, Node


class Question(NamedTuple):
    """An item with what was decided about it outside: strategy, receipt, an earlier record of the same change.

    ``user_id`` is whose staged version it may bring; None when a conflict was recorded with it before.
    """

    change: ChangeItem
    strategy: Strategy
    received_at_us: int
    user_id: str | None
    earlier: RecordedConflict | None = None


def look(trails: PathIndex, question: Question) -> Situation:
    """The situation of an item. Raises: Invalid (a path that no share could hold, a time that is none)."""
    tx, row = trails.tx, trails.row
    item = item_of(tx, row, question)
    change = question.change
    node = nodes.find(tx, row.feed, change.resource_id) if change.resource_id else None
    resource = None if node is None else resource_of(trails, node)
    return Situation(
        item,
        question.strategy,
        question.received_at_us,
        resource=resource,
        base=None if node is None else _base(tx, row.feed, node, change.base_version_id),
        target=spot_of(trails, item.new_path, resource) if _places(item) and item.new_path else None,
        home=spot_of(trails, resource.path, resource) if resource and resource.deleted else None,
        policy=row.policy,
        earlier=question.earlier,
    )


def item_of(tx: Transaction, row: ShareRow, question: Question) -> Item:
    """The item with its paths as the share stores them and the content that its version names. Raises: Invalid."""
    change = question.change
    change_type = ChangeType(change.change_type)
    places = change_type is ChangeType.CREATED or change_type in PLACING
    lenient = row.policy._replace(portable=False)
    new_path = old_path = None
    if change.new_path is not None:
        new_path = stored_path(change.new_path, row.policy if places else lenient, field="new_path")
        if places and not split_path(new_path):
            raise Invalid.of("new_path", "incorrect_value", "the root has no place to give")
    if change.old_path is not None:
        old_path = stored_path(change.old_path, lenient, field="old_path")
    modified_at = change.metadata.modified_at
    return Item(
        ResourceType(change.resource_type),
        change_type,
        version_id=change.version_id,
        content_hash=_content_hash(tx, row.feed, change.version_id, question.user_id),
        base_version_id=change.base_version_id,
        old_path=old_path,
        new_path=new_path,
        modified_at_us=None if modified_at is None else parse_time(modified_at, "metadata.modified_at"),
    )


def resource_of(trails: PathIndex, node: Node) -> Resource:
    """A node as the choice looks at it."""
    version = versions.find(trails.tx, trails.row.feed, node.version) if node.version else None
    standing = trails.standing(node)
    return Resource(
        node.id,
        ResourceType(node.type),
        standing.path,
        deleted=not standing.is_live,
        version_id=node.version,
        content_hash=version.content_hash if version else None,
        modified_at_us=version.modified_us if version else None,
        placed_at_us=node.placed_us,
    )


def spot_of(trails: PathIndex, path: str, resource: Resource | None) -> Spot:
    """A path to be taken: its folder, who lives there, whether it lies inside the resource."""
    tx, row = trails.tx, trails.row
    trail = trails.to(parent_path(path))
    inside = resource is not None and trail.passes(resource.resource_id)
    if trail.folder is not FolderState.LIVE:
        return Spot(trail.folder, inside_itself=inside)
    names = split_path(path)
    key = name_key(names[-1], row.policy) if names else ""
    occupant = nodes.child(tx, row.feed, trail.node.id if trail.node else ROOT, key) if names else None
    return Spot(FolderState.LIVE, resource_of(trails, occupant) if occupant else None, inside)


def _base(tx: Transaction, feed: int, node: Node, version_id: str | None) -> Base | None:
    version = versions.find(tx, feed, version_id) if version_id else None
    if version is None or version.node != node.id:
        return None
    return Base(version.content_hash, version.modified_us)


def _content_hash(tx: Transaction, feed: int, version_id: str | None, user_id: str | None) -> str | None:
    """The content that a version names: one that this user staged, or one that the share keeps."""
    version = versions.find(tx, feed, version_id) if version_id else None
    if version is None or (version.state != "kept" and user_id not in {None, version.user_id}):
        return None
    return version.content_hash


def _places(item: Item) -> bool:
    return item.change_type is ChangeType.CREATED or item.change_type in PLACING

"""Reads all that decides about an item, in one transaction; the choice itself is ``decide``.

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
    Resource,
    ResourceType,
    Situation,
    Spot,
    Strategy,
)
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.apply.shapes import ChangeItem
from headwater.contracts.files.names import name_key, parent_path, split_path, stored_path
from headwater.contracts.files.paths import FolderState, PathIndex
from headwater.store.tree import nodes
from headwater.store.tree.nodes import Node


class Question(NamedTuple):
    """An item with its strategy and its receipt.

    ``user_id`` is the user whose staged version it may bring; None when a conflict was recorded with it before.
    """

    change: ChangeItem
    strategy: Strategy
    received_at_us: int
    user_id: str | None


class Gathered(NamedTuple):
    """The situation of an item, frozen for the choice, and the rows that it was read from, for the execution."""

    situation: Situation
    rows: Rows


def gather(paths: PathIndex, question: Question) -> Gathered:
    """The situation of an item and its rows. Raises: Invalid (a path that no share could hold, a malformed time)."""
    rows = Rows(paths.tx, paths.row.feed)
    change = question.change
    node = rows.node(change.resource_id)
    rows.read_versions((change.version_id, change.base_version_id if node else None, node.version if node else None))
    item = _item_of(paths.row, rows, question)
    resource = None if node is None else _resource_of(paths, rows, node)
    situation = Situation(
        item,
        question.strategy,
        question.received_at_us,
        resource=resource,
        base=None if node is None else _base(rows, node, change.base_version_id),
        target=_spot_of(paths, rows, item.new_path, resource) if _places(item) and item.new_path else None,
        home=_spot_of(paths, rows, resource.path, resource) if resource and resource.deleted else None,
        policy=paths.row.policy,
    )
    return Gathered(situation, rows)


def _item_of(row: ShareRow, rows: Rows, question: Question) -> Item:
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
        content_hash=_content_hash(rows, change.version_id, question.user_id),
        base_version_id=change.base_version_id,
        old_path=old_path,
        new_path=new_path,
        modified_at_us=None if modified_at is None else parse_time(modified_at, "metadata.modified_at"),
    )


def _resource_of(paths: PathIndex, rows: Rows, node: Node) -> Resource:
    """A node as the choice sees it."""
    version = rows.version(node.version)
    location = paths.location(node)
    return Resource(
        node.id,
        ResourceType(node.type),
        location.path,
        deleted=not location.is_live,
        version_id=node.version,
        content_hash=version.content_hash if version else None,
        modified_at_us=version.modified_us if version else None,
        placed_at_us=node.placed_us,
    )


def _spot_of(paths: PathIndex, rows: Rows, path: str, resource: Resource | None) -> Spot:
    """A path to be taken: its folder, the live resource there, and whether it lies inside the item's resource."""
    folder = paths.folder(parent_path(path))
    inside = resource is not None and folder.passes(resource.resource_id)
    if folder.state is not FolderState.LIVE:
        return Spot(folder.state, inside_itself=inside)
    names = split_path(path)
    key = name_key(names[-1], paths.row.policy) if names else ""
    occupant = nodes.child(paths.tx, paths.row.feed, folder.id, key) if names else None
    if occupant is None:
        return Spot(FolderState.LIVE, None, inside)
    rows.put_node(occupant)
    return Spot(FolderState.LIVE, _resource_of(paths, rows, occupant), inside)


def _base(rows: Rows, node: Node, version_id: str | None) -> Base | None:
    # A base whose bytes were pruned is still known: an edit of it is a conflict like any other.
    version = rows.version(version_id) or rows.pruned(version_id)
    if version is None or version.node != node.id:
        return None
    return Base(version.content_hash, version.modified_us)


def _content_hash(rows: Rows, version_id: str | None, user_id: str | None) -> str | None:
    """The content that a version names: one that this user staged, or one that the share keeps."""
    version = rows.version(version_id)
    if version is None or (version.state != "kept" and user_id not in {None, version.user_id}):
        return None
    return version.content_hash


def _places(item: Item) -> bool:
    return item.change_type is ChangeType.CREATED or item.change_type in PLACING

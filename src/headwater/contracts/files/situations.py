"""Looks up all that decides about an item, in one transaction; the choice itself is ``resolve``.

Source: files contract, "POST /api/v1/sync/apply"; reading "apply".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headwater.base.errors import Invalid
from headwater.base.wire import parse_time
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import name_key, parent_path, split_path, stored_path
from headwater.contracts.files.situation import (
    Base,
    ChangeType,
    Folder,
    Item,
    RecordedConflict,
    Resource,
    ResourceType,
    Situation,
    Spot,
    Strategy,
)
from headwater.contracts.files.standing import PLACING
from headwater.contracts.files.sync_shapes import ChangeItem
from headwater.contracts.files.trees import policy
from headwater.store import tree, versions
from headwater.store.database import Transaction
from headwater.store.tree import ROOT, Node

_MAX_NAMESAKES = 20
_MAX_LOOKUPS = 500
_MAX_TRAILS = 4096
"""So many folders are remembered; a path is at most as many bytes long."""


class Question(NamedTuple):
    """An item with what was decided about it outside: strategy, receipt, an earlier record of the same change.

    ``user_id`` is whose staged version it may bring; None when a conflict was recorded with it before.
    """

    change: ChangeItem
    strategy: Strategy
    received_at_us: int
    user_id: str | None
    earlier: RecordedConflict | None = None


class Trail(NamedTuple):
    """How a folder's path was found: how it stands, its node (None for the root), and the folder above it."""

    folder: Folder
    node: Node | None
    above: Trail | None = None

    @property
    def path(self) -> str:
        """The path of a living folder as it is spelled there; empty for the root."""
        names = [trail.node.name for trail in self._upwards() if trail.node]
        return "".join(f"/{name}" for name in reversed(names))

    def passes(self, folder_id: str) -> bool:
        """True when this living folder is on the way."""
        on_the_way = (trail.node for trail in self._upwards() if trail.folder is Folder.LIVE)
        return any(node is not None and node.id == folder_id for node in on_the_way)

    def _upwards(self) -> Iterator[Trail]:
        trail: Trail | None = self
        while trail is not None:
            yield trail
            trail = trail.above


_TOP = Trail(Folder.LIVE, None)


class Trails:
    """Finds the folders of a share by their paths for items that come together; what lives is looked up once."""

    def __init__(self, tx: Transaction, row: ShareRow) -> None:
        self.tx = tx
        self.row = row
        self._living: dict[str, Trail] = {}

    def forget(self) -> None:
        """Look everything up again: a folder went elsewhere, or what was made was undone."""
        self._living.clear()

    def to(self, path: str) -> Trail:
        """The folder at a path, the living first; DELETED only where no live one has taken the path since."""
        names = split_path(path)
        known = path
        while known != "/" and known not in self._living:
            known = parent_path(known)
        trail = self._living.get(known, _TOP)
        for name in names[len(split_path(known)) :]:
            key = name_key(name, policy(self.row))
            found = tree.child(self.tx, self.row.feed, trail.node.id if trail.node else ROOT, key)
            if found is None:
                gone = _gone(self.tx, self.row, names)
                return Trail(Folder.MISSING if gone is None else Folder.DELETED, gone, trail)
            if found.type != "folder":
                return Trail(Folder.NOT_A_FOLDER, None, trail)
            trail = Trail(Folder.LIVE, found, trail)
            known = f"{known}/{name}" if known != "/" else f"/{name}"
            if len(self._living) == _MAX_TRAILS:
                self.forget()
            self._living[known] = trail
        return trail


def look(trails: Trails, question: Question) -> Situation:
    """The situation of an item. Raises: Invalid (a path that no share could hold, a time that is none)."""
    tx, row = trails.tx, trails.row
    item = item_of(tx, row, question)
    change = question.change
    node = tree.find(tx, row.feed, change.resource_id) if change.resource_id else None
    resource = None if node is None else resource_of(tx, row, node)
    return Situation(
        item,
        question.strategy,
        question.received_at_us,
        resource=resource,
        base=None if node is None else _base(tx, row.feed, node, change.base_version_id),
        target=spot_of(trails, item.new_path, resource) if _places(item) and item.new_path else None,
        home=spot_of(trails, resource.path, resource) if resource and resource.deleted else None,
        policy=policy(row),
        earlier=question.earlier,
    )


def item_of(tx: Transaction, row: ShareRow, question: Question) -> Item:
    """The item with its paths as the share stores them and the content that its version names. Raises: Invalid."""
    change = question.change
    change_type = ChangeType(change.change_type)
    places = change_type is ChangeType.CREATED or change_type in PLACING
    lenient = policy(row)._replace(portable=False)
    new_path = old_path = None
    if change.new_path is not None:
        new_path = stored_path(change.new_path, policy(row) if places else lenient, field="new_path")
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


def resource_of(tx: Transaction, row: ShareRow, node: Node) -> Resource:
    """A node as the choice looks at it."""
    version = versions.find(tx, row.feed, node.version) if node.version else None
    return Resource(
        node.id,
        ResourceType(node.type),
        tree.path_of(tx, row.feed, node),
        deleted=not tree.is_live(tx, row.feed, node),
        version_id=node.version,
        content_hash=version.content_hash if version else None,
        modified_at_us=version.modified_us if version else None,
        placed_at_us=node.placed_us,
    )


def spot_of(trails: Trails, path: str, resource: Resource | None) -> Spot:
    """A path to be taken: its folder, who lives there, whether it lies inside the resource."""
    tx, row = trails.tx, trails.row
    trail = trails.to(parent_path(path))
    inside = resource is not None and trail.passes(resource.resource_id)
    if trail.folder is not Folder.LIVE:
        return Spot(trail.folder, inside_itself=inside)
    names = split_path(path)
    key = name_key(names[-1], policy(row)) if names else ""
    occupant = tree.child(tx, row.feed, trail.node.id if trail.node else ROOT, key) if names else None
    return Spot(Folder.LIVE, resource_of(tx, row, occupant) if occupant else None, inside)


def _gone(tx: Transaction, row: ShareRow, names: tuple[str, ...]) -> Node | None:
    """A folder in the trash whose path was this, or None; where it stood there may be others by now."""
    candidates = [ROOT]
    found: list[Node] = []
    lookups = 0
    for name in names:
        key = name_key(name, policy(row))
        lookups += len(candidates)
        if lookups > _MAX_LOOKUPS:
            # Nobody may hold up the writer by deep trees that were deleted many times over.
            return None
        found = [
            node
            for candidate in candidates
            for node in tree.namesakes(tx, row.feed, candidate, key, _MAX_NAMESAKES)
            if node.type == "folder"
        ][:_MAX_NAMESAKES]
        candidates = [node.id for node in found]
    return found[0] if found else None


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

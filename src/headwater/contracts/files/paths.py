"""The folders of a share on the way to what items name, each looked up once for all that come together.

Whatever is asked costs its own names, not its depth in queries: deep trees hold up no writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import name_key, require_length, split_path, stored_name, stored_path
from headwater.store.database import Transaction
from headwater.store.tree import nodes
from headwater.store.tree.nodes import MAX_DEPTH, ROOT, Name, Node

_MAX_NAMESAKES = 20
_MAX_LOOKUPS = 500
_MAX_WAYS = 16_384
"""So many folders are remembered, and as many again as one look-up adds."""

_MAX_PATHS = 1024
_FIRST_LOOK = 2
_LOOK_FARTHER = 8


class FolderChain:
    """A folder as it was found: its node (None for the root) and the way to the folder above it."""

    __slots__ = ("above", "node")

    def __init__(self, node: Node | None, above: FolderChain | None) -> None:
        self.node = node
        self.above = above

    @property
    def id(self) -> str:
        """The folder's id."""
        return self.node.id if self.node else ROOT

    def nodes(self) -> Iterator[Node]:
        """The folder and those above it, but for the root."""
        way: FolderChain | None = self
        while way is not None and way.node is not None:
            yield way.node
            way = way.above


class FoundFolder(NamedTuple):
    """A folder's path as it was found: its state, its node (None for the root), and the last living chain to it."""

    state: FolderState
    node: Node | None
    way: FolderChain

    @property
    def id(self) -> str:
        """The folder's id; of one that is not found, the root's."""
        return self.node.id if self.node else ROOT

    @property
    def path(self) -> str:
        """The path of a living folder as it is spelled there; empty for the root."""
        return "".join(f"/{node.name}" for node in reversed(list(self.way.nodes())))

    def passes(self, folder_id: str) -> bool:
        """True when this living folder is on the way."""
        return any(node.id == folder_id for node in self.way.nodes())


class Location(NamedTuple):
    """Where a node is, or for what is in the trash where it was, and whether it is live."""

    path: str
    is_live: bool


class PathIndex:
    """Finds folders by path and paths by node. What an item changes is told here, and what was undone."""

    def __init__(self, tx: Transaction, row: ShareRow) -> None:
        self.tx = tx
        self.row = row
        self.forget()

    def forget(self) -> None:
        """Look everything up again."""
        self._top = FolderChain(None, None)
        self._ways: dict[str, FolderChain] = {}
        self._living: dict[tuple[str, str], FolderChain] = {}
        self._paths: dict[str, FolderChain] = {}
        self._changed: list[str] = []
        self._copies: dict[str, dict[str, int]] = {}

    def begin(self) -> None:
        """What is changed from here on may be undone."""
        self._changed = []

    def changed(self, node: Node) -> None:
        """A folder was made, or has another place, or went to the trash or came from there."""
        self._changed.append(node.id)
        self._renew(node.id, node)

    def undone(self) -> None:
        """All changes since the beginning were undone."""
        for node_id in self._changed:
            self._renew(node_id, nodes.find(self.tx, self.row.feed, node_id))
        self._changed = []

    def to(self, path: str) -> FoundFolder:
        """The folder at a path, the living first; DELETED only where no live one has taken the path since."""
        self._bound()
        known = self._paths.get(path)
        if known is not None:
            return FoundFolder(FolderState.LIVE, known.node, known)
        names, rules = split_path(path), self.row.policy
        way = self._top
        for name in names:
            key = name_key(name, rules)
            below = self._living.get((way.id, key))
            if below is None:
                found = nodes.child(self.tx, self.row.feed, way.id, key)
                if found is None:
                    gone = _gone(self.tx, self.row, names)
                    return FoundFolder(FolderState.MISSING if gone is None else FolderState.DELETED, gone, way)
                if found.type != "folder":
                    return FoundFolder(FolderState.NOT_A_FOLDER, None, way)
                below = self._link(found, way)
            way = below
        if len(self._paths) == _MAX_PATHS:
            self._paths.clear()
        self._paths[path] = way
        return FoundFolder(FolderState.LIVE, way.node, way)

    def location(self, node: Node) -> Location:
        """Where a node is. It, or a folder above it, may be in the trash."""
        nodes = [node, *self._above(node).nodes()]
        path = "/" + "/".join(each.name for each in reversed(nodes))
        return Location(path, all(each.trashed_us is None for each in nodes))

    def path(self, node: Node) -> str:
        """The path of a node."""
        return self.location(node).path

    def folder_path(self, folder_id: str) -> str:
        """The path of a folder, empty for the root, so that a slash and a name follow."""
        self._bound()
        way = self._top if folder_id == ROOT else self._ways.get(folder_id)
        if way is not None:
            return FoundFolder(FolderState.LIVE, way.node, way).path
        node = nodes.find(self.tx, self.row.feed, folder_id)
        return "" if node is None else self.path(node)

    def copies_in(self, folder_id: str) -> dict[str, int]:
        """How far the numbers of conflict copies in a folder went."""
        return self._copies.setdefault(folder_id, {})

    def _above(self, node: Node) -> FolderChain:
        """The way to a node's folder; what is not known of it is looked up in steps that grow."""
        self._bound()
        unknown: list[Node] = []
        last, limit = node, _FIRST_LOOK
        while last.parent != ROOT and last.parent not in self._ways and len(unknown) < MAX_DEPTH:
            found = nodes.ancestors(self.tx, self.row.feed, last, limit)
            if not found:
                break
            for each in found:
                if each.id in self._ways:
                    break
                unknown.append(each)
            last, limit = unknown[-1], limit * _LOOK_FARTHER
        way = self._ways.get(last.parent, self._top)
        for each in reversed(unknown):
            way = self._link(each, way)
        return way

    def _link(self, node: Node, above: FolderChain) -> FolderChain:
        way = self._ways[node.id] = self._ways.get(node.id) or FolderChain(node, above)
        way.node, way.above = node, above
        if node.trashed_us is None and node.parent == above.id:
            self._living[node.parent, node.name_key] = way
        return way

    def _renew(self, node_id: str, node: Node | None) -> None:
        """Know a folder as it is now; what lies below it went with it."""
        way = self._ways.pop(node_id, None)
        if way is not None and way.node is not None:
            self._paths.clear()
            self._living.pop((way.node.parent, way.node.name_key), None)
            if node is not None:
                # The same way goes on: those below lead to it.
                above = self._above(node)
                self._ways[node_id] = way
                self._link(node, above)

    def _bound(self) -> None:
        if len(self._ways) > _MAX_WAYS:
            kept = self._changed, self._copies
            self.forget()
            self._changed, self._copies = kept


def _gone(tx: Transaction, row: ShareRow, names: tuple[str, ...]) -> Node | None:
    """A folder in the trash whose path was this, or None; where it stood there may be others by now."""
    candidates = [ROOT]
    found: list[Node] = []
    lookups = 0
    for name in names:
        key = name_key(name, row.policy)
        lookups += len(candidates)
        if lookups > _MAX_LOOKUPS:
            # Nobody may hold up the writer by deep trees that were deleted many times over.
            return None
        found = [
            node
            for candidate in candidates
            for node in nodes.namesakes(tx, row.feed, candidate, key, _MAX_NAMESAKES)
            if node.type == "folder"
        ][:_MAX_NAMESAKES]
        candidates = [node.id for node in found]
    return found[0] if found else None


class FolderState(StrEnum):
    """How the folder stands in which a resource is to be placed."""

    LIVE = "live"
    DELETED = "deleted"
    MISSING = "missing"
    NOT_A_FOLDER = "not_a_folder"


class Target(NamedTuple):
    """A place to take: the folder's id and the name."""

    parent: str
    name: Name


def name_in(row: ShareRow, text: str, field: str = "name") -> Name:
    """A name as the share stores and compares it. Raises: Invalid."""
    stored = stored_name(text, row.policy, field=field)
    return Name(stored, name_key(stored, row.policy))


def walk(tx: Transaction, row: ShareRow, path: str) -> Node | None:
    """The live node at a stored path, or None; the root is None too."""
    node: Node | None = None
    for part in split_path(path):
        if node is not None and node.type != "folder":
            return None
        node = nodes.child(tx, row.feed, node.id if node else ROOT, name_key(part, row.policy))
        if node is None:
            return None
    return node


def at_path(tx: Transaction, row: ShareRow, raw: str) -> Node:
    """The live node at a path. Raises: Invalid (no path), NotFound."""
    node = walk(tx, row, stored_path(raw, row.policy._replace(portable=False)))
    if node is None:
        raise NotFound(f"nothing at {raw!r}")
    return node


def by_id(tx: Transaction, row: ShareRow, node_id: str, *, trashed: bool = False) -> Node:
    """The node with this id: a live one, or with ``trashed`` also one in the trash. Raises: NotFound."""
    node = nodes.find(tx, row.feed, node_id)
    if node is None or (not trashed and not nodes.is_live(tx, row.feed, node)):
        raise NotFound(f"no file or folder {node_id!r}")
    return node


def folder_by_id(tx: Transaction, row: ShareRow, folder_id: str | None) -> str:
    """The id of a live folder; None names the root. Raises: NotFound, Invalid (a file)."""
    if folder_id is None:
        return ROOT
    node = by_id(tx, row, folder_id)
    if node.type != "folder":
        raise Invalid.of("parent_id", "incorrect_value", "this is a file, not a folder")
    return node.id


def target_of_path(tx: Transaction, row: ShareRow, raw: str) -> Target:
    """The place that a path names. Raises: Invalid, NotFound (no such folder)."""
    parts = split_path(stored_path(raw, row.policy))
    if not parts:
        raise Invalid.of("path", "incorrect_value", "the root has no name to give")
    above = "/" + "/".join(parts[:-1])
    parent = ROOT if len(parts) == 1 else folder_by_id(tx, row, at_path(tx, row, above).id)
    return Target(parent, Name(parts[-1], name_key(parts[-1], row.policy)))


def require_free(tx: Transaction, row: ShareRow, target: Target, own_id: str) -> None:
    """Hold back unless the name is free, or the node's own. Raises: StateConflict."""
    taken = nodes.child(tx, row.feed, target.parent, target.name.key)
    if taken is not None and taken.id != own_id:
        raise StateConflict(f"the name {taken.name!r} is taken in that folder", code="NAME_TAKEN")


def require_reach(tx: Transaction, row: ShareRow, target: Target) -> None:
    """Hold back a place whose path is longer than any caller may send. Raises: Invalid."""
    above = nodes.find(tx, row.feed, target.parent) if target.parent else None
    folder = nodes.path_of(tx, row.feed, above) if above else ""
    require_length(f"{folder}/{target.name.text}")

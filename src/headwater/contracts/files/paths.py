"""The folders of a share on the way to what items name, each looked up once for all that come together.

Whatever is asked costs its own names, not its depth in queries: deep trees hold up no writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.apply.inputs import Folder
from headwater.contracts.files.names import name_key, split_path
from headwater.contracts.files.tree.rules import policy
from headwater.store.database import Transaction
from headwater.store.tree import nodes
from headwater.store.tree.nodes import MAX_DEPTH, ROOT, Node

_MAX_NAMESAKES = 20
_MAX_LOOKUPS = 500
_MAX_WAYS = 16_384
"""So many folders are remembered, and as many again as one look-up adds."""

_MAX_PATHS = 1024
_FIRST_LOOK = 2
_LOOK_FARTHER = 8


class Way:
    """A folder as it was found: its node (None for the root) and the way to the folder above it."""

    __slots__ = ("above", "node")

    def __init__(self, node: Node | None, above: Way | None) -> None:
        self.node = node
        self.above = above

    @property
    def id(self) -> str:
        """The folder's id."""
        return self.node.id if self.node else ROOT

    def nodes(self) -> Iterator[Node]:
        """The folder and those above it, but for the root."""
        way: Way | None = self
        while way is not None and way.node is not None:
            yield way.node
            way = way.above


class Trail(NamedTuple):
    """How a folder's path was found: how it stands, its node (None for the root), and the last living way to it."""

    folder: Folder
    node: Node | None
    way: Way

    @property
    def path(self) -> str:
        """The path of a living folder as it is spelled there; empty for the root."""
        return "".join(f"/{node.name}" for node in reversed(list(self.way.nodes())))

    def passes(self, folder_id: str) -> bool:
        """True when this living folder is on the way."""
        return any(node.id == folder_id for node in self.way.nodes())


class Standing(NamedTuple):
    """Where a node is, or for what is in the trash where it was, and whether it is live."""

    path: str
    is_live: bool


class Trails:
    """Finds folders by path and paths by node. What an item changes is told here, and what was undone."""

    def __init__(self, tx: Transaction, row: ShareRow) -> None:
        self.tx = tx
        self.row = row
        self.forget()

    def forget(self) -> None:
        """Look everything up again."""
        self._top = Way(None, None)
        self._ways: dict[str, Way] = {}
        self._living: dict[tuple[str, str], Way] = {}
        self._paths: dict[str, Way] = {}
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

    def to(self, path: str) -> Trail:
        """The folder at a path, the living first; DELETED only where no live one has taken the path since."""
        self._bound()
        known = self._paths.get(path)
        if known is not None:
            return Trail(Folder.LIVE, known.node, known)
        names, rules = split_path(path), policy(self.row)
        way = self._top
        for name in names:
            key = name_key(name, rules)
            below = self._living.get((way.id, key))
            if below is None:
                found = nodes.child(self.tx, self.row.feed, way.id, key)
                if found is None:
                    gone = _gone(self.tx, self.row, names)
                    return Trail(Folder.MISSING if gone is None else Folder.DELETED, gone, way)
                if found.type != "folder":
                    return Trail(Folder.NOT_A_FOLDER, None, way)
                below = self._link(found, way)
            way = below
        if len(self._paths) == _MAX_PATHS:
            self._paths.clear()
        self._paths[path] = way
        return Trail(Folder.LIVE, way.node, way)

    def standing(self, node: Node) -> Standing:
        """Where a node is. It, or a folder above it, may be in the trash."""
        nodes = [node, *self._above(node).nodes()]
        path = "/" + "/".join(each.name for each in reversed(nodes))
        return Standing(path, all(each.trashed_us is None for each in nodes))

    def path(self, node: Node) -> str:
        """The path of a node."""
        return self.standing(node).path

    def folder_path(self, folder_id: str) -> str:
        """The path of a folder, empty for the root, so that a slash and a name follow."""
        self._bound()
        way = self._top if folder_id == ROOT else self._ways.get(folder_id)
        if way is not None:
            return Trail(Folder.LIVE, way.node, way).path
        node = nodes.find(self.tx, self.row.feed, folder_id)
        return "" if node is None else self.path(node)

    def copies_in(self, folder_id: str) -> dict[str, int]:
        """How far the numbers of conflict copies in a folder went."""
        return self._copies.setdefault(folder_id, {})

    def _above(self, node: Node) -> Way:
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

    def _link(self, node: Node, above: Way) -> Way:
        way = self._ways[node.id] = self._ways.get(node.id) or Way(node, above)
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
        key = name_key(name, policy(row))
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

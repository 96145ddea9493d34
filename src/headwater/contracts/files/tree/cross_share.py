"""Moves a file or folder into another share: deleted there and created here in one transaction."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import Invalid, TooLarge
from headwater.base.ids import random_id
from headwater.base.settings.table import FileSettings
from headwater.contracts.files import quota
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.paths import PathIndex, Target, name_in
from headwater.contracts.files.tree.rules import trash
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor, Node
from headwater.store.tree.versions import Version
from headwater.store.tree.writer import TreeWriter

MAX_CROSSING = 10_000
"""Most files and folders that one move into another share carries."""


class Crossing(NamedTuple):
    """The destination of a node that leaves its share: the other share, and the place in it."""

    share: ShareRow
    target: Target


def cross(tx: Transaction, row: ShareRow, actor: Actor, node: Node, crossing: Crossing, settings: FileSettings) -> Node:
    """Moves a node into another share: deleted there and created here in one transaction, the same content.

    The content in the trash of the old share still counts there, so it needs room once more.
    Raises: StateConflict (the name is taken), Invalid (another organisation), TooLarge (over 10,000 nodes),
    QuotaExceeded.
    """
    other, target = crossing
    if other.organisation != row.organisation:
        raise Invalid.of("share_id", "incorrect_value", "content does not move to another organisation")
    index = PathIndex(tx, other)
    index.require_reach(target)
    carried = _Carried(index, row, actor)
    carried.gather(node)
    quota.require_left(tx, other, settings, carried.size_bytes)
    made = carried.copy(node, target)
    trash(tx, row, actor, node)
    return made


class _Carried:
    """Copies nodes into another share, folder by folder, once all of them are known."""

    def __init__(self, index: PathIndex, row: ShareRow, actor: Actor) -> None:
        self._tx = index.tx
        self._index = index
        self._row = row
        self._other = index.row
        self._writer = TreeWriter(index.tx, index.row.share, actor)
        self._children: dict[str, list[Node]] = {}
        self._versions: dict[str, Version] = {}

    @property
    def size_bytes(self) -> int:
        """The bytes of the gathered files."""
        return sum(version.size_bytes for version in self._versions.values())

    def gather(self, node: Node) -> None:
        """Finds the node's content and all that lives below it, before anything is written. Raises: TooLarge."""
        waiting, count = [node], 0
        while waiting:
            source = waiting.pop()
            count += 1
            if count + len(waiting) > MAX_CROSSING:
                raise TooLarge(f"a move into another share carries at most {MAX_CROSSING} files and folders")
            version = versions.find(self._tx, self._row.feed, source.version) if source.version else None
            if version is not None:
                self._versions[source.id] = version
            if source.type == "folder":
                self._children[source.id] = self._children_of(source)
                waiting += self._children[source.id]

    def copy(self, node: Node, target: Target) -> Node:
        """Creates the node, and what lives below it, in the other share."""
        waiting = [(node, target, self._index.folder_path(target.parent))]
        first: Node | None = None
        while waiting:
            source, place, folder_path = waiting.pop()
            made = self._make(source, place, folder_path)
            first = first or made
            path = f"{folder_path}/{made.name}"
            waiting += [(child, self._below(made, child), path) for child in self._children.get(source.id, ())]
        return first or node

    def _below(self, made: Node, child: Node) -> Target:
        return Target(made.id, name_in(self._other, child.name))

    def _make(self, source: Node, target: Target, folder_path: str) -> Node:
        tx, other, place = self._tx, self._other, (target.parent, target.name)
        # Two names of the one share may be one name in the other.
        self._index.require_free(target)
        version = self._versions.get(source.id)
        if version is None:
            return self._writer.create(source.type, *place, None, {}, folder_path=folder_path)
        pieces = versions.pieces(tx, self._row.feed, version.id)
        details = versions.details(version) | {"version_number": 1}
        # An id of its own: a file that goes back to where it came from meets its old version there.
        carried_id = random_id("ver")
        made = self._writer.create("file", *place, carried_id, details, folder_path=folder_path)
        carried = version._replace(id=carried_id, node=made.id, number=1, state="kept", created_us=tx.now_us)
        versions.insert_many(tx, other.feed, other.organisation, [(carried, pieces)])
        tx.bump(other.feed, versions.BYTES, version.size_bytes)
        return made

    def _children_of(self, folder: Node) -> list[Node]:
        found: list[Node] = []
        after = ""
        while page := nodes.children(self._tx, self._row.feed, folder.id, after, 1000):
            found += page
            after = page[-1].name_key
            if len(found) > MAX_CROSSING:
                break
        return found

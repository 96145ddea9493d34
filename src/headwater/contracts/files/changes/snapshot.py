"""The whole tree of a share as changes, page by page: folders before what is in them, then live from one position.

Nodes are read in the order of their creation. A folder may be younger than what was moved into it, or may have
changed since the snapshot began; such a folder is sent (again) right before the first node that needs it.

Pages are read at different times, so the tree that they form is that of no moment. What changed since the snapshot
began is therefore sent once more, not as it happened but as it is now: a reader whose page holds a node that was
moved into a folder later must not receive that folder's earlier deletion and restoration. Once a page reaches the
head of the log, the reader's tree is the share's, and the log itself follows.

Source: files contract, "Change tracking"; reading "Cursors".
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headwater.base.wire import encode, format_seconds
from headwater.contracts.files.access import ShareRow
from headwater.feed.cursor import Place
from headwater.store.database import Row, Transaction
from headwater.store.log import changes, feeds
from headwater.store.tree import nodes, versions, writer
from headwater.store.tree.nodes import ROOT, Actor, Node, Paths

_NODE = ", ".join("n." + name for name in Node._fields)
_WIDTH = len(Node._fields)
_SHA256 = versions.Version._fields.index("sha256")
_NO_VERSION: Row = (None,)
_VERSION = ", ".join("v." + name for name in versions.Version._fields)
_SELECT = (
    f"SELECT {_NODE}, c.wire, {_VERSION} FROM nodes n"
    " LEFT JOIN versions v ON v.feed = n.feed AND v.id = n.version"
    " LEFT JOIN changes c ON c.feed = n.feed AND c.position = n.position"
    " WHERE n.feed = ? AND n.number > ? ORDER BY n.number LIMIT ?"
)
_CHANGED = (
    f"SELECT c.position, c.wire, {_NODE}, {_VERSION} FROM changes c"
    " LEFT JOIN nodes n ON n.feed = c.feed AND n.id = c.id"
    " LEFT JOIN versions v ON v.feed = n.feed AND v.id = n.version"
    " WHERE c.feed = ? AND c.position > ? ORDER BY c.position LIMIT ?"
)
_LEAST_ROWS = 500
_LISTED = 1 << 62
"""The position of a place behind every node: what remains is what changed after its ``snapshot_head``."""


class SharePage(NamedTuple):
    """Changes as wire bytes joined with commas, the reader's next place, and True when more follow."""

    wires: bytes
    size: int
    place: Place
    has_more: bool


class _Folder(NamedTuple):
    """A folder with those above it, outermost first."""

    chain: tuple[Node, ...]
    path: str
    live: bool


def begin(tx: Transaction, feed: int) -> Place:
    """The place at which reading the whole tree begins; of an empty log simply its beginning."""
    return Place(0, feeds.head(tx, feed))


def read(tx: Transaction, row: ShareRow, place: Place, limit: int) -> SharePage:
    """The next part of the tree: about ``limit`` changes.

    A node is not cut off from the folders that must precede it, so a page whose first node lies deep in
    younger folders may be longer. Nodes in the trash are skipped; a page may be empty and yet not the last.
    """
    if place.position == _LISTED:
        return _catch_up(tx, row, place.snapshot_head, limit)
    rows = tx.rows(_SELECT, row.feed, place.position, max(limit, _LEAST_ROWS))
    walk = _Walk(tx, row, place.snapshot_head)
    number = place.position
    for found in rows:
        group = walk.listed(found)
        if walk.sent and len(walk.sent) + len(group) > limit:
            return walk.page(Place(number, place.snapshot_head), has_more=True)
        walk.send(group)
        number = found[1]
    if len(rows) == max(limit, _LEAST_ROWS):
        return walk.page(Place(number, place.snapshot_head), has_more=True)
    if feeds.head(tx, row.feed) == place.snapshot_head:
        return walk.page(Place(place.snapshot_head), has_more=False)
    return walk.page(Place(_LISTED, place.snapshot_head), has_more=True)


def _catch_up(tx: Transaction, row: ShareRow, after: int, limit: int) -> SharePage:
    """The resources that changed after a position, each as it is now; at the head the snapshot is over."""
    rows = tx.rows(_CHANGED, row.feed, after, max(limit, _LEAST_ROWS))
    walk = _Walk(tx, row, after, catching_up=True)
    for found in rows:
        group = walk.changed(found)
        if walk.sent and len(walk.sent) + len(group) > limit:
            return walk.page(Place(_LISTED, walk.upto), has_more=True)
        walk.send(group)
        walk.upto = found[0]
    if len(rows) == max(limit, _LEAST_ROWS):
        return walk.page(Place(_LISTED, walk.upto), has_more=True)
    return walk.page(Place(walk.upto), has_more=False)


class _Walk:
    """A page under construction; the reader has every folder whose newest change is not after ``upto``."""

    def __init__(self, tx: Transaction, row: ShareRow, upto: int, *, catching_up: bool = False) -> None:
        self._tx = tx
        self._row = row
        self._catching_up = catching_up
        self.upto = upto
        self._folders: dict[str, _Folder] = {ROOT: _Folder((), "", True)}
        self._known: set[str] = set()
        self.sent: list[bytes] = []

    def listed(self, found: Row) -> list[tuple[str, bytes]]:
        """The changes to send for a node: folders that are missing or changed, then the node; none when dead."""
        node = Node(*found[:_WIDTH])
        above = self._folder(node.parent)
        if node.trashed_us is not None or not above.live or node.id in self._known:
            return []
        wire, version = found[_WIDTH], found[_WIDTH + 1 :]
        return self._group(node, above, wire, version, self.upto, older_than=node.number)

    def changed(self, found: Row) -> list[tuple[str, bytes]]:
        """The changes to send for a change: the node as it is now, deleted when it is dead; none a second time."""
        position, wire = found[:2]
        if found[2] is None:
            # The share itself changed.
            return [("", bytes(wire))]
        node = Node(*found[2 : 2 + _WIDTH])
        relist = _read_last.decode(wire).metadata.relist
        if node.id in self._known and not relist:
            return []
        above = self._folder(node.parent)
        version = found[2 + _WIDTH :]
        if node.position != position:
            wire = changes.wire_at(self._tx, self._row.feed, node.position)
        if node.trashed_us is not None or not above.live:
            gone = Paths(f"{above.path}/{node.name}", None)
            return [(node.id, self._change(node, "deleted", gone, wire, version, position))]
        return self._group(node, above, wire, version, position, relist=relist)

    def _group(
        self, node: Node, above: _Folder, wire: bytes | None, version: Row, position: int,
        older_than: int | None = None, *, relist: bool = False,
    ) -> list[tuple[str, bytes]]:  # fmt: skip
        """A live node behind the folders that the reader lacks: those that changed, and those yet to be listed."""
        group: list[tuple[str, bytes]] = []
        changed = False
        for folder in above.chain:
            # What is below a restored folder may have been skipped while it was in the trash.
            changed = changed or folder.position > self.upto
            unlisted = older_than is not None and folder.number > older_than
            if (changed or unlisted) and folder.id not in self._known:
                its_wire = changes.wire_at(self._tx, self._row.feed, folder.position)
                at = Paths(None, self._folder(folder.id).path)
                group.append((folder.id, self._change(folder, "created", at, its_wire, _NO_VERSION, position)))
        at = Paths(None, f"{above.path}/{node.name}")
        group.append((node.id, self._change(node, "created", at, wire, version, position, relist=relist)))
        return group

    def send(self, group: list[tuple[str, bytes]]) -> None:
        """Puts a group on the page."""
        self._known.update(node_id for node_id, _ in group)
        self.sent += [wire for _, wire in group]

    def page(self, place: Place, *, has_more: bool) -> SharePage:
        """The page as it is."""
        return SharePage(b",".join(self.sent), len(self.sent), place, has_more)

    def _change(
        self, node: Node, kind: str, paths: Paths, wire: bytes | None, version: Row, position: int, *,
        relist: bool = False,
    ) -> bytes:  # fmt: skip
        last = _read_last.decode(wire) if wire is not None else _LastChange()
        if wire is not None and not relist and last.states(kind, paths, version):
            # Most of a tree is unchanged since its creation: then its first change needs only a new position.
            wire_bytes = bytes(wire)
            return b"%b%d}" % (wire_bytes[: wire_bytes.rindex(b":") + 1], position)
        actor = Actor(last.changed_by, last.metadata.device_id or "")
        details = {} if version[0] is None else versions.details(versions.Version(*version))
        if relist or (self._catching_up and last.metadata.relist):
            details["relist"] = True
        content = writer.change(self._row.share, actor, node, kind, paths, details)
        return encode(
            content
            | {
                "id": f"chg_{self._row.feed}_{node.position}",
                "changed_at": format_seconds(node.updated_us),
                "position": position,
            }
        )

    def _folder(self, folder_id: str) -> _Folder:
        """The folder with this id, looked up once a page."""
        climbed: list[Node] = []
        while folder_id not in self._folders and len(climbed) <= nodes.MAX_DEPTH:
            node = nodes.find(self._tx, self._row.feed, folder_id)
            if node is None:
                self._folders[folder_id] = _Folder((), "", False)
                break
            climbed.append(node)
            folder_id = node.parent
        found = self._folders.get(folder_id, _Folder((), "", False))
        for node in reversed(climbed):
            found = _Folder((*found.chain, node), f"{found.path}/{node.name}", found.live and node.trashed_us is None)
            self._folders[node.id] = found
        return found


class _LastDetails(msgspec.Struct, frozen=True, gc=False):
    device_id: str | None = None
    checksum_sha256: str | None = None
    relist: bool = False


_NO_DETAILS = _LastDetails()


class _LastChange(msgspec.Struct, gc=False):
    """The content of a node's newest change."""

    changed_by: str = ""
    change_type: str = ""
    old_path: str | None = None
    new_path: str | None = None
    version_id: str | None = None
    metadata: _LastDetails = _NO_DETAILS

    def states(self, kind: str, paths: Paths, version: Row) -> bool:
        """True when it states the same; a checksum may have been computed since."""
        same = self.change_type == kind and self.new_path == paths.new and self.old_path == paths.old
        if not same or self.version_id != version[0] or self.metadata.relist:
            return False
        return version[0] is None or self.metadata.checksum_sha256 == version[_SHA256]


_read_last = msgspec.json.Decoder(_LastChange)

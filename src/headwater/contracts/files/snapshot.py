"""The whole tree of a share as changes, page by page: folders before what is in them, then live from one position.

Nodes are read in the order of their creation. A folder may be younger than what was moved into it, or may have
changed since the snapshot began; such a folder is sent (again) right before the first node that needs it. Whatever
changes during the snapshot comes once more as a live change after it, and sets the same.

Source: files contract, "Change tracking"; reading "Cursors".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from headwater.base.wire import encode, format_seconds
from headwater.contracts.files.access import ShareRow
from headwater.feed.cursor import Place
from headwater.store import changes, feeds, tree, versions
from headwater.store.database import Row, Transaction
from headwater.store.tree import ROOT, Actor, Node, Paths

_NODE = ", ".join("n." + name for name in Node._fields)
_VERSION = ", ".join("v." + name for name in versions.Version._fields)
_SELECT = (
    f"SELECT {_NODE}, c.wire, {_VERSION} FROM nodes n"
    " LEFT JOIN versions v ON v.feed = n.feed AND v.id = n.version"
    " LEFT JOIN changes c ON c.feed = n.feed AND c.position = n.position"
    " WHERE n.feed = ? AND n.number > ? ORDER BY n.number LIMIT ?"
)
_LEAST_ROWS = 500


class SharePage(NamedTuple):
    """Changes as wire bytes joined with commas, where the reader then stands, and whether more stand ready."""

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
    """Where the reading of the whole tree begins; of an empty log that is simply its beginning."""
    return Place(0, feeds.head(tx, feed))


def read(tx: Transaction, row: ShareRow, place: Place, limit: int) -> SharePage:
    """The next part of the tree: about ``limit`` changes.

    A node is not cut off from the folders that must come before it, so a page whose first node lies deep in
    younger folders may be longer. Nodes in the trash are passed over; a page may be empty and yet not the last.
    """
    rows = tx.rows(_SELECT, row.feed, place.position, max(limit, _LEAST_ROWS))
    walk = _Walk(tx, row, place.snapshot_head)
    number = place.position
    for found in rows:
        group = walk.group(found)
        if walk.sent and len(walk.sent) + len(group) > limit:
            return walk.page(Place(number, place.snapshot_head), has_more=True)
        walk.send(group)
        number = found[1]
    if len(rows) == max(limit, _LEAST_ROWS):
        return walk.page(Place(number, place.snapshot_head), has_more=True)
    return walk.page(Place(place.snapshot_head), has_more=feeds.head(tx, row.feed) > place.snapshot_head)


class _Walk:
    """One page in the making."""

    def __init__(self, tx: Transaction, row: ShareRow, snapshot_head: int) -> None:
        self._tx = tx
        self._row = row
        self._head = snapshot_head
        self._folders: dict[str, _Folder] = {ROOT: _Folder((), "", True)}
        self._known: set[str] = set()
        self.sent: list[bytes] = []

    def group(self, found: Row) -> list[tuple[str, bytes]]:
        """What must be sent for a node: folders that are missing or changed, then the node; nothing when dead."""
        node = Node(*found[:13])
        above = self._folder(node.parent)
        if node.trashed_us is not None or not above.live or node.id in self._known:
            return []
        group: list[tuple[str, bytes]] = []
        changed = False
        for folder in above.chain:
            # What is below a folder that came back may have been passed over while it was gone.
            changed = changed or folder.position > self._head
            if (changed or folder.number > node.number) and folder.id not in self._known:
                wire = changes.wire_at(self._tx, self._row.feed, folder.position)
                group.append((folder.id, self._change(folder, self._folder(folder.id).path, wire, {})))
        version = None if found[14] is None else versions.Version(*found[14:])
        details = versions.details(version) if version else {}
        group.append((node.id, self._change(node, f"{above.path}/{node.name}", found[13], details)))
        return group

    def send(self, group: list[tuple[str, bytes]]) -> None:
        """Put a group on the page."""
        self._known.update(node_id for node_id, _ in group)
        self.sent += [wire for _, wire in group]

    def page(self, place: Place, *, has_more: bool) -> SharePage:
        """The page as it is."""
        return SharePage(b",".join(self.sent), len(self.sent), place, has_more)

    def _change(self, node: Node, path: str, wire: bytes | None, details: dict[str, Any]) -> bytes:
        origin = _read_origin.decode(bytes(wire)) if wire is not None else _Origin()
        actor = Actor(origin.changed_by, origin.metadata.device_id or "")
        content = tree.change(self._row.share, actor, node, "created", Paths(None, path), details)
        return encode(
            content
            | {
                "id": f"chg_{self._row.feed}_{node.position}",
                "changed_at": format_seconds(node.updated_us),
                "position": self._head,
            }
        )

    def _folder(self, folder_id: str) -> _Folder:
        """The folder with this id, looked up once a page."""
        climbed: list[Node] = []
        while folder_id not in self._folders and len(climbed) <= tree.MAX_DEPTH:
            node = tree.find(self._tx, self._row.feed, folder_id)
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


class _OriginDetails(msgspec.Struct):
    device_id: str | None = None


class _Origin(msgspec.Struct):
    """Who made a node's newest change."""

    changed_by: str = ""
    metadata: _OriginDetails = msgspec.field(default_factory=_OriginDetails)


_read_origin = msgspec.json.Decoder(_Origin)

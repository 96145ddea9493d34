"""The decisions about a share's tree when it is changed directly: what may go where. ``apply`` has its own.

Source: files contract, readings "Names and tree".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from headwater.base.errors import Invalid, NotFound, StateConflict, TooLarge
from headwater.base.ids import random_id
from headwater.base.settings.table import FileSettings
from headwater.contracts.files import quota
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import NamePolicy, name_key, require_length, split_path, stored_name, stored_path
from headwater.contracts.files.tree import restore as tree_restore
from headwater.contracts.files.tree.shapes import FolderFields
from headwater.feed.cursor import invalid
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import ROOT, Actor, Name, Node
from headwater.store.tree.versions import Version

MAX_CROSSING = 10_000
"""Most files and folders that one move into another share carries."""

_TRASH_KEY = re.compile(r"00[0-9]{18} ")
"""How a ``trash_key`` begins: microseconds UTC since 1970 that both databases can hold."""


class Target(NamedTuple):
    """A place to take: the folder's id and the name."""

    parent: str
    name: Name


def policy(row: ShareRow) -> NamePolicy:
    """How a share compares and limits names."""
    return NamePolicy(case_sensitive=bool(row.case_sensitive), portable=bool(row.portable))


def name_in(row: ShareRow, text: str, field: str = "name") -> Name:
    """A name as the share stores and compares it. Raises: Invalid."""
    stored = stored_name(text, policy(row), field=field)
    return Name(stored, name_key(stored, policy(row)))


def walk(tx: Transaction, row: ShareRow, path: str) -> Node | None:
    """The live node at a stored path, or None; the root is None too."""
    node: Node | None = None
    for part in split_path(path):
        if node is not None and node.type != "folder":
            return None
        node = nodes.child(tx, row.feed, node.id if node else ROOT, name_key(part, policy(row)))
        if node is None:
            return None
    return node


def at_path(tx: Transaction, row: ShareRow, raw: str) -> Node:
    """The live node at a path. Raises: Invalid (no path), NotFound."""
    node = walk(tx, row, stored_path(raw, policy(row)._replace(portable=False)))
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
    parts = split_path(stored_path(raw, policy(row)))
    if not parts:
        raise Invalid.of("path", "incorrect_value", "the root has no name to give")
    above = "/" + "/".join(parts[:-1])
    parent = ROOT if len(parts) == 1 else folder_by_id(tx, row, at_path(tx, row, above).id)
    return Target(parent, Name(parts[-1], name_key(parts[-1], policy(row))))


def create_folder(tx: Transaction, row: ShareRow, actor: Actor, fields: FolderFields) -> Node:
    """Make a folder; with ``parents`` also those above that are missing.

    Raises: Invalid, NotFound (no parent), StateConflict (the name is taken).
    """
    if fields.path is not None:
        if fields.parents:
            return _make_folders(tx, row, actor, fields.path)
        return _make_folder(tx, row, actor, target_of_path(tx, row, fields.path))
    if fields.name is None:
        raise Invalid.of("path", "missing", "give a path, or a name and the parent's id")
    target = Target(folder_by_id(tx, row, fields.parent_id), name_in(row, fields.name))
    return _make_folder(tx, row, actor, target)


def move(tx: Transaction, row: ShareRow, actor: Actor, node: Node, target: Target) -> Node:
    """Give a live node another name or folder; the same place changes nothing.

    Raises: StateConflict (the name is taken, or it would go into itself), Invalid (the path gets too long).
    """
    if (target.parent, target.name.text) == (node.parent, node.name):
        return node
    require_free(tx, row, target, node.id)
    require_outside(tx, row, node, target.parent)
    require_reach(tx, row, target)
    return nodes.place(tx, row.share, actor, node, target.parent, target.name, content(tx, row.feed, node))


def trash(tx: Transaction, row: ShareRow, actor: Actor, node: Node) -> Node:
    """Put a live node into the trash, with all that is below it."""
    return nodes.trash(tx, row.share, actor, node, content(tx, row.feed, node))


def restore(tx: Transaction, row: ShareRow, actor: Actor, node: Node, target: Target | None) -> Node:
    """Take a node out of the trash, to where it was or to another place.

    Raises: StateConflict (it is not in the trash; its folder is gone; the name is taken).
    """
    if node.trashed_us is None:
        if nodes.is_live(tx, row.feed, node):
            raise StateConflict("this is not in the trash")
        raise StateConflict("this is not in the trash itself; restore the folder that is")
    if target is None:
        target = Target(node.parent, Name(node.name, node.name_key))
    above = nodes.find(tx, row.feed, target.parent) if target.parent else None
    if target.parent and (above is None or not nodes.is_live(tx, row.feed, above)):
        raise StateConflict("its folder is gone; name a path to restore it to")
    require_free(tx, row, target, node.id)
    require_reach(tx, row, target)
    return tree_restore.restore(tx, row, actor, node, target.parent, target.name, content(tx, row.feed, node))


def restore_version(
    tx: Transaction, row: ShareRow, actor: Actor, node: Node, version_id: str, settings: FileSettings
) -> Node:
    """Put an older content of a file on top again, as a new version; the present one stays in the history.

    Raises: NotFound (no such version of this file), QuotaExceeded (there is no room for it twice).
    """
    older = versions.find(tx, row.feed, version_id)
    if older is None or older.node != node.id:
        raise NotFound(f"no version {version_id!r} of this file")
    if older.id == node.version:
        return node
    quota.require_left(tx, row, settings, older.size_bytes)
    staging = versions.Staging(
        row.feed,
        row.organisation,
        actor.user_id,
        actor.device_id,
        older.mime_type,
        older.modified_us,
        older.sha256,
        None,
    )
    staged = versions.stage(tx, staging, versions.pieces(tx, row.feed, older.id))
    kept = versions.keep(tx, row.feed, staged, node.id, older.modified_us)
    return nodes.put_version(tx, row.share, actor, node, kept.id, versions.details(kept))


def trash_key(node: Node) -> str:
    """Where a node stands in the list of the trash."""
    return f"{node.trashed_us:020d} {node.id}"


def in_trash(tx: Transaction, row: ShareRow, after: str, limit: int) -> list[Node]:
    """What was put into the trash itself, the oldest first, after a ``trash_key``. Raises: CursorInvalid."""
    if after and not _TRASH_KEY.match(after):
        raise invalid("malformed", "the cursor is not one of this server's")
    at_text, _, node_id = after.partition(" ")
    return nodes.trashed(tx, row.feed, int(at_text or 0), node_id, limit)


class Crossing(NamedTuple):
    """Where a node goes that leaves its share: the other share, and the place in it."""

    share: ShareRow
    target: Target


def cross(tx: Transaction, row: ShareRow, actor: Actor, node: Node, crossing: Crossing, settings: FileSettings) -> Node:
    """Move a node into another share: deleted there and created here in one transaction, the same content.

    What it leaves in the trash of its old share still counts there, so the content needs room once more.
    Raises: StateConflict (the name is taken), Invalid (another organisation), TooLarge (over 10,000 nodes),
    QuotaExceeded.
    """
    other, target = crossing
    if other.organisation != row.organisation:
        raise Invalid.of("share_id", "incorrect_value", "content does not move to another organisation")
    require_reach(tx, other, target)
    carried = _Carried(tx, row, other, actor)
    carried.gather(node)
    quota.require_left(tx, other, settings, carried.size_bytes)
    made = carried.copy(node, target)
    trash(tx, row, actor, node)
    return made


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


def require_outside(tx: Transaction, row: ShareRow, node: Node, parent: str) -> None:
    """Hold back a folder from going into itself. Raises: StateConflict."""
    if node.type != "folder" or parent == ROOT:
        return
    above = nodes.find(tx, row.feed, parent)
    inside = parent == node.id or (
        above is not None and any(folder.id == node.id for folder in nodes.ancestors(tx, row.feed, above))
    )
    if inside:
        raise StateConflict("a folder cannot be moved into itself", code="INTO_ITSELF")


def content(tx: Transaction, feed: int, node: Node) -> dict[str, object]:
    """What a change's metadata says of a node's content; nothing for a folder."""
    version = versions.find(tx, feed, node.version) if node.version else None
    return versions.details(version) if version else {}


def _make_folder(tx: Transaction, row: ShareRow, actor: Actor, target: Target) -> Node:
    require_free(tx, row, target, "")
    require_reach(tx, row, target)
    return nodes.create(tx, row.share, actor, "folder", target.parent, target.name, None, {})


def _make_folders(tx: Transaction, row: ShareRow, actor: Actor, raw: str) -> Node:
    """Make the folder at a path, and those above it that are missing; each level is looked at once."""
    parts = split_path(stored_path(raw, policy(row)))
    if not parts:
        raise Invalid.of("path", "incorrect_value", "the root has no name to give")
    parent, path = ROOT, ""
    node: Node | None = None
    is_new = False
    for part in parts:
        name = Name(part, name_key(part, policy(row)))
        # What was made just now has nothing in it.
        node = None if is_new else nodes.child(tx, row.feed, parent, name.key)
        if node is None:
            require_length(f"{path}/{part}")
            node = nodes.create(tx, row.share, actor, "folder", parent, name, None, {}, folder_path=path)
            is_new = True
        elif node.type != "folder":
            raise StateConflict(f"the name {node.name!r} is taken in that folder", code="NAME_TAKEN")
        parent, path = node.id, f"{path}/{node.name}"
    if node is None or not is_new:
        raise StateConflict(f"the name {parts[-1]!r} is taken in that folder", code="NAME_TAKEN")
    return node


class _Carried:
    """Copies nodes into another share, folder by folder, once all of them are known."""

    def __init__(self, tx: Transaction, row: ShareRow, other: ShareRow, actor: Actor) -> None:
        self._tx = tx
        self._row = row
        self._other = other
        self._actor = actor
        self._children: dict[str, list[Node]] = {}
        self._versions: dict[str, Version] = {}

    @property
    def size_bytes(self) -> int:
        """How much the gathered files take."""
        return sum(version.size_bytes for version in self._versions.values())

    def gather(self, node: Node) -> None:
        """Find the node's content and all that lives below it, before anything is written. Raises: TooLarge."""
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
        """Make the node, and what lives below it, in the other share."""
        above = nodes.find(self._tx, self._other.feed, target.parent) if target.parent else None
        folder_path = nodes.path_of(self._tx, self._other.feed, above) if above else ""
        waiting = [(node, target, folder_path)]
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
        require_free(tx, other, target, "")
        version = self._versions.get(source.id)
        if version is None:
            return nodes.create(tx, other.share, self._actor, source.type, *place, None, {}, folder_path=folder_path)
        pieces = versions.pieces(tx, self._row.feed, version.id)
        details = versions.details(version) | {"version_number": 1}
        # An id of its own: a file that goes back to where it came from meets its old version there.
        carried_id = random_id("ver")
        made = nodes.create(tx, other.share, self._actor, "file", *place, carried_id, details, folder_path=folder_path)
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

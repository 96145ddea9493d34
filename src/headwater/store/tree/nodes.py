"""The only writer of files and folders: a node and its change in one transaction. Moves and deletions are O(1).

A node points to its folder by id, so that renaming, moving or trashing a folder touches one row, whatever is
below it. Names are given with their key (``contracts/files/names.py`` makes both); whoever calls has checked that
the name is free and that nothing moves into itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headwater.base.ids import random_id
from headwater.base.wire import encode, format_seconds
from headwater.store.database import Transaction
from headwater.store.log import changes

_COLUMNS = (
    "id, number, type, parent, name, name_key, version, position, trashed_us, trashed_by, created_us, updated_us,"
    " placed_us"
)
INSERT = f"INSERT INTO nodes (feed, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
"""Writes one node: its feed, then the fields of ``Node``."""

ROOT = ""
"""The parent of what stands at the top of a share."""

MAX_DEPTH = 4096
"""Deepest nesting that is followed: a path of 4,096 bytes holds 2,048 names, and a folder moved there as many more."""


# One statement, however deep: each further one would be a round trip where the database is another process.
_ANCESTORS = (
    f"WITH RECURSIVE above (depth, {_COLUMNS}) AS ("
    f"SELECT 1, {_COLUMNS} FROM nodes WHERE feed = ? AND id = ?"
    f" UNION ALL SELECT above.depth + 1, {', '.join('n.' + name for name in _COLUMNS.split(', '))}"
    " FROM above JOIN nodes n ON n.feed = ? AND n.id = above.parent WHERE above.depth < ?)"
    f" SELECT depth, {_COLUMNS} FROM above ORDER BY depth"
)

# That every name_key is >= '' is said, and CROSS JOIN, so that SQLite looks below each folder in nodes_by_name, and
# does not go through all nodes for each.
COUNT_FILES = (
    "WITH RECURSIVE live (id) AS (SELECT id FROM nodes WHERE feed = ? AND parent = '' AND name_key >= ''"
    " AND trashed_us IS NULL AND type = 'folder' UNION ALL SELECT n.id FROM live CROSS JOIN nodes n WHERE n.feed = ?"
    " AND n.parent = live.id AND n.name_key >= '' AND n.trashed_us IS NULL AND n.type = 'folder')"
    " SELECT count(*) FROM nodes n WHERE n.feed = ? AND n.type = 'file' AND n.trashed_us IS NULL"
    " AND (n.parent = '' OR n.parent IN (SELECT id FROM live))"
)
"""Counts live files; what lies below a folder in the trash is not looked at. Parameters: the feed, three times."""


class Node(NamedTuple):
    """A file or folder; times in microseconds UTC since 1970."""

    id: str
    number: int
    type: str
    parent: str
    name: str
    name_key: str
    version: str | None
    position: int
    trashed_us: int | None
    trashed_by: str | None
    created_us: int
    updated_us: int
    placed_us: int


class Share(NamedTuple):
    """The share in which something happens."""

    feed: int
    id: str
    organisation: str


class Actor(NamedTuple):
    """Who changes something, and from which device (empty when it has none)."""

    user_id: str
    device_id: str = ""


class Paths(NamedTuple):
    """Where something was and where it is: ``old`` is null for what is new, ``new`` for what is gone."""

    old: str | None
    new: str | None


class Name(NamedTuple):
    """A name as it is stored and the key by which names are compared."""

    text: str
    key: str


def find(tx: Transaction, feed: int, id: str) -> Node | None:
    """The node with this id, wherever it is, or None."""
    row = tx.row(f"SELECT {_COLUMNS} FROM nodes WHERE feed = ? AND id = ?", feed, id)
    return None if row is None else Node(*row)


def find_many(tx: Transaction, feed: int, ids: Sequence[str]) -> list[Node]:
    """The nodes with these ids, wherever they are, in no order."""
    return [Node(*row) for row in tx.rows_in(f"SELECT {_COLUMNS} FROM nodes WHERE feed = ? AND id", ids, feed)]


def child(tx: Transaction, feed: int, parent: str, key: str) -> Node | None:
    """The live node of this name in a folder, or None."""
    row = tx.row(
        f"SELECT {_COLUMNS} FROM nodes WHERE feed = ? AND parent = ? AND name_key = ? AND trashed_us IS NULL",
        feed,
        parent,
        key,
    )
    return None if row is None else Node(*row)


def namesakes(tx: Transaction, feed: int, parent: str, key: str, limit: int) -> list[Node]:
    """All nodes that have this name in a folder or had it when they went to the trash: the live one, then the latest.

    A folder that is itself in the trash may hold live nodes and others that went before it.
    """
    living = child(tx, feed, parent, key)
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM nodes WHERE feed = ? AND parent = ? AND name_key = ? AND trashed_us IS NOT NULL"
        " ORDER BY trashed_us DESC, id LIMIT ?",
        feed,
        parent,
        key,
        limit,
    )
    return [*([living] if living else []), *(Node(*row) for row in rows)]


def children(tx: Transaction, feed: int, parent: str, after_key: str, limit: int) -> list[Node]:
    """Live nodes of a folder in the order of their keys, after one."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM nodes WHERE feed = ? AND parent = ? AND name_key > ? AND trashed_us IS NULL"
        " ORDER BY name_key LIMIT ?",
        feed,
        parent,
        after_key,
        limit,
    )
    return [Node(*row) for row in rows]


def after_number(tx: Transaction, feed: int, number: int, limit: int) -> list[Node]:
    """Nodes in the order of their creation, after one; those in the trash among them."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM nodes WHERE feed = ? AND number > ? ORDER BY number LIMIT ?", feed, number, limit
    )
    return [Node(*row) for row in rows]


def trashed(tx: Transaction, feed: int, after_us: int, after_id: str, limit: int) -> list[Node]:
    """Nodes that were put into the trash themselves, by time and id, after one."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM nodes WHERE feed = ? AND trashed_us >= ? AND (trashed_us > ? OR id > ?)"
        " ORDER BY trashed_us, id LIMIT ?",
        feed,
        after_us,
        after_us,
        after_id,
        limit,
    )
    return [Node(*row) for row in rows]


def count_files(tx: Transaction, feed: int) -> int:
    """How many live files a share has; takes time in proportion to its tree."""
    return int(tx.value(COUNT_FILES, feed, feed, feed) or 0)


def ancestors(tx: Transaction, feed: int, node: Node, limit: int = MAX_DEPTH) -> list[Node]:
    """The folders above a node, the nearest first; at most so many."""
    if node.parent == ROOT:
        return []
    return [Node(*row[1:]) for row in tx.rows(_ANCESTORS, feed, node.parent, feed, limit)]


def path_of(tx: Transaction, feed: int, node: Node) -> str:
    """The path of a node, ``/a/b.txt``; for what is in the trash the path at which it was."""
    names = [node.name, *(above.name for above in ancestors(tx, feed, node))]
    return "/" + "/".join(reversed(names))


def is_live(tx: Transaction, feed: int, node: Node) -> bool:
    """True when neither the node nor a folder above it is in the trash."""
    return node.trashed_us is None and all(above.trashed_us is None for above in ancestors(tx, feed, node))


def create(
    tx: Transaction, share: Share, actor: Actor, type: str, parent: str, name: Name, version: str | None,
    details: Mapping[str, Any], *, id: str | None = None, trashed: bool = False, folder_path: str | None = None,
) -> Node:  # fmt: skip
    """Make a file (with its version) or a folder, and its change ``created``.

    ``details`` is the change's metadata; ``folder_path`` the path of the parent (empty for the root) where the
    caller knows it. A node made ``trashed`` keeps bytes for a later restore and changes nobody's tree: it gets no
    change of its own.
    """
    node_id = id or random_id("fld" if type == "folder" else "fil")
    number = tx.bump(share.feed, "number:node")
    trashed_us = tx.now_us if trashed else None
    node = Node(
        node_id, number, type, parent, name.text, name.key, version, 0, trashed_us,
        actor.user_id if trashed else None, tx.now_us, tx.now_us, tx.now_us,
    )  # fmt: skip
    if not trashed:
        path = path_of(tx, share.feed, node) if folder_path is None else f"{folder_path}/{name.text}"
        position = write_change(tx, share, actor, node, "created", Paths(None, path), details)
        node = node._replace(position=position)
    tx.run(INSERT, share.feed, *node)
    return node


def put_version(
    tx: Transaction, share: Share, actor: Actor, node: Node, version: str, details: Mapping[str, Any],
    *, path: str | None = None,
) -> Node:  # fmt: skip
    """Make a version the current one of a file, and its change ``updated``; at ``path``, where the caller knows it."""
    path = path_of(tx, share.feed, node) if path is None else path
    changed = node._replace(version=version, updated_us=tx.now_us)
    position = write_change(tx, share, actor, changed, "updated", Paths(path, path), details)
    return _keep(tx, share.feed, changed._replace(position=position))


def place(
    tx: Transaction, share: Share, actor: Actor, node: Node, parent: str, name: Name, details: Mapping[str, Any],
    *, paths: Paths | None = None,
) -> Node:  # fmt: skip
    """Give a node another name or folder: one change, ``renamed`` under the same folder, else ``moved``.

    ``paths`` is where it was and will be, where the caller knows it.
    """
    moved = node._replace(parent=parent, name=name.text, name_key=name.key, updated_us=tx.now_us, placed_us=tx.now_us)
    kind = "renamed" if parent == node.parent else "moved"
    paths = paths or Paths(path_of(tx, share.feed, node), path_of(tx, share.feed, moved))
    position = write_change(tx, share, actor, moved, kind, paths, details)
    return _keep(tx, share.feed, moved._replace(position=position))


def trash(
    tx: Transaction, share: Share, actor: Actor, node: Node, details: Mapping[str, Any], *, path: str | None = None
) -> Node:
    """Put a node, and with it all that is below, into the trash: one change ``deleted``."""
    path = path_of(tx, share.feed, node) if path is None else path
    gone = node._replace(trashed_us=tx.now_us, trashed_by=actor.user_id)
    position = write_change(tx, share, actor, gone, "deleted", Paths(path, None), details)
    return _keep(tx, share.feed, gone._replace(position=position))


def restore(
    tx: Transaction, share: Share, actor: Actor, node: Node, parent: str, name: Name, details: Mapping[str, Any],
    *, path: str | None = None,
) -> Node:  # fmt: skip
    """Take a node out of the trash, under its id, to this place: one change ``created``."""
    back = node._replace(
        parent=parent, name=name.text, name_key=name.key, trashed_us=None, trashed_by=None, updated_us=tx.now_us,
        placed_us=tx.now_us,
    )  # fmt: skip
    path = path_of(tx, share.feed, back) if path is None else path
    position = write_change(tx, share, actor, back, "created", Paths(None, path), details)
    return _keep(tx, share.feed, back._replace(position=position))


def announce(tx: Transaction, share: Share, actor: Actor, node: Node, path: str, details: Mapping[str, Any]) -> Node:
    """Tell of a live node at its path as ``created``: it is there again because its folder was restored."""
    position = write_change(tx, share, actor, node, "created", Paths(None, path), details)
    return _keep(tx, share.feed, node._replace(position=position))


def write_change(
    tx: Transaction,
    share: Share,
    actor: Actor,
    node: Node,
    change_type: str,
    paths: Paths,
    details: Mapping[str, Any],
) -> int:
    """Append a change about a node; its position. Source: files contract, "Change object"."""
    position = changes.next_position(tx, share.feed)
    content = change(share, actor, node, change_type, paths, details) | {
        "id": f"chg_{share.feed}_{position}",
        "changed_at": format_seconds(tx.now_us),
        "position": position,
    }
    deleted = int(change_type == "deleted")
    changes.append(tx, share.feed, (position, node.type, node.id, 0, deleted, tx.now_us, encode(content)))
    return position


def change(
    share: Share, actor: Actor, node: Node, change_type: str, paths: Paths, details: Mapping[str, Any]
) -> dict[str, Any]:
    """A change as it goes out; ``metadata`` also says the folder, and the device, by which echoes are known."""
    return {
        "id": "",
        "tenant_id": share.organisation,
        "share_id": share.id,
        "resource_type": node.type,
        "resource_id": node.id,
        "change_type": change_type,
        "changed_by": actor.user_id,
        "changed_at": "",
        "old_path": paths.old,
        "new_path": paths.new,
        "version_id": node.version,
        "metadata": {**details, "parent_id": node.parent or None, "device_id": actor.device_id or None},
    }


def _keep(tx: Transaction, feed: int, node: Node) -> Node:
    tx.run(
        "UPDATE nodes SET parent = ?, name = ?, name_key = ?, version = ?, position = ?, trashed_us = ?,"
        " trashed_by = ?, updated_us = ?, placed_us = ? WHERE feed = ? AND id = ?",
        node.parent, node.name, node.name_key, node.version, node.position, node.trashed_us, node.trashed_by,
        node.updated_us, node.placed_us, feed, node.id,
    )  # fmt: skip
    return node

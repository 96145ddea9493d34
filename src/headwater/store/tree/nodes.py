"""Files and folders as rows, found by id, name, folder or age.

A node points to its folder by id, so that renaming, moving or trashing a folder touches one row, whatever is
below it. ``writer`` writes nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.store.database import Transaction

_COLUMNS = (
    "id, number, type, parent, name, name_key, version, position, trashed_us, trashed_by, created_us, updated_us,"
    " placed_us"
)
INSERT = f"INSERT INTO nodes (feed, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
"""Writes one node: its feed, then the fields of ``Node``."""

ROOT = ""
"""The parent of the nodes at the top of a share."""

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

# name_key >= '' (always true) and CROSS JOIN make SQLite read the children of each folder from nodes_by_name, and not
# scan all nodes for each.
COUNT_FILES = (
    "WITH RECURSIVE live (id) AS (SELECT id FROM nodes WHERE feed = ? AND parent = '' AND name_key >= ''"
    " AND trashed_us IS NULL AND type = 'folder' UNION ALL SELECT n.id FROM live CROSS JOIN nodes n WHERE n.feed = ?"
    " AND n.parent = live.id AND n.name_key >= '' AND n.trashed_us IS NULL AND n.type = 'folder')"
    " SELECT count(*) FROM nodes n WHERE n.feed = ? AND n.type = 'file' AND n.trashed_us IS NULL"
    " AND (n.parent = '' OR n.parent IN (SELECT id FROM live))"
)
"""Counts live files; nodes below a folder in the trash are not read. Parameters: the feed, three times."""


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
    """The share that a change belongs to."""

    feed: int
    id: str
    organisation: str


class Actor(NamedTuple):
    """The user who changes something, and the device (empty when there is none)."""

    user_id: str
    device_id: str = ""


class Paths(NamedTuple):
    """The path of a node before and after a change: ``old`` is null for a new node, ``new`` for a removed one."""

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
    """All nodes that have this name in a folder or had it when they were deleted: the live one, then the latest.

    A folder that is itself in the trash may hold live nodes and others that were deleted before it.
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
    """The number of live files of a share; takes time in proportion to its tree."""
    return int(tx.value(COUNT_FILES, feed, feed, feed) or 0)


def ancestors(tx: Transaction, feed: int, node: Node, limit: int = MAX_DEPTH) -> list[Node]:
    """The folders above a node, the nearest first; at most so many."""
    if node.parent == ROOT:
        return []
    return [Node(*row[1:]) for row in tx.rows(_ANCESTORS, feed, node.parent, feed, limit)]


def path_of(tx: Transaction, feed: int, node: Node) -> str:
    """The path of a node, ``/a/b.txt``; for a node in the trash the path that it had."""
    names = [node.name, *(above.name for above in ancestors(tx, feed, node))]
    return "/" + "/".join(reversed(names))


def is_live(tx: Transaction, feed: int, node: Node) -> bool:
    """True when neither the node nor a folder above it is in the trash."""
    return node.trashed_us is None and all(above.trashed_us is None for above in ancestors(tx, feed, node))

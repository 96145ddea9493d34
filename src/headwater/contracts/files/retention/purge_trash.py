"""Removes files and folders for good that were in the trash for the time that the operator set; never live ones.

A file or folder is removed when it was in the trash for that time, itself or with a folder above it, and when
- the log is compacted beyond its deletion: no device can still read of it;
- none of its versions is younger than that, and no conflict about it waits for a person or was settled since;
- for a file: no conflict that waits, be it about another file, has one of its versions as a side;
- for a folder: nothing is left in it, and no conflict of the share waits, for its answer may need the folder.

What a person empties by an explicit call does not wait for the log: the deletion is known to every device, and what
compaction leaves of it is forgotten later (``forget_emptied``). Only what an open conflict needs stays.

One step finds candidates; the next decides on each anew and removes it in one short transaction. A file's versions are
listed for removal and follow in steps of their own, so that the next purge continues one that was cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.base.settings.table import FileSettings
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import ROOT, Node

NODES_AT_ONCE = 200
ROWS_AT_ONCE = 2000
"""Rows of versions that one transaction removes."""

_SHARES = "SELECT feed FROM shares WHERE deleted_us IS NULL AND feed > ? ORDER BY feed LIMIT 1"
_BELOW = (
    "SELECT id, type, name_key FROM nodes WHERE feed = ? AND parent = ? AND trashed_us IS {0} NULL"
    " AND (name_key, id) > (?, ?) ORDER BY name_key, id LIMIT ?"
)
_LIVE_BELOW, _TRASHED_BELOW = _BELOW.format(""), _BELOW.format("NOT")
_YOUNGEST = "SELECT max(created_us) FROM versions WHERE feed = ? AND node = ?"
_CONFLICT = (
    "SELECT 1 FROM file_conflicts WHERE feed = ? AND resource_id = ?"
    " AND (resolution IS NULL OR resolved_us > ?) LIMIT 1"
)
_WAITING = "SELECT 1 FROM file_conflicts WHERE feed = ? AND resolution IS NULL LIMIT 1"
_SIDES = (
    "SELECT v.node FROM file_conflicts c JOIN versions v ON v.feed = c.feed AND v.id = c.{0}"
    " WHERE c.feed = ? AND c.resolution IS NULL AND v.node IS NOT NULL"
)
_AT_STAKE = f"{_SIDES.format('local_version_id')} UNION {_SIDES.format('server_version_id')}"
_FORGET_CHANGE = (
    "DELETE FROM changes WHERE feed = ? AND position IN"
    " (SELECT position FROM compacted WHERE feed = ? AND kind = ? AND id = ?)"
)
_FORGET_LEFT = "DELETE FROM compacted WHERE feed = ? AND kind = ? AND id = ?"
# A file that exists keeps its versions, whatever the list contains.
_FILES = (
    "SELECT p.node FROM purged_files p WHERE p.feed = ? AND NOT EXISTS"
    " (SELECT 1 FROM nodes n WHERE n.feed = p.feed AND n.id = p.node) ORDER BY p.node LIMIT ?"
)
_NOTE_EMPTIED = (
    "INSERT INTO emptied_nodes (feed, kind, node, position) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (feed, kind, node) DO UPDATE SET position = excluded.position"
)
_EMPTIED = "SELECT kind, node FROM emptied_nodes WHERE feed = ? AND position <= ? ORDER BY kind, node LIMIT ?"
_EMPTIED_FEEDS = "SELECT feed FROM emptied_nodes WHERE feed > ? ORDER BY feed LIMIT 1"
_WAITING_FILES = "SELECT feed FROM purged_files WHERE feed > ? ORDER BY feed LIMIT 1"
_NO_LIMIT = 1 << 62
_VERSIONS = "SELECT id, size_bytes FROM versions WHERE feed = ? AND node = ? ORDER BY number LIMIT ?"
_DROP_CHUNKS = (
    "DELETE FROM version_chunks WHERE feed = ? AND version = ? AND place IN"
    " (SELECT place FROM version_chunks WHERE feed = ? AND version = ? ORDER BY place LIMIT ?)"
)


def purge_trash(database: Database, settings: FileSettings, breathe: Callable[[], None] = lambda: None) -> int:
    """Removes files and folders whose time in the trash is over; returns their number. A server may run meanwhile.

    ``breathe`` is called between two steps: it may wait, and by raising it ends the purge.
    """
    removed = 0
    for feed, before_us, page in _due(database, settings):
        removed += database.write_now(partial(remove, feed=feed, before_us=before_us, ids=page), feed=feed)
        breathe()
    for feed in _feeds(database, _WAITING_FILES):
        while database.write_now(partial(drop_versions, feed=feed), feed=feed).more:
            breathe()
    for feed in _feeds(database, _EMPTIED_FEEDS):
        while database.write_now(partial(forget_emptied, feed=feed), feed=feed):
            breathe()
    return removed


def plan_trash(database: Database, settings: FileSettings) -> TrashPlan:
    """The plan of a ``purge_trash`` that would run now; changes nothing."""
    nodes_count, files = 0, set[tuple[int, str]]()
    absent: dict[int, set[str]] = {}
    for feed, before_us, page in _due(database, settings):
        removed = absent.setdefault(feed, set())
        found = database.read_now(partial(removable, feed=feed, before_us=before_us, ids=page, absent=removed))
        removed.update(node.id for node, _ in found)
        nodes_count += len(found)
        files.update((feed, node.id) for node, _ in found if node.type == "file")
    for feed in _feeds(database, _WAITING_FILES):
        files.update((feed, node) for node in database.read_now(partial(_waiting_files, feed=feed, limit=_NO_LIMIT)))
    return TrashPlan(nodes_count, frozenset(files))


def remove(tx: Transaction, feed: int, before_us: int, ids: Sequence[str], *, explicit: bool = False) -> int:
    """Removes those of these files and folders that may be removed now; returns their number."""
    floor = feeds.floor(tx, feed)
    found = removable(tx, feed, before_us, ids, explicit=explicit)
    tx.frees_room()
    for node, position in found:
        tx.run("DELETE FROM nodes WHERE feed = ? AND id = ?", feed, node.id)
        if position <= floor:
            _forget(tx, feed, node.type, node.id)
        else:
            tx.run(_NOTE_EMPTIED, feed, node.type, node.id, position)
        if node.type == "file":
            tx.run("INSERT INTO purged_files (feed, node) VALUES (?, ?)", feed, node.id)
    return len(found)


def removable(
    tx: Transaction,
    feed: int,
    before_us: int,
    ids: Sequence[str],
    absent: AbstractSet[str] = frozenset(),
    *,
    explicit: bool = False,
) -> list[Removable]:
    """Those of these files and folders that may be removed now, in order; ``absent`` counts as removed before.

    ``explicit``: a person asked for it, so the log need not be compacted beyond the deletion.
    """
    trash = _TrashJudge(tx, feed, before_us, absent, explicit=explicit)
    found: list[Removable] = []
    for id in ids:
        node = None if id in trash.absent else nodes.find(tx, feed, id)
        if node is not None and trash.may_lose(node):
            found.append(Removable(node, trash.position(node)))
            trash.absent.add(id)
    return found


def forget_emptied(tx: Transaction, feed: int) -> int:
    """Drops what compaction left of some nodes that were emptied, now that no device reads it; returns their number."""
    rows = tx.rows(_EMPTIED, feed, feeds.floor(tx, feed), NODES_AT_ONCE)
    tx.frees_room()
    for kind, node in rows:
        _forget(tx, feed, kind, node)
        tx.run("DELETE FROM emptied_nodes WHERE feed = ? AND kind = ? AND node = ?", feed, kind, node)
    return len(rows)


def _forget(tx: Transaction, feed: int, kind: str, node: str) -> None:
    """Drops the change of a removed node that compaction left, if it left one."""
    tx.run(_FORGET_CHANGE, feed, feed, kind, node)
    tx.run(_FORGET_LEFT, feed, kind, node)


def drop_versions(tx: Transaction, feed: int) -> Dropped:
    """Removes some versions of files that were removed, and their marks on content."""
    left, freed_bytes = ROWS_AT_ONCE, 0
    tx.frees_room()
    files = _waiting_files(tx, feed, left)
    for node in files:
        for id, size_bytes in tx.rows(_VERSIONS, feed, node, left):
            left -= tx.run(_DROP_CHUNKS, feed, id, feed, id, left) + 1
            if left <= 0:
                break
            tx.run("DELETE FROM versions WHERE feed = ? AND id = ?", feed, id)
            freed_bytes += size_bytes
        if left <= 0:
            break
        tx.run("DELETE FROM purged_files WHERE feed = ? AND node = ?", feed, node)
        tx.run("DELETE FROM pruned_versions WHERE feed = ? AND node = ? AND chunks_left = 0", feed, node)
        left -= 1
    if freed_bytes:
        tx.bump(feed, versions.BYTES, -freed_bytes)
    return Dropped(bool(files), freed_bytes)


def _waiting_files(tx: Transaction, feed: int, limit: int) -> list[str]:
    """The files that were removed and whose versions are left."""
    return [row[0] for row in tx.rows(_FILES, feed, limit)]


class Removable(NamedTuple):
    """A file or folder that may be removed, and the position of the last change of it or of a deletion above it."""

    node: Node
    position: int


class Dropped(NamedTuple):
    """The bytes of the versions that one step removed; ``more``: another step may find more of them."""

    more: bool
    freed_bytes: int


class TrashPlan(NamedTuple):
    """The plan of a purge: the number of files and folders, and the files whose versions would be removed with them.

    ``files`` are pairs of feed and node, those included that an earlier purge removed and whose versions are left.
    """

    nodes: int
    files: frozenset[tuple[int, str]]


class _Deletion(NamedTuple):
    """The latest time and position at which a folder, or one above it, was moved to the trash."""

    trashed_us: int
    position: int


_LIVING = _Deletion(0, 0)


class _TrashJudge:
    """Decides in one transaction which files and folders may be removed for good."""

    def __init__(
        self, tx: Transaction, feed: int, before_us: int, absent: AbstractSet[str], *, explicit: bool = False
    ) -> None:
        self._explicit = explicit
        self.absent = set(absent)
        """The ids that count as removed already: a folder may follow its content."""
        self._tx = tx
        self._feed = feed
        self._before_us = before_us
        self._floor = feeds.floor(tx, feed)
        self._conflict_waits = tx.value(_WAITING, feed) is not None
        sides = tx.rows(_AT_STAKE, feed, feed) if self._conflict_waits else []
        self._at_stake: frozenset[str] = frozenset(row[0] for row in sides)
        self._folders: dict[str, _Deletion] = {ROOT: _LIVING}

    def may_lose(self, node: Node) -> bool:
        """True for a node that was in the trash long enough, and that no device or conflict can need."""
        tx, feed = self._tx, self._feed
        deletion = _below(self._deletion(node.parent), node)
        if not 0 < deletion.trashed_us <= self._before_us:
            return False
        if not self._explicit and max(deletion.position, node.position) > self._floor:
            return False
        settled_us = _NO_LIMIT if self._explicit else self._before_us
        if node.id in self._at_stake or tx.value(_CONFLICT, feed, node.id, settled_us):
            return False
        if node.type == "folder":
            return not self._conflict_waits and all(child in self.absent for child in _all_children(tx, feed, node.id))
        return self._explicit or int(tx.value(_YOUNGEST, feed, node.id) or 0) <= self._before_us

    def position(self, node: Node) -> int:
        """The position of the last change of a node, or of a deletion above it."""
        return max(self._deletion(node.parent).position, node.position)

    def _deletion(self, folder_id: str) -> _Deletion:
        """The deletion of a folder, read once; a folder without a parent row counts as live."""
        climbed: list[Node] = []
        while folder_id not in self._folders and len(climbed) <= nodes.MAX_DEPTH:
            node = nodes.find(self._tx, self._feed, folder_id)
            if node is None:
                break
            climbed.append(node)
            folder_id = node.parent
        found = self._folders.get(folder_id)
        if found is None:
            return _LIVING
        for node in reversed(climbed):
            found = self._folders[node.id] = _below(found, node)
        return found


def _below(above: _Deletion, node: Node) -> _Deletion:
    if node.trashed_us is None:
        return above
    return _Deletion(max(above.trashed_us, node.trashed_us), max(above.position, node.position))


def candidates(database: Database, feed: int, before_us: int, floor: int) -> Iterator[str]:
    """The candidates: each node in the trash after all nodes below it, read a page at a time.

    Those that were deleted after ``before_us``, or beyond the position ``floor``, are left out.
    """
    after_us, after_id = 0, ""
    while page := database.read_now(
        partial(nodes.trashed, feed=feed, after_us=after_us, after_id=after_id, limit=NODES_AT_ONCE)
    ):
        for node in page:
            if node.trashed_us is None or node.trashed_us > before_us:
                return
            if node.position > floor:
                continue
            if node.type == "folder":
                yield from all_below(database, feed, node.id)
            yield node.id
        after_us, after_id = page[-1].trashed_us or 0, page[-1].id


def all_below(database: Database, feed: int, folder_id: str) -> Iterator[str]:
    """All nodes below a folder, each folder after its content."""
    waiting = [(folder_id, _walk(database, feed, folder_id))]
    while waiting:
        child = next(waiting[-1][1], None)
        if child is None:
            done, _ = waiting.pop()
            if waiting:
                yield done
        elif child[1] == "folder":
            waiting.append((child[0], _walk(database, feed, child[0])))
        else:
            yield child[0]


def _walk(database: Database, feed: int, folder_id: str) -> Iterator[tuple[str, str]]:
    """The ids and types of the nodes in a folder, in the trash or not."""
    for sql in (_LIVE_BELOW, _TRASHED_BELOW):
        after = ("", "")
        while page := database.read_now(
            partial(_children, feed=feed, folder_id=folder_id, sql=sql, after=after, limit=NODES_AT_ONCE)
        ):
            yield from ((id, type) for id, type, _ in page)
            after = (page[-1][2], page[-1][0])


def _all_children(tx: Transaction, feed: int, folder_id: str) -> Iterator[str]:
    """The ids of the nodes in a folder, in the trash or not, read in one transaction."""
    for sql in (_LIVE_BELOW, _TRASHED_BELOW):
        after = ("", "")
        while page := _children(tx, feed, folder_id, sql, after, NODES_AT_ONCE):
            yield from (id for id, _, _ in page)
            after = (page[-1][2], page[-1][0])


def _children(
    tx: Transaction, feed: int, folder_id: str, sql: str, after: tuple[str, str], limit: int
) -> list[tuple[str, str, str]]:
    return [(row[0], row[1], row[2]) for row in tx.rows(sql, feed, folder_id, *after, limit)]


def pages(ids: Iterator[str]) -> Iterator[list[str]]:
    """The ids in lists of bounded length."""
    page: list[str] = []
    for id in ids:
        page.append(id)
        if len(page) == NODES_AT_ONCE:
            yield page
            page = []
    if page:
        yield page


def _due(database: Database, settings: FileSettings) -> Iterator[tuple[int, int, list[str]]]:
    """The candidates of each live share, page by page, with its feed and the time before which they were trashed."""
    if not settings.keep_trash_seconds:
        return
    before_us = database.read_now(lambda tx: tx.now_us) - settings.keep_trash_seconds * SECOND_US
    for feed in _feeds(database, _SHARES):
        floor = database.read_now(partial(feeds.floor, feed=feed))
        for page in pages(candidates(database, feed, before_us, floor)):
            yield feed, before_us, page


def _feeds(database: Database, sql: str) -> Iterator[int]:
    """The feeds that a statement finds, in order, read one at a time."""
    feed = database.read_now(partial(_next, sql=sql, after=0))
    while feed is not None:
        yield feed
        feed = database.read_now(partial(_next, sql=sql, after=feed))


def _next(tx: Transaction, sql: str, after: int) -> int | None:
    found: int | None = tx.value(sql, after)
    return found

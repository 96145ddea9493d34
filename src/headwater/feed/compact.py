"""Compacts the old part of the log, and raises each feed's floor, below which cursors have expired.

A feed without history loses its old tombstones, and the rows of their records. A feed with history retains, in its
old part, the newest change of each resource, and no tombstones. A change is old after the longest retention, or
after the shortest retention when every active device of the feed has read it. A change that a wrong clock dated in the
future counts as old as the next change that is not, so that it delays no other. Compaction proceeds in slices from the
oldest change on, each in a short transaction, so that an interruption loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import NamedTuple

from headwater.store.database import Database, Row, Transaction
from headwater.store.log import changes, feeds
from headwater.store.log.feeds import Feed

SLICE_CHANGES = 500
"""Changes that one transaction reads; it delays the feed's other writers for some milliseconds."""

FEEDS_AT_ONCE = 200

_DONE = "compacted"
_TOMBSTONES = "SELECT position, at_us, kind, id FROM changes WHERE feed = ? AND deleted = 1 ORDER BY position LIMIT ?"
_HISTORY = (
    "SELECT position, at_us, kind, id, deleted FROM changes WHERE feed = ? AND position > ? ORDER BY position LIMIT ?"
)
_NEXT_TIME = "SELECT at_us FROM changes WHERE feed = ? AND position > ? AND at_us <= ? ORDER BY position LIMIT 1"
_DEVICES = (
    "SELECT min(p.position) FROM device_positions p JOIN devices d ON d.id = p.device"
    " WHERE p.feed = ? AND d.is_active = 1"
)
_DELETE_RECORD = "DELETE FROM records WHERE feed = ? AND kind = ? AND id = ? AND position = ? AND deleted = 1"
_SURVIVORS = "SELECT id, position FROM compacted WHERE feed = ? AND kind = ? AND id"
_SAVE_SURVIVOR = (
    "INSERT INTO compacted (feed, kind, id, position) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (feed, kind, id) DO UPDATE SET position = excluded.position"
)
_DELETE_SURVIVOR = "DELETE FROM compacted WHERE feed = ? AND kind = ? AND id = ?"


class Retention(NamedTuple):
    """The longest retention of a change, and the shortest, for changes that every active device has. Microseconds."""

    longest_us: int
    shortest_us: int


class Slice(NamedTuple):
    """The result of one transaction: the number of dropped changes, and ``more`` when another slice may follow."""

    dropped: int
    more: bool


def compact(database: Database, retention: Retention) -> int:
    """Compacts every feed completely; returns the number of dropped changes. It may run long: call it on a thread."""
    total = 0
    after: int | None = 0
    while after is not None:
        after, due = database.read_now(_page_of_due(retention, after))
        for feed in due:
            more = True
            while more:
                dropped, more = database.write_now(_slice_of(feed, retention), feed=feed.feed)
                total += dropped
    return total


def compact_slice(tx: Transaction, feed: Feed, retention: Retention) -> Slice:
    """Compacts the next slice of a feed, and raises its floor to the highest dropped position."""
    old = list(takewhile(_is_old(tx, feed, retention), _next(tx, feed, SLICE_CHANGES)))
    if not old:
        return Slice(0, more=False)
    dropped = _drop_history(tx, feed, old) if feed.history else _drop_tombstones(tx, feed, old)
    if dropped:
        changes.forget(tx, feed.feed, dropped)
        feeds.raise_floor(tx, feed.feed, max(dropped))
        if feed.history:
            # Devices that listen and are below the new floor must list.
            tx.notify(feed.feed)
    return Slice(len(dropped), more=len(old) == SLICE_CHANGES)


def is_due(tx: Transaction, feed: Feed, retention: Retention) -> bool:
    """True when the next slice of a feed would contain old changes."""
    return any(map(_is_old(tx, feed, retention), _next(tx, feed, 1)))


def _slice_of(feed: Feed, retention: Retention) -> Callable[[Transaction], Slice]:
    def transaction(tx: Transaction) -> Slice:
        tx.frees_room()
        return compact_slice(tx, feed, retention)

    return transaction


def _page_of_due(retention: Retention, after: int) -> Callable[[Transaction], tuple[int | None, list[Feed]]]:
    def transaction(tx: Transaction) -> tuple[int | None, list[Feed]]:
        page = feeds.page(tx, after, FEEDS_AT_ONCE)
        last = page[-1].feed if len(page) == FEEDS_AT_ONCE else None
        return last, [feed for feed in page if is_due(tx, feed, retention)]

    return transaction


def _next(tx: Transaction, feed: Feed, limit: int) -> list[Row]:
    """Returns the oldest rows that compaction may drop: ``(position, at_us, kind, id, …)``."""
    if feed.history:
        return _dated(tx, feed, tx.rows(_HISTORY, feed.feed, tx.counter(feed.feed, _DONE), limit))
    return _dated(tx, feed, tx.rows(_TOMBSTONES, feed.feed, limit))


def _dated(tx: Transaction, feed: Feed, rows: list[Row]) -> list[Row]:
    """Returns the rows with the times of those in the future replaced by that of the next change that is not."""
    if all(row[1] <= tx.now_us for row in rows):
        return rows
    found: list[Row] = []
    next_us: int | None = None
    for row in reversed(rows):
        at_us: int = row[1]
        if at_us > tx.now_us:
            if next_us is None:
                next_us = tx.value(_NEXT_TIME, feed.feed, row[0], tx.now_us) or tx.now_us
            at_us = next_us
        next_us = at_us
        found.append((row[0], at_us, *row[2:]))
    return found[::-1]


def _is_old(tx: Transaction, feed: Feed, retention: Retention) -> Callable[[Row], bool]:
    read_by_all: int = tx.value(_DEVICES, feed.feed) or 0
    longest_us, shortest_us = tx.now_us - retention.longest_us, tx.now_us - retention.shortest_us

    def is_old(row: Row) -> bool:
        position, at_us = row[0], row[1]
        return bool(at_us < longest_us or (position <= read_by_all and at_us < shortest_us))

    return is_old


def _drop_tombstones(tx: Transaction, feed: Feed, tombstones: Iterable[Row]) -> list[int]:
    """Deletes the rows of these tombstones' records, except of records that exist again; returns the positions."""
    dropped = [row[0] for row in tombstones]
    tx.run_many(_DELETE_RECORD, [(feed.feed, row[2], row[3], row[0]) for row in tombstones])
    return dropped


def _drop_history(tx: Transaction, feed: Feed, old: list[Row]) -> list[int]:
    """Returns the positions to drop: all but the newest change of each resource, and every change of a deleted one."""
    dropped: list[int] = []
    newest: dict[tuple[str, str], Row] = {}
    for row in old:
        earlier = newest.get((row[2], row[3]))
        if earlier is not None:
            dropped.append(earlier[0])
        newest[row[2], row[3]] = row
    for kind in {kind for kind, _ in newest}:
        ids = [id for its_kind, id in newest if its_kind == kind]
        dropped += [row[1] for row in tx.rows_in(_SURVIVORS, ids, feed.feed, kind)]
    dead = [row for row in newest.values() if row[4]]
    dropped += [row[0] for row in dead]
    tx.run_many(_SAVE_SURVIVOR, [(feed.feed, row[2], row[3], row[0]) for row in newest.values() if not row[4]])
    tx.run_many(_DELETE_SURVIVOR, [(feed.feed, row[2], row[3]) for row in dead])
    tx.bump(feed.feed, _DONE, old[-1][0] - tx.counter(feed.feed, _DONE))
    return dropped

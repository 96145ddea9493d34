"""Forgets the old part of the log, and raises each feed's floor: cursors below it have expired.

A feed that keeps the freshest loses its old tombstones, and with them the rows of those records. A feed with
history keeps one change of each resource in its old part, and no tombstone. What is old: everything past its
retention; and sooner, after the shortest retention, what every active device of the feed has. It is done in
slices, each a short transaction, always from the oldest change on, so that a break in between costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import NamedTuple

from headwater.store.database import Database, Row, Transaction
from headwater.store.log import changes, feeds
from headwater.store.log.feeds import Feed

SLICE_CHANGES = 500
"""Changes that one transaction looks at; it holds up the feed's other writers for some milliseconds."""

FEEDS_AT_ONCE = 200

_DONE = "compacted"
_TOMBSTONES = "SELECT position, at_us, kind, id FROM changes WHERE feed = ? AND deleted = 1 ORDER BY position LIMIT ?"
_HISTORY = (
    "SELECT position, at_us, kind, id, deleted FROM changes WHERE feed = ? AND position > ? ORDER BY position LIMIT ?"
)
_DEVICES = (
    "SELECT min(p.position) FROM device_positions p JOIN devices d ON d.id = p.device"
    " WHERE p.feed = ? AND d.is_active = 1"
)
_BURIED = "DELETE FROM records WHERE feed = ? AND kind = ? AND id = ? AND position = ? AND deleted = 1"
_LEFT = "SELECT id, position FROM compacted WHERE feed = ? AND kind = ? AND id"
_LEAVE = (
    "INSERT INTO compacted (feed, kind, id, position) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (feed, kind, id) DO UPDATE SET position = excluded.position"
)
_LEAVE_NOTHING = "DELETE FROM compacted WHERE feed = ? AND kind = ? AND id = ?"


class Retention(NamedTuple):
    """How long changes are kept: at the longest, and at least where every active device has them. Microseconds."""

    longest_us: int
    shortest_us: int


class Slice(NamedTuple):
    """What one transaction did; ``more`` when the next one has work as well."""

    dropped: int
    more: bool


def compact(database: Database, retention: Retention) -> int:
    """Compact every feed as far as it goes; how many changes were dropped. It takes its time: call it on a thread."""
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
    """Compact the next slice of a feed, and raise its floor to the highest position that was dropped."""
    old = list(takewhile(_is_old(tx, feed, retention), _next(tx, feed, SLICE_CHANGES)))
    if not old:
        return Slice(0, more=False)
    dropped = _thin_out(tx, feed, old) if feed.history else _bury_for_good(tx, feed, old)
    if dropped:
        changes.forget(tx, feed.feed, dropped)
        feeds.raise_floor(tx, feed.feed, max(dropped))
    return Slice(len(dropped), more=len(old) == SLICE_CHANGES)


def is_due(tx: Transaction, feed: Feed, retention: Retention) -> bool:
    """True when a slice of this feed would find work."""
    return any(map(_is_old(tx, feed, retention), _next(tx, feed, 1)))


def _slice_of(feed: Feed, retention: Retention) -> Callable[[Transaction], Slice]:
    return lambda tx: compact_slice(tx, feed, retention)


def _page_of_due(retention: Retention, after: int) -> Callable[[Transaction], tuple[int | None, list[Feed]]]:
    def transaction(tx: Transaction) -> tuple[int | None, list[Feed]]:
        page = feeds.page(tx, after, FEEDS_AT_ONCE)
        last = page[-1].feed if len(page) == FEEDS_AT_ONCE else None
        return last, [feed for feed in page if is_due(tx, feed, retention)]

    return transaction


def _next(tx: Transaction, feed: Feed, limit: int) -> list[Row]:
    """The oldest rows that may have to go: ``(position, at_us, kind, id, …)``."""
    if feed.history:
        return tx.rows(_HISTORY, feed.feed, tx.counter(feed.feed, _DONE), limit)
    return tx.rows(_TOMBSTONES, feed.feed, limit)


def _is_old(tx: Transaction, feed: Feed, retention: Retention) -> Callable[[Row], bool]:
    everybody_has: int = tx.value(_DEVICES, feed.feed) or 0
    longest_us, shortest_us = tx.now_us - retention.longest_us, tx.now_us - retention.shortest_us

    def is_old(row: Row) -> bool:
        position, at_us = row[0], row[1]
        return bool(at_us < longest_us or (position <= everybody_has and at_us < shortest_us))

    return is_old


def _bury_for_good(tx: Transaction, feed: Feed, tombstones: Iterable[Row]) -> list[int]:
    """Drop tombstones and the rows of their records, except of a record that was made again; their positions."""
    dropped = [row[0] for row in tombstones]
    tx.run_many(_BURIED, [(feed.feed, row[2], row[3], row[0]) for row in tombstones])
    return dropped


def _thin_out(tx: Transaction, feed: Feed, old: list[Row]) -> list[int]:
    """Leave the newest change of each resource, and none of a deleted one; the positions to drop."""
    dropped: list[int] = []
    newest: dict[tuple[str, str], Row] = {}
    for row in old:
        earlier = newest.get((row[2], row[3]))
        if earlier is not None:
            dropped.append(earlier[0])
        newest[row[2], row[3]] = row
    for kind in {kind for kind, _ in newest}:
        ids = [id for its_kind, id in newest if its_kind == kind]
        dropped += [row[1] for row in tx.rows_in(_LEFT, ids, feed.feed, kind)]
    dead = [row for row in newest.values() if row[4]]
    dropped += [row[0] for row in dead]
    tx.run_many(_LEAVE, [(feed.feed, row[2], row[3], row[0]) for row in newest.values() if not row[4]])
    tx.run_many(_LEAVE_NOTHING, [(feed.feed, row[2], row[3]) for row in dead])
    tx.bump(feed.feed, _DONE, old[-1][0] - tx.counter(feed.feed, _DONE))
    return dropped

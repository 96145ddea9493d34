"""Appends changes to the log and reads ranges of it. Only this module assigns positions, in commit order.

Shape of a change's wire bytes: ``{"position","kind","id","revision","op":"put|delete","at","body"}``; they are
encoded once, here, and copied into every answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.base.wire import encode, format_seconds
from headwater.store.database import Transaction

INSERT = "INSERT INTO changes (feed, position, kind, id, number, deleted, at_us, wire) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_BODY = b',"body":'
_PAGE = (
    "SELECT position, wire FROM changes WHERE feed = ? AND position > ? AND position <= ?{} ORDER BY position LIMIT ?"
)


class ChangePage(NamedTuple):
    """A range of changes: their number, the position of the last, and their wire bytes joined with commas."""

    size: int
    last: int
    wires: bytes


def put_wire(position: int, kind: str, id: str, revision: int, at_us: int, body: bytes) -> bytes:
    """Returns the wire bytes of a change that puts a record; ``body`` is its JSON."""
    return b'{"position":%d,"kind":"%b","id":%b,"revision":%d,"op":"put","at":"%b","body":%b}' % (
        position, kind.encode(), encode(id), revision, format_seconds(at_us).encode(), body,
    )  # fmt: skip


def delete_wire(position: int, kind: str, id: str, revision: int, at_us: int) -> bytes:
    """Returns the wire bytes of a tombstone, which has no content."""
    return b'{"position":%d,"kind":"%b","id":%b,"revision":%d,"op":"delete","at":"%b","body":null}' % (
        position, kind.encode(), encode(id), revision, format_seconds(at_us).encode(),
    )  # fmt: skip


def body_of(wire: bytes) -> bytes:
    """Returns the record's JSON from a change's wire bytes."""
    # A quote inside an id is escaped in JSON, so the first match is the real key.
    return wire[wire.index(_BODY) + len(_BODY) : -1]


def next_position(tx: Transaction, feed: int, count: int = 1) -> int:
    """Reserves ``count`` positions after the feed's head and returns the first of them.

    The counter's row stays locked until the commit, so positions become visible in their order.
    """
    assert count > 0, "a position is given once"
    return tx.bump(feed, "head", count) - count + 1


def append(tx: Transaction, feed: int, row: tuple[int, str, str, int, int, int, bytes]) -> None:
    """Writes one change ``(position, kind, id, number, deleted, at_us, wire)``."""
    assert row[0] == tx.counter(feed, "head"), "a change is written at the newest position, so that the log only grows"
    tx.put(INSERT, feed, *row)


def forget(tx: Transaction, feed: int, positions: Sequence[int]) -> None:
    """Deletes the changes at these positions, which newer changes of the same records replace."""
    tx.run_many("DELETE FROM changes WHERE feed = ? AND position = ?", [(feed, p) for p in positions])


def page(
    tx: Transaction,
    feed: int,
    after: int,
    upto: int,
    limit: int,
    *,
    live_only: bool = False,
    kinds: Sequence[str] = (),
) -> ChangePage:
    """Returns at most ``limit`` changes with ``after`` < position <= ``upto``; ``live_only`` leaves tombstones out."""
    where = " AND deleted = 0" if live_only else ""
    if kinds:
        where += f" AND kind IN ({','.join('?' * len(kinds))})"
    return ChangePage(*tx.joined(_PAGE.format(where), feed, after, upto, *kinds, limit))


def newest(tx: Transaction, feed: int, after: int, limit: int) -> list[bytes]:
    """The wire bytes of at most ``limit`` changes after a position, the newest first, without deletions."""
    rows = tx.rows(
        "SELECT wire FROM changes WHERE feed = ? AND position > ? AND deleted = 0 ORDER BY position DESC LIMIT ?",
        feed, after, limit,
    )  # fmt: skip
    return [bytes(row[0]) for row in rows]


def live_between(tx: Transaction, feed: int, after: int, upto: int) -> int:
    """Counts the changes with ``after`` < position <= ``upto``, without tombstones."""
    count: int = tx.value(
        "SELECT count(*) FROM changes WHERE feed = ? AND position > ? AND position <= ? AND deleted = 0",
        feed, after, upto,
    )  # fmt: skip
    return count


def wire_at(tx: Transaction, feed: int, position: int) -> bytes | None:
    """Returns the wire bytes of the change at a position, or None when no change is there any more."""
    wire: bytes | None = tx.value("SELECT wire FROM changes WHERE feed = ? AND position = ?", feed, position)
    return wire

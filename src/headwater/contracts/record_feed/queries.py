"""The SQL of the record feed's conflicts, over a transaction."""

from __future__ import annotations

from typing import NamedTuple

from headwater.store.database import Transaction

_COLUMNS = (
    "id, feed, number, kind, record_id, device_id, base_revision, revision, fields, winner, created_us, resolved_us,"
    " deleted"
)


class FieldConflict(NamedTuple):
    """A conflict's row; times in microseconds UTC since 1970. ``deleted`` names the side that deleted the record."""

    id: str
    feed: int
    number: int
    kind: str
    record_id: str
    device_id: str
    base_revision: int
    revision: int
    fields: bytes
    winner: str
    created_us: int
    resolved_us: int | None
    deleted: str | None


def insert(tx: Transaction, conflict: FieldConflict) -> None:
    """Stores a conflict."""
    tx.run(f"INSERT INTO record_conflicts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *conflict)


def find(tx: Transaction, feed: int, id: str) -> FieldConflict | None:
    """A conflict of a feed, or None."""
    row = tx.row(f"SELECT {_COLUMNS} FROM record_conflicts WHERE feed = ? AND id = ?", feed, id)
    return None if row is None else FieldConflict(*row)


def page(tx: Transaction, feed: int, limit: int, offset: int, *, resolved: bool) -> tuple[list[FieldConflict], int]:
    """Conflicts newest first, with or without the resolved ones; and their number."""
    where = "feed = ?" if resolved else "feed = ? AND resolved_us IS NULL"
    total = tx.value(f"SELECT count(*) FROM record_conflicts WHERE {where}", feed)
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM record_conflicts WHERE {where} ORDER BY number DESC LIMIT ? OFFSET ?",
        feed,
        limit,
        offset,
    )
    return [FieldConflict(*row) for row in rows], total


def resolve(tx: Transaction, feed: int, id: str, winner: str) -> None:
    """Notes a conflict's resolution."""
    tx.run(
        "UPDATE record_conflicts SET winner = ?, resolved_us = ? WHERE feed = ? AND id = ?", winner, tx.now_us, feed, id
    )

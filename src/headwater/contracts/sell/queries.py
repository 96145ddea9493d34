"""The SQL of the sell contract: a device's state, and the change rows at positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pyroaring import BitMap64

from headwater.contracts.sell import recovery
from headwater.contracts.sell.acks import AckState
from headwater.store.database import Row, Transaction
from headwater.store.log import lost

SELL_TYPES = {"contact": "contact", "cached_contact": "contact", "note": "note"}
"""Sell's word for each kind of record that a device can get."""

_DENSE = 4


class LiveChange(NamedTuple):
    """A live change row without its content."""

    position: int
    sell_type: str
    number: int
    is_deletion: bool


class FullChange(NamedTuple):
    """A live change row with its content."""

    position: int
    kind: str
    number: int
    is_deletion: bool
    wire: bytes


def state_bytes(tx: Transaction, feed: int, device_id: str) -> bytes | None:
    """A device's stored state, or None when it never started."""
    found = tx.value("SELECT state FROM sell_devices WHERE feed = ? AND device_id = ?", feed, device_id)
    return None if found is None else bytes(found)


def state(tx: Transaction, feed: int, device_id: str) -> AckState:
    """A device's state, or that of a new one; after a restore, that of a device which has it before it."""
    row = tx.row("SELECT state, restored FROM sell_devices WHERE feed = ? AND device_id = ?", feed, device_id)
    if row is not None and not row[1]:
        return AckState.from_bytes(bytes(row[0]))
    sql = "SELECT state, is_exact FROM sell_lost_states WHERE feed = ? AND device_id = ? ORDER BY place"
    replaced = tx.rows(sql, feed, device_id)
    if row is None and not replaced:
        return recovery.state_of_unknown(tx, feed, _deleted_after_restore(tx, feed))
    return recovery.state_after(tx, feed, None if row is None else bytes(row[0]), replaced)


def _deleted_after_restore(tx: Transaction, feed: int) -> Iterator[tuple[str, int]]:
    """The sell type and number of each record that was made before the last restore, and deleted after it."""
    upto = lost.renewed_upto(tx, feed)
    for kind, sell_type in SELL_TYPES.items():
        sql = "SELECT number FROM records WHERE feed = ? AND kind = ? AND deleted = 1 AND born <= ? AND revision > ?"
        yield from ((sell_type, row[0]) for row in tx.rows(sql, feed, kind, upto, upto))


def keep_state(tx: Transaction, feed: int, device_id: str, state: AckState) -> None:
    """Stores a device's state, which has taken in what restores left of older ones."""
    tx.run(
        "INSERT INTO sell_devices (feed, device_id, state, updated_us, restored) VALUES (?, ?, ?, ?, 0)"
        " ON CONFLICT (feed, device_id) DO UPDATE SET state = excluded.state, updated_us = excluded.updated_us,"
        " restored = 0",
        feed,
        device_id,
        state.to_bytes(),
        tx.now_us,
    )
    tx.put("DELETE FROM sell_lost_states WHERE feed = ? AND device_id = ?", feed, device_id)


def live_in(tx: Transaction, feed: int, ranges: Iterable[tuple[int, int]]) -> Iterator[LiveChange]:
    """The live rows of sell types in closed ranges of positions, in order."""
    for lo, hi in ranges:
        rows = tx.rows(
            "SELECT position, kind, number, deleted FROM changes WHERE feed = ? AND position >= ? AND position <= ?"
            " ORDER BY position",
            feed,
            lo,
            hi,
        )
        for position, kind, number, deleted in rows:
            sell_type = SELL_TYPES.get(kind)
            if sell_type is not None:
                yield LiveChange(position, sell_type, number, bool(deleted))


def numbers(tx: Transaction, feed: int) -> dict[str, BitMap64]:
    """The numbers of each sell type of which the log holds anything: the resource, or its tombstone."""
    found: dict[str, BitMap64] = {}
    for kind, sell_type in SELL_TYPES.items():
        rows = tx.rows("SELECT number FROM changes WHERE feed = ? AND kind = ?", feed, kind)
        found.setdefault(sell_type, BitMap64()).update(row[0] for row in rows)
    return found


def buried(tx: Transaction, feed: int) -> dict[tuple[str, int], tuple[str, str]]:
    """The kind and id of each deleted record by its sell type and number."""
    return {
        (sell_type, row[1]): (kind, row[0])
        for kind, sell_type in SELL_TYPES.items()
        for row in tx.rows("SELECT id, number FROM records WHERE feed = ? AND kind = ? AND deleted = 1", feed, kind)
    }


def rows_at(tx: Transaction, feed: int, positions: Sequence[int], columns: str) -> list[Row]:
    """Columns (position first) of the rows that are still live at these ascending positions."""
    if not positions:
        return []
    lo, hi = positions[0], positions[-1]
    sql = f"SELECT position, {columns} FROM changes WHERE feed = ? AND position"
    if hi - lo < _DENSE * len(positions):
        wanted = set(positions)
        rows = tx.rows(f"{sql} >= ? AND position <= ? ORDER BY position", feed, lo, hi)
        return [row for row in rows if row[0] in wanted]
    found = (tx.row(f"{sql} = ?", feed, position) for position in positions)
    return [row for row in found if row is not None]


def changes_at(tx: Transaction, feed: int, positions: Sequence[int]) -> list[FullChange]:
    """The changes that are still live at these ascending positions."""
    rows = rows_at(tx, feed, positions, "kind, number, deleted, wire")
    return [FullChange(row[0], row[1], row[2], bool(row[3]), bytes(row[4])) for row in rows]


def note_position(tx: Transaction, organisation: str, feed: int, device_id: str, position: int) -> None:
    """Notes the position up to which a device has everything, for its lag and for compaction."""
    tx.run(
        "INSERT INTO device_positions (feed, device, position, at_us)"
        " SELECT ?, id, ?, ? FROM devices WHERE organisation = ? AND door = 'sell' AND device_id = ?"
        " ON CONFLICT (feed, device) DO UPDATE SET position = excluded.position, at_us = excluded.at_us",
        feed,
        position,
        tx.now_us,
        organisation,
        device_id,
    )

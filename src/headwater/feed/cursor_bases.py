"""The stored bases of cursors of very many feeds, and the time that each is kept.

A base belongs to one reader: its first cursor is sent to that reader alone. The base before stays until a cursor of
the new one was sent back, which proves that the reader has it, and a day longer. A base that no cursor is sent back of
expires with the log.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.feed.cursor import Place
from headwater.store.database import Transaction

DAY_US = 86_400 * SECOND_US
ROWS_AT_ONCE = 500
_MAX_UNPACKED_BYTES = 64 * 1024 * 1024


class CursorBase(NamedTuple):
    """The places of a reader at one moment; ``due`` means that its use must be noted."""

    id: str
    places: Mapping[int, Place]
    due: bool = False


def begin(places: Mapping[int, Place]) -> CursorBase:
    """Returns a new base of these places, which is not stored yet."""
    return CursorBase(secrets.token_hex(16), places)


def find(tx: Transaction, id: str) -> CursorBase | None:
    """Returns the base with this id, or None when it was removed."""
    row = tx.row("SELECT places, replaces, used_us FROM cursor_bases WHERE id = ?", id)
    if row is None:
        return None
    return CursorBase(id, unpack(bytes(row[0])), row[1] is not None or row[2] <= tx.now_us - DAY_US)


def put(tx: Transaction, organisation: str, base: CursorBase, replaces: str | None) -> None:
    """Stores a base whose cursor is about to be sent; ``replaces`` is the one that its reader has now."""
    tx.run(
        "INSERT INTO cursor_bases (id, organisation, places, replaces, used_us) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        base.id, organisation, pack(base.places), replaces, tx.now_us,
    )  # fmt: skip


def note_use(tx: Transaction, id: str) -> None:
    """Notes that a cursor of a base was sent back: its reader has it, and needs the one before no more."""
    before = tx.value("SELECT replaces FROM cursor_bases WHERE id = ?", id)
    if before is not None:
        tx.run("UPDATE cursor_bases SET superseded_us = ? WHERE id = ?", tx.now_us, before)
    tx.run("UPDATE cursor_bases SET used_us = ?, replaces = NULL, superseded_us = NULL WHERE id = ?", tx.now_us, id)


def drop_expired(tx: Transaction, keep_us: int) -> int:
    """Deletes bases that were superseded a day ago, or not used for ``keep_us``; returns their number, at most 500."""
    rows = tx.rows(
        "SELECT id FROM cursor_bases WHERE superseded_us < ? OR used_us < ? LIMIT ?",
        tx.now_us - DAY_US, tx.now_us - keep_us, ROWS_AT_ONCE,
    )  # fmt: skip
    tx.run_many("DELETE FROM cursor_bases WHERE id = ?", [(row[0],) for row in rows])
    return len(rows)


def pack(places: Mapping[int, Place]) -> bytes:
    """Returns places as bytes: all feeds, then all positions, then all snapshot heads, deflated."""
    listed = sorted(places.items())
    columns = (
        *(feed for feed, _ in listed),
        *(place.position for _, place in listed),
        *(place.snapshot_head for _, place in listed),
    )
    return zlib.compress(struct.pack(f"<{len(columns)}Q", *columns), 1)


def unpack(packed: bytes) -> dict[int, Place]:
    """Returns the places that ``pack`` packed."""
    raw = zlib.decompressobj().decompress(packed, _MAX_UNPACKED_BYTES)
    numbers = struct.unpack(f"<{len(raw) // 8}Q", raw)
    count = len(numbers) // 3
    return dict(zip(numbers[:count], map(Place, numbers[count : 2 * count], numbers[2 * count :]), strict=True))

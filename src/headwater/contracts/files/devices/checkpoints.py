"""The position of each device in each share, as it reported it, and the shares that it must list anew.

Source: files contract, "Change tracking".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.contracts.files.devices.rules import DeviceRow
from headwater.feed.cursor import Place
from headwater.store.database import Transaction
from headwater.store.log import feeds

_RELIST = "relist"
"""The counter of a share's feed that holds the position of its newest change that contains ``relist``."""

# A device at 0 is reading the tree already, and needs no frame.
_BEHIND = (
    "SELECT s.id, CASE WHEN p.position < f.floor THEN f.floor ELSE c.value END, p.position"
    " FROM shares s JOIN feeds f ON f.feed = s.feed"
    f" LEFT JOIN counters c ON c.feed = s.feed AND c.name = '{_RELIST}'"
    " LEFT JOIN device_positions p ON p.feed = s.feed AND p.device = ? AND p.position > 0"
    " WHERE (p.position < f.floor OR c.value > coalesce(p.position, 0)) AND s.id"
)


class Behind(NamedTuple):
    """A share whose log alone does not bring a device up to a position; ``known`` when its position is known."""

    share: str
    upto: int
    known: bool


class ListedUpTo(NamedTuple):
    """The positions that a device of a share must have reached, or it must list: of ``relist``, and the floor."""

    relist: int
    floor: int


class Checkpoint(NamedTuple):
    """A device's place in a share; ``at_us`` is the time of the report, in microseconds UTC since 1970."""

    position: int
    at_us: int


def find(tx: Transaction, feed: int, device: DeviceRow) -> Checkpoint | None:
    """The position of the device, or None when it never reported one."""
    row = tx.row("SELECT position, at_us FROM device_positions WHERE feed = ? AND device = ?", feed, device.id)
    return None if row is None else Checkpoint(*row)


def reported(tx: Transaction, feed: int, device: DeviceRow) -> int | None:
    """The position that the device itself reported by ``POST /cursor``, or None."""
    found: int | None = tx.value(
        "SELECT position FROM device_positions WHERE feed = ? AND device = ? AND reported = 1", feed, device.id
    )
    return found


def put(tx: Transaction, feed: int, device: DeviceRow, position: int, *, is_reported: bool = True) -> Checkpoint:
    """Notes the position of the device; a lower one is allowed."""
    tx.run(
        "INSERT INTO device_positions (feed, device, position, at_us, reported) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (feed, device) DO UPDATE SET position = excluded.position, at_us = excluded.at_us,"
        " reported = excluded.reported",
        feed, device.id, position, tx.now_us, int(is_reported),
    )  # fmt: skip
    return Checkpoint(position, tx.now_us)


def begin(tx: Transaction, feed: int, device: DeviceRow) -> Checkpoint:
    """The position of the device, created at the head when it had none."""
    return find(tx, feed, device) or put(tx, feed, device, feeds.head(tx, feed), is_reported=False)


def complete_upto(place: Place) -> int:
    """The position up to which a reader at this place holds everything: 0 while it still reads the tree."""
    return 0 if place.snapshot_head else place.position


def ask_for_listing(tx: Transaction, feed: int, position: int) -> None:
    """Notes that the change at this position is incomplete: devices before it must list the share."""
    tx.bump(feed, _RELIST, position - tx.counter(feed, _RELIST))


def listing(tx: Transaction, feed: int) -> ListedUpTo:
    """The positions of a share up to which its log alone is not enough."""
    return ListedUpTo(tx.counter(feed, _RELIST), feeds.floor(tx, feed))


def behind(tx: Transaction, device: DeviceRow, shares: Sequence[str]) -> list[Behind]:
    """The shares that a device must list: their log is compacted beyond it, or a later change requires it."""
    return [Behind(row[0], row[1], row[2] is not None) for row in tx.rows_in(_BEHIND, shares, device.id)]

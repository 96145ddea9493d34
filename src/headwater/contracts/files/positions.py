"""Where each device stands in each share, as it told us. Source: files contract, "Change tracking"."""

from __future__ import annotations

from typing import NamedTuple

from headwater.contracts.files.devices import DeviceRow
from headwater.feed.cursor import Place
from headwater.store import feeds
from headwater.store.database import Transaction


class Standing(NamedTuple):
    """A device's place in a share; ``at_us`` is when it told it, in microseconds UTC since 1970."""

    position: int
    at_us: int


def find(tx: Transaction, feed: int, device: DeviceRow) -> Standing | None:
    """Where the device stands, or None when it never told."""
    row = tx.row("SELECT position, at_us FROM device_positions WHERE feed = ? AND device = ?", feed, device.id)
    return None if row is None else Standing(*row)


def put(tx: Transaction, feed: int, device: DeviceRow, position: int) -> Standing:
    """Note where the device stands; back is allowed."""
    tx.run(
        "INSERT INTO device_positions (feed, device, position, at_us) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (feed, device) DO UPDATE SET position = excluded.position, at_us = excluded.at_us",
        feed, device.id, position, tx.now_us,
    )  # fmt: skip
    return Standing(position, tx.now_us)


def begin(tx: Transaction, feed: int, device: DeviceRow) -> Standing:
    """The device's standing, made at the head when there was none."""
    return find(tx, feed, device) or put(tx, feed, device, feeds.head(tx, feed))


def complete_upto(place: Place) -> int:
    """Up to where a reader at this place holds everything: nothing yet while it still reads the tree."""
    return 0 if place.snapshot_head else place.position

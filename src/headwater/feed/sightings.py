"""The devices that called lately, collected in memory and written together every few seconds.

A write for each call would cost a poll an fsync; a sighting that a crash loses costs a device only some seconds of
its last-seen time.
"""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.ids import random_id
from headwater.store.database import Transaction

LIMIT = 100_000
"""Devices that are collected between two writes; the sightings of more are dropped."""

# A device that a user set inactive stays so; one that an operator deactivated is active again after a later call.
_SEEN = (
    "UPDATE devices SET"
    " last_seen_us = CASE WHEN last_seen_us < ? THEN ? ELSE last_seen_us END,"
    " is_active = CASE WHEN is_active = 1 OR deactivated_us < ? OR (deactivated_us IS NULL AND door <> 'files')"
    " THEN 1 ELSE 0 END,"
    " deactivated_us = CASE WHEN deactivated_us < ? THEN NULL ELSE deactivated_us END"
    " WHERE organisation = ? AND door = ? AND device_id = ? AND user_id = ?"
)
_REGISTERED = (
    "INSERT INTO devices (organisation, door, device_id, id, user_id, device_name, platform, client_version,"
    " is_active, last_seen_us, created_us) VALUES (?, ?, ?, ?, ?, ?, '', '', 1, ?, ?)"
    " ON CONFLICT (organisation, door, device_id) DO NOTHING"
)
_POSITION = (
    "INSERT INTO device_positions (feed, device, position, at_us)"
    " SELECT ?, id, ?, ? FROM devices WHERE organisation = ? AND door = ? AND device_id = ? AND user_id = ?"
    " ON CONFLICT (feed, device) DO UPDATE SET position = excluded.position, at_us = excluded.at_us"
)


class CallingDevice(NamedTuple):
    """A device of a door, as one user's requests name it."""

    organisation: str
    door: str
    device_id: str
    user_id: str


class Sighting(NamedTuple):
    """The newest call of a device; with the feed and the position up to which it holds everything, where it says so."""

    at_us: int
    feed: int = 0
    position: int = 0


class Sightings:
    """The sightings since the last write. Used on the event loop alone."""

    def __init__(self) -> None:
        self._seen: dict[CallingDevice, Sighting] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, device: CallingDevice, sighting: Sighting) -> None:
        """Notes a call of a device; a position that an earlier call reported stays until another one replaces it."""
        earlier = self._seen.get(device)
        if earlier is None and len(self._seen) >= LIMIT:
            return
        if earlier is not None and not sighting.feed:
            sighting = sighting._replace(feed=earlier.feed, position=earlier.position)
        self._seen[device] = sighting

    def drain(self) -> dict[CallingDevice, Sighting]:
        """Returns the sightings, and forgets them."""
        seen, self._seen = self._seen, {}
        return seen


def write(tx: Transaction, seen: dict[CallingDevice, Sighting]) -> None:
    """Writes the last-seen time of each device, its activity, and its position where it reported one.

    A device without a row is registered only by a door that reports positions. A device of another user is left alone.
    """
    # In the order of their keys, so that two processes that write the same devices never wait for each other.
    ordered = sorted(seen.items())
    placed = [(device, at) for device, at in ordered if at.feed]
    tx.run_many(
        _REGISTERED,
        [
            (*device[:3], random_id("dev", 16), device.user_id, device.device_id, at.at_us, at.at_us)
            for device, at in placed
        ],
    )
    tx.run_many(_SEEN, [(at.at_us, at.at_us, at.at_us, at.at_us, *device) for device, at in ordered])
    tx.run_many(_POSITION, [(at.feed, at.position, at.at_us, *device) for device, at in placed])

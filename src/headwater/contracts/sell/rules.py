"""The decisions of the sell contract: the items of a new session, the items of a page, the meaning of an ack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from pyroaring import BitMap64

from headwater.contracts.sell import queries, recovery, shapes
from headwater.contracts.sell.ack_keys import AckKey, parse_key, render_key
from headwater.contracts.sell.acks import AckState, acknowledge, event_type, offer
from headwater.contracts.sell.queries import SELL_TYPES, FullChange
from headwater.contracts.sell.sessions import DeviceKey, SessionQueue
from headwater.feed import devices
from headwater.feed.sightings import CallingDevice
from headwater.store.database import Transaction
from headwater.store.log import changes, feeds, records


class SellDevice(NamedTuple):
    """The device of a request; ``seed`` binds its ack keys to it, ``past_seeds`` did so before restores."""

    organisation: str
    feed: int
    device_id: str
    user_id: str
    seed: int
    past_seeds: tuple[int, ...] = ()

    @property
    def key(self) -> DeviceKey:
        """The device as its sessions are kept by it."""
        return DeviceKey(self.feed, self.device_id, self.user_id)

    @property
    def calling(self) -> CallingDevice:
        """The device and its user, for the check of whose it is."""
        return CallingDevice(self.organisation, "sell", self.device_id, self.user_id)


class Prospect(NamedTuple):
    """The session that would start on a snapshot; ``stored`` is the state that it rests on.

    ``news`` is False when nothing must be stored: the device was seen before and no position was settled.
    ``floor`` is the feed's floor where the device has not settled everything up to it, else 0.
    """

    stored: bytes | None
    state: AckState
    positions: BitMap64
    head: int
    news: bool
    floor: int = 0
    numbers: Mapping[str, BitMap64] = MappingProxyType({})

    @property
    def queue(self) -> SessionQueue:
        """The items that the session hands out."""
        return SessionQueue(self.positions, self.numbers)


class ShownPage(NamedTuple):
    """A page's items and failures, as they go out."""

    items: list[bytes]
    failed: list[shapes.FailedObject]


def prospect(tx: Transaction, device: SellDevice, types: Sequence[str]) -> Prospect:
    """The session that would start now; reads only, so that a long read blocks no writer.

    Raises: DeviceOfAnother.
    """
    is_registered = devices.require_own(tx, device.calling)
    stored = queries.state_bytes(tx, device.feed, device.device_id)
    state = queries.state(tx, device.feed, device.device_id)
    head = feeds.head(tx, device.feed)
    if state.high_water >= head:
        return Prospect(stored, state, BitMap64(), head, stored is None or not is_registered)
    found = offer(state, queries.live_in(tx, device.feed, state.gaps(head)), head, types)
    news = stored is None or found.state is not state or not is_registered
    floor = feeds.floor(tx, device.feed)
    missed = floor if state.high_water < floor else 0
    return Prospect(stored, found.state, found.positions, head, news, missed, found.numbers)


def lost_deletions(tx: Transaction, device: SellDevice) -> list[tuple[str, int]]:
    """The resources that the device still holds although they were deleted, and compaction dropped even the tombstone.

    Shape: (sell type, number). Nothing can be lost where the device had everything up to the floor.
    """
    state = queries.state(tx, device.feed, device.device_id)
    if state.high_water >= feeds.floor(tx, device.feed):
        return []
    held = {sell_type: state.held(sell_type) for sell_type in set(SELL_TYPES.values())}
    if not any(held.values()):
        return []
    present = queries.numbers(tx, device.feed)
    return [(sell_type, number) for sell_type in sorted(held) for number in held[sell_type] - present[sell_type]]


def restore_deletions(tx: Transaction, device: SellDevice) -> int:
    """Appends the tombstones that a device missed, by compaction or by a restore; returns their number."""
    lost = lost_deletions(tx, device)
    if lost:
        _append_tombstones(tx, device, lost)
    return len(lost)


def _append_tombstones(tx: Transaction, device: SellDevice, lost: Sequence[tuple[str, int]]) -> None:
    buried = queries.buried(tx, device.feed)
    tombstones: list[records.LostTombstone] = []
    for sell_type, number in lost:
        # Its id may live again under a new number; a tombstone of that id would remove the living one.
        kind, id = buried.get((sell_type, number), (sell_type, f"gone-{sell_type}-{number}"))
        tombstones.append(records.LostTombstone(kind, id, number))
    records.append_tombstones(tx, device.feed, tombstones)


def lag(tx: Transaction, device: SellDevice) -> int:
    """The number of positions by which the head is ahead of all that the device has settled."""
    head = feeds.head(tx, device.feed)
    if queries.state_bytes(tx, device.feed, device.device_id) is None:
        # The state of an unknown device may take a long read, and has settled nothing.
        return head
    return head - queries.state(tx, device.feed, device.device_id).high_water


def commit_prospect(tx: Transaction, device: SellDevice, found: Prospect) -> bool:
    """Stores a session's state before anything is delivered; False when the device's state changed meanwhile."""
    if queries.state_bytes(tx, device.feed, device.device_id) != found.stored:
        return False
    devices.claim(tx, device.calling)
    queries.keep_state(tx, device.feed, device.device_id, found.state)
    queries.note_position(tx, device.organisation, device.feed, device.device_id, found.state.high_water)
    return True


def show(tx: Transaction, device: SellDevice, positions: Sequence[int]) -> ShownPage:
    """The items that are still live at these positions; one that cannot be shown is named and stays pending."""
    found = queries.changes_at(tx, device.feed, positions)
    state = queries.state(tx, device.feed, device.device_id)
    contacts = _contacts_of_notes(tx, device.feed, found)
    shown = ShownPage([], [])
    for change in found:
        sell_type = SELL_TYPES[change.kind]
        try:
            data = _content(change, contacts)
        except (msgspec.MsgspecError, ValueError):
            shown.failed.append(shapes.FailedObject(sell_type, change.number))
            continue
        event = event_type(state, sell_type, change.number, change.is_deletion)
        key = render_key(sell_type, change.number, change.position, change.is_deletion, device.seed)
        revision = 0 if change.is_deletion else change.position
        shown.items.append(shapes.item(data, sell_type, event, key, revision))
    return shown


def keys_of(texts: Sequence[str], device: SellDevice) -> list[AckKey]:
    """The keys among these texts that are this device's; all others mean nothing."""
    return [key for text in texts if (key := parse_key(text, device.seed)) is not None]


def old_keys_of(texts: Sequence[str], device: SellDevice) -> list[AckKey]:
    """The keys among these texts that were this device's before a restore; they acknowledge nothing."""
    seeds = device.past_seeds
    return [key for text in texts if (key := next(filter(None, (parse_key(text, s) for s in seeds)), None)) is not None]


def note_held(tx: Transaction, device: SellDevice, old: Sequence[AckKey]) -> None:
    """Notes what a device shows to hold by keys of before a restore, and appends the tombstones that it needs then."""
    state = queries.state(tx, device.feed, device.device_id)
    named = [(key.sell_type, key.number) for key in old if key.number is not None]
    after = recovery.held_of_old_keys(tx, device.feed, state, named)
    if after is state:
        return
    queries.keep_state(tx, device.feed, device.device_id, after)
    present = queries.numbers(tx, device.feed)
    news = {pair for pair in named if after.wants_tombstone(*pair) and not state.wants_tombstone(*pair)}
    missing = sorted(pair for pair in news if pair[1] not in present[pair[0]])
    if missing:
        _append_tombstones(tx, device, missing)


def ack(tx: Transaction, device: SellDevice, keys: Sequence[AckKey]) -> None:
    """Notes what a device has stored; an ack of N never hides N+1, and a repeated one changes nothing.

    Raises: DeviceOfAnother.
    """
    if not devices.require_own(tx, device.calling):
        devices.claim(tx, device.calling)
    state = queries.state(tx, device.feed, device.device_id)
    positions = sorted({key.position for key in keys})
    live = {
        row[0]: (SELL_TYPES.get(row[1], ""), row[2], bool(row[3]))
        for row in queries.rows_at(tx, device.feed, positions, "kind, number, deleted")
    }
    after = acknowledge(state, keys, feeds.head(tx, device.feed), live.get)
    if after is state:
        return
    queries.keep_state(tx, device.feed, device.device_id, after)
    if after.high_water != state.high_water:
        queries.note_position(tx, device.organisation, device.feed, device.device_id, after.high_water)


def _content(change: FullChange, contacts: Mapping[str, int]) -> bytes:
    """An item's ``data``: only the id of a deleted one."""
    if change.is_deletion:
        return b'{"id":%d}' % change.number
    body = changes.body_of(change.wire)
    if change.kind == "contact":
        return shapes.contact(change.number, body)
    if change.kind == "cached_contact":
        return shapes.cached_contact(change.number, body)
    return shapes.note(change.number, body, contacts)


def _contacts_of_notes(tx: Transaction, feed: int, found: Sequence[FullChange]) -> dict[str, int]:
    """The integers of the live contacts that a page's notes belong to; cached ones before our own."""
    parents: list[str] = []
    for change in found:
        if change.kind == "note" and not change.is_deletion:
            try:
                parents.append(shapes.parent_of(changes.body_of(change.wire)))
            except (msgspec.MsgspecError, ValueError):
                continue
    if not parents:
        return {}
    wanted = list(dict.fromkeys(parents))
    own = records.find_many(tx, feed, "contact", wanted)
    cached = records.find_many(tx, feed, "cached_contact", wanted)
    return {id: row.number for found in (own, cached) for id, row in found.items() if not row.deleted}

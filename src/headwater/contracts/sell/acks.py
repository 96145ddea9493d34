"""The items that one sell device has, as two kinds of set, and what follows from it.

An organisation's feed is freshest only: each resource, and each tombstone, has one live change row; a newer
change has a higher position and leaves the old one dead. So "what does this device have" is a set of
positions, and "has it ever had this one" a set of numbers. Nothing here touches a database or HTTP; a rule
reads the live rows and writes the state.

Source: sell contract, "Get data from queue" and "Acknowledge received data"; the choice and its cost are in
docs/decisions/0002-ack-state-as-sets.md.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple
from zlib import crc32

from pyroaring import BitMap64

from headwater.contracts.sell.ack_keys import AckKey

EventType = Literal["created", "updated", "deleted"]
"""Sell's ``event_type``: a hint to the device."""

LiveRow = tuple[int, str, int, int]
"""One live change row: (position, sell type, number, is_deletion), as a query returns it or named."""

LiveAt = Callable[[int], tuple[str, int, int] | None]
"""Finds the (sell type, number, is_deletion) that is live at a position; None where the position is dead."""


class Seen(NamedTuple):
    """The state of a device for one sell type."""

    acked: BitMap64
    """The numbers that it ever acked, and whose deletion it has not acked."""
    offered: BitMap64
    """The numbers that a session offered: it may hold them, but acked neither them nor their deletion."""


_ENVELOPE = struct.Struct("<BI")  # format version, CRC of the rest
_HEADER = struct.Struct("<QIH")  # high water, length of the set beyond it, number of sell types
_TYPE_HEADER = struct.Struct("<BII")  # length of the name, of the set of acked and of that of offered numbers
_FORMAT_VERSION = 2
_MARKED_TYPE_HEADER = struct.Struct("<BQI")  # version 1: length of the name, highest number offered, length of the set
_MARKED_VERSION = 1


@dataclass(frozen=True, slots=True)
class AckState:
    """The positions that a device is done with, and the numbers it ever acked; an immutable value.

    A position is done when it was acked, died, or held a tombstone that the device never needs. A change that
    adds nothing returns the same object, so that ``is`` shows that nothing must be written.
    Units: stored, it has at most 8 KiB for each 65,536 positions between the high-water mark and the head,
    begun or full, and twice the same for numbers; at most two bytes for each of them that is scattered; a run
    of any length needs next to nothing.
    """

    high_water: int = 0
    """The position up to which all is done: the end of the first interval."""
    _beyond: BitMap64 = field(default_factory=BitMap64, repr=False)
    _seen: Mapping[str, Seen] = field(default_factory=dict, repr=False)

    def is_done(self, position: int) -> bool:
        """True when nothing at this position is owed to the device."""
        return position <= self.high_water or position in self._beyond

    def gaps(self, upto: int) -> Iterator[tuple[int, int]]:
        """The closed ranges (lo, hi) of positions up to ``upto`` that are not done, ascending."""
        owed = BitMap64()
        owed.add_range(self.high_water + 1, upto + 1)
        owed -= self._beyond
        return zip(owed - owed.shift(1), owed - owed.shift(-1), strict=True)

    def undone(self, positions: Iterable[int]) -> BitMap64:
        """Those of these positions that are not done."""
        found = BitMap64(positions)
        found.remove_range(0, self.high_water + 1)
        found -= self._beyond
        return found

    def ever_acked(self, sell_type: str, number: int) -> bool:
        """True when the device acked any state of the resource."""
        seen = self._seen.get(sell_type)
        return seen is not None and number in seen.acked

    def wants_tombstone(self, sell_type: str, number: int) -> bool:
        """True when the device may hold the resource: acked once, or possibly delivered and not acked."""
        seen = self._seen.get(sell_type)
        return seen is not None and (number in seen.acked or number in seen.offered)

    def add_positions(self, positions: Iterable[int]) -> AckState:
        """With these positions done."""
        return self._grown(BitMap64(positions))

    def fill(self, lo: int, hi: int, live: Iterable[int] = ()) -> AckState:
        """With the closed range lo…hi done except the positions that are ``live``: the rest is dead."""
        dead = BitMap64()
        dead.add_range(max(lo, self.high_water + 1), hi + 1)
        dead -= live if isinstance(live, BitMap64) else BitMap64(live)
        return self._grown(dead)

    def add_numbers(self, sell_type: str, numbers: Iterable[int]) -> AckState:
        """With these numbers acked once."""
        seen = self._seen.get(sell_type, _NOTHING)
        more = BitMap64(numbers)
        if more.issubset(seen.acked):
            return self
        acked, offered = seen.acked | more, seen.offered - more
        acked.run_optimize()
        offered.run_optimize()
        return replace(self, _seen={**self._seen, sell_type: Seen(acked, offered)})

    def add_offered(self, sell_type: str, numbers: Iterable[int]) -> AckState:
        """With these numbers offered, as far as they were not acked before."""
        seen = self._seen.get(sell_type, _NOTHING)
        more = BitMap64(numbers) - seen.acked
        if more.issubset(seen.offered):
            return self
        offered = seen.offered | more
        offered.run_optimize()
        return replace(self, _seen={**self._seen, sell_type: seen._replace(offered=offered)})

    def drop_numbers(self, sell_type: str, numbers: Iterable[int]) -> AckState:
        """With these numbers no longer held: the device acked their deletion, and numbers never return."""
        seen = self._seen.get(sell_type)
        if seen is None:
            return self
        gone = BitMap64(numbers) & (seen.acked | seen.offered)
        if not gone:
            return self
        return replace(self, _seen={**self._seen, sell_type: Seen(seen.acked - gone, seen.offered - gone)})

    def held(self, sell_type: str) -> BitMap64:
        """The numbers that the device acked or was offered, and whose deletion it has not acked."""
        seen = self._seen.get(sell_type)
        return BitMap64() if seen is None else seen.acked | seen.offered

    def forgotten(self, *, keep_acked: bool) -> AckState:
        """With nothing done: the numbers that the device holds stay, as offered or as they are."""
        if keep_acked:
            return AckState(_seen=self._seen)
        return AckState(_seen={name: Seen(BitMap64(), seen.acked | seen.offered) for name, seen in self._seen.items()})

    def _grown(self, more: BitMap64) -> AckState:
        """The state with more positions done; the set becomes its own."""
        more.remove_range(0, self.high_water + 1)
        if more.issubset(self._beyond):
            return self
        high_water, beyond = self.high_water, self._beyond | more
        if high_water + 1 in beyond:
            # One range longer than the set has members, so at least one is missing; flipped, it is first.
            high_water = beyond.flip(high_water + 1, high_water + len(beyond) + 2).min() - 1
            beyond.remove_range(0, high_water + 1)
        beyond.run_optimize()
        return replace(self, high_water=high_water, _beyond=beyond)

    def to_bytes(self) -> bytes:
        """The state for storage; ``from_bytes`` reads it back.

        Shape: version (1 byte), CRC-32 (4), high water (8), then the set beyond it and for each sell type its
        name and its two sets; sets in the portable roaring format, integers little-endian.
        """
        beyond = self._beyond.serialize()
        parts = [_HEADER.pack(self.high_water, len(beyond), len(self._seen)), beyond]
        for sell_type, seen in self._seen.items():
            name, acked, offered = sell_type.encode(), seen.acked.serialize(), seen.offered.serialize()
            parts += (_TYPE_HEADER.pack(len(name), len(acked), len(offered)), name, acked, offered)
        body = b"".join(parts)
        return _ENVELOPE.pack(_FORMAT_VERSION, crc32(body)) + body

    @classmethod
    def from_bytes(cls, stored: bytes) -> AckState:
        """The state that ``to_bytes`` stored.

        Raises: ValueError when the bytes are damaged or of an unknown version.
        """
        if len(stored) < _ENVELOPE.size + _HEADER.size:
            raise ValueError("ack state: too short")
        version, checksum = _ENVELOPE.unpack_from(stored)
        if version not in (_FORMAT_VERSION, _MARKED_VERSION):
            raise ValueError(f"ack state: unknown version {version}")
        # The checksum is compared first: the bitmap reader trusts its input.
        body = stored[_ENVELOPE.size :]
        if crc32(body) != checksum:
            raise ValueError("ack state: checksum does not match")
        high_water, length, types = _HEADER.unpack_from(body)
        at = _HEADER.size + length
        beyond = BitMap64.deserialize(body[_HEADER.size : at])
        read = _seen_of if version == _FORMAT_VERSION else _seen_of_marked
        seen: dict[str, Seen] = {}
        for _ in range(types):
            sell_type, seen_of_type, at = read(body, at)
            seen[sell_type] = seen_of_type
        return cls(high_water, beyond, seen)


_NOTHING = Seen(BitMap64(), BitMap64())


def _seen_of(body: bytes, at: int) -> tuple[str, Seen, int]:
    """A stored sell type, its state, and the offset of the next one."""
    name_length, acked_length, offered_length = _TYPE_HEADER.unpack_from(body, at)
    name_at = at + _TYPE_HEADER.size
    acked_at = name_at + name_length
    offered_at = acked_at + acked_length
    end = offered_at + offered_length
    acked, offered = BitMap64.deserialize(body[acked_at:offered_at]), BitMap64.deserialize(body[offered_at:end])
    return body[name_at:acked_at].decode(), Seen(acked, offered), end


def _seen_of_marked(body: bytes, at: int) -> tuple[str, Seen, int]:
    """As ``_seen_of`` for version 1, which stored of the offers only the highest number: all up to it may be held."""
    name_length, mark, length = _MARKED_TYPE_HEADER.unpack_from(body, at)
    name_at = at + _MARKED_TYPE_HEADER.size
    set_at = name_at + name_length
    end = set_at + length
    acked, offered = BitMap64.deserialize(body[set_at:end]), BitMap64()
    offered.add_range(1, mark + 1)
    return body[name_at:set_at].decode(), Seen(acked, offered - acked), end


def event_type(state: AckState, sell_type: str, number: int, is_deletion: bool) -> EventType:
    """``created`` = the device never acked the resource, ``updated`` = it acked an older state.

    Source: sell contract, "Get data from queue": event_type.
    """
    if is_deletion:
        return "deleted"
    return "updated" if state.ever_acked(sell_type, number) else "created"


class Offer(NamedTuple):
    """The positions that a new session will drain, and the state to store before any of them is delivered.

    ``numbers`` are those at the positions, by sell type.
    """

    positions: BitMap64
    state: AckState
    numbers: dict[str, BitMap64]


def offer(state: AckState, rows: Iterable[LiveRow], head: int, types: Collection[str]) -> Offer:
    """Decides a new session of these ``types``: every row that is owed now, up to ``head``.

    ``rows`` must hold **every** live row of a sell type in ``state.gaps(head)`` (others do no harm), read in
    one snapshot with ``head``. All other positions up to ``head`` are dead, or a tombstone that is declined
    once and for all (a resource that was created and deleted between two sessions is never shown), and become done.
    Rows of other types are withheld: neither offered nor done. The session may deliver nothing above ``head``.
    Nothing to deliver = empty ``positions``; the state may have changed all the same. ``numbers`` is exact where the
    rows are those in the gaps alone.
    """
    wanted, withheld = array("Q"), array("Q")
    offered = {sell_type: array("Q") for sell_type in types}
    deleted = {sell_type: array("Q") for sell_type in types}
    for position, sell_type, number, is_deletion in rows:
        if sell_type not in offered:
            withheld.append(position)
        elif not is_deletion:
            wanted.append(position)
            offered[sell_type].append(number)
        elif state.wants_tombstone(sell_type, number):
            wanted.append(position)
            deleted[sell_type].append(number)
    owed = state.undone(wanted)
    queued = {sell_type: BitMap64(offered[sell_type]) | BitMap64(deleted[sell_type]) for sell_type in offered}
    state = state.fill(1, head, live=owed | BitMap64(withheld))
    for sell_type, numbers in offered.items():
        state = state.add_offered(sell_type, numbers)
    return Offer(owed, state, queued)


def acknowledge(state: AckState, keys: Iterable[AckKey], head: int, live_at: LiveAt) -> AckState:
    """The state after a device's ack; keys that do not fit the feed are ignored.

    An ack marks only its own position, so an ack of N never hides N+1. A key of a dead position is late: the
    device holds an older state, so its next one is an update; its number counts only where it was offered.
    ``head`` and ``live_at`` are of one snapshot.
    Source: sell contract, "Acknowledge received data".
    """
    positions: list[int] = []
    numbers: dict[str, list[int]] = {}
    gone: dict[str, list[int]] = {}
    for key in keys:
        if key.position > head or _adds_nothing(state, key):
            continue
        live = live_at(key.position)
        if live is not None and not _is_of(key, *live):
            continue
        positions.append(key.position)
        if key.is_deletion and live is not None:
            gone.setdefault(key.sell_type, []).append(live[1])
        if key.number is not None and (live is not None or state.wants_tombstone(key.sell_type, key.number)):
            numbers.setdefault(key.sell_type, []).append(key.number)
    state = state.add_positions(positions)
    for sell_type, acked in numbers.items():
        state = state.add_numbers(sell_type, acked)
    for sell_type, deleted in gone.items():
        state = state.drop_numbers(sell_type, deleted)
    return state


def _adds_nothing(state: AckState, key: AckKey) -> bool:
    """True when the position is done and the number known: a repeated ack costs no look-up."""
    return state.is_done(key.position) and (key.number is None or state.ever_acked(key.sell_type, key.number))


def _is_of(key: AckKey, sell_type: str, number: int, is_deletion: int) -> bool:
    """True when the key is of this live item; a deletion's key carries no number."""
    return (key.sell_type, key.is_deletion) == (sell_type, is_deletion) and key.number in (None, number)

"""The cursor of places in any number of feeds, never longer than a request can carry.

Up to some hundreds of feeds it names each place (``c2.``). Beyond, it names a stored base and the places that differ
from it (``c3.``); when too many differ, a new base is needed. The form is explained in docs/decisions/0008.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headwater.feed.cursor import MANY_PREFIX, CursorCodec, Place, invalid, numbers_of, put_number
from headwater.feed.cursor_bases import CursorBase

MAX_LENGTH = 4_200
"""The most characters of a new cursor: proxies pass on a request line of 8 KiB, and often no longer one."""

_BASED_PREFIX = "c3."
_ID_BYTES = 16
_LEAST_BYTES = 3
"""A place takes at least so many bytes."""


class Differences(NamedTuple):
    """The base that a cursor names, the feeds of it that do not count, and the places in place of its own."""

    base_id: str
    dropped: frozenset[int]
    places: Mapping[int, Place]

    def over(self, base: CursorBase) -> dict[int, Place]:
        """Returns the reader's places."""
        places = dict(base.places) | dict(self.places)
        for feed in self.dropped:
            places.pop(feed, None)
        return places


def encode(codec: CursorCodec, owner: str, places: Mapping[int, Place], base: CursorBase | None) -> str | None:
    """Returns the cursor of places, by way of a base where they are too many; None when a new base is needed."""
    if len(places) * _LEAST_BYTES <= MAX_LENGTH:
        text = codec.encode_many(owner, places)
        if len(text) <= MAX_LENGTH:
            return text
    return None if base is None else _based(codec, owner, places, base)


def opens(text: str) -> bool:
    """True for a cursor that names a base."""
    return text.startswith(_BASED_PREFIX)


def decode(codec: CursorCodec, owner: str, text: str) -> Differences:
    """Returns the differences that a cursor names. Raises: CursorInvalid, as ``CursorCodec.decode_many``."""
    packed = codec.unseal(_BASED_PREFIX, text, owner)
    if len(packed) <= _ID_BYTES:
        raise invalid("malformed", "the cursor is not one of this server's")
    count, *numbers = numbers_of(packed[_ID_BYTES:])
    dropped = []
    feed = 0
    for step in numbers[:count]:
        feed += step
        dropped.append(feed)
    places = {}
    feed = 0
    for at in range(count, len(numbers), 3):
        feed += numbers[at]
        places[feed] = Place(numbers[at + 1], numbers[at + 2])
    return Differences(packed[:_ID_BYTES].hex(), frozenset(dropped), places)


def _based(codec: CursorCodec, owner: str, places: Mapping[int, Place], base: CursorBase) -> str | None:
    dropped = sorted(base.places.keys() - places.keys())
    changed = sorted(places.items() - base.places.items())
    if len(dropped) + _LEAST_BYTES * len(changed) > MAX_LENGTH:
        return None
    packed = bytearray(bytes.fromhex(base.id))
    put_number(packed, len(dropped))
    last = 0
    for feed in dropped:
        put_number(packed, feed - last)
        last = feed
    last = 0
    for feed, place in changed:
        for number in (feed - last, place.position, place.snapshot_head):
            put_number(packed, number)
        last = feed
    text = codec.seal(_BASED_PREFIX, owner, bytes(packed))
    return text if len(text) <= MAX_LENGTH else None


assert MANY_PREFIX != _BASED_PREFIX

"""Encodes and decodes opaque, signed cursors: ``c1.`` for a place in one feed, ``c2.`` for places in many feeds.

``wide_cursor.py`` has the form for very many feeds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping
from typing import NamedTuple

from headwater.base.errors import CursorInvalid, Invalid

_PREFIX = "c1."
MANY_PREFIX = "c2."
"""Begins a cursor that names the place in each of many feeds."""

_MANY_HEAD = struct.Struct(">Q8s")
_MAX_MANY_LENGTH = 12_000
_PLACE = struct.Struct(">QQQQ")
_MAC_BYTES = 12
_TEXT_LENGTH = len(_PREFIX) + (_PLACE.size + _MAC_BYTES + 2) // 3 * 4


BEFORE_RESTORE = (
    "the cursor is of before this server was restored from a backup: list again from the cursor in this answer, and"
    " delete nothing because it is absent there"
)
"""The sentence of a cursor with the reason ``restored``."""


class Place(NamedTuple):
    """A reader's place in a feed: after ``position``; below ``snapshot_head`` it still reads the present state."""

    position: int
    snapshot_head: int = 0


class CursorCodec:
    """Encodes and decodes cursors with this installation's key and epoch; restores have ended the past epochs."""

    def __init__(self, key: bytes, epoch: int, past_epochs: tuple[int, ...] = ()) -> None:
        self._mac = hmac.new(key, digestmod="sha256")
        self.epoch = epoch
        self.past_epochs = past_epochs

    def encode(self, feed: int, place: Place) -> str:
        """Returns the cursor of a place in a feed."""
        packed = _PLACE.pack(self.epoch, feed, place.position, place.snapshot_head)
        return _PREFIX + base64.urlsafe_b64encode(packed + self._sign(packed)).rstrip(b"=").decode()

    def decode(self, text: str, feed: int) -> Place:
        """Returns the place of a cursor in this feed.

        Raises: CursorInvalid with reason malformed, forged, restored (an ended epoch) or foreign (another feed).
        """
        owner, place = self.open(text)
        if owner != feed:
            raise invalid("foreign", "the cursor belongs to another feed")
        return place

    def open(self, text: str) -> tuple[int, Place]:
        """Returns the feed and the place of a cursor. Raises: CursorInvalid (malformed, forged, restored)."""
        packed, mac = _unpack(text)
        if not hmac.compare_digest(mac, self._sign(packed)):
            raise invalid("forged", "this server did not issue the cursor")
        epoch, owner, position, snapshot_head = _PLACE.unpack(packed)
        if epoch != self.epoch:
            raise invalid("restored", BEFORE_RESTORE)
        return owner, Place(position, snapshot_head)

    def encode_many(self, owner: str, places: Mapping[int, Place]) -> str:
        """Returns the cursor of places in many feeds, for one owner (a tenant).

        Raises: Invalid when there are too many for one cursor: some 1,500.
        """
        packed = bytearray()
        last = 0
        for feed, place in sorted(places.items()):
            for number in (feed - last, place.position, place.snapshot_head):
                put_number(packed, number)
            last = feed
        text = self.seal(MANY_PREFIX, owner, bytes(packed))
        if len(text) > _MAX_MANY_LENGTH:
            raise Invalid.of("cursor", "too_long", "there are too many feeds for one cursor; follow each by itself")
        return text

    def decode_many(self, text: str, owner: str) -> dict[int, Place]:
        """Returns the places of a cursor of many feeds.

        Raises: CursorInvalid (malformed, forged, restored, foreign).
        """
        numbers = numbers_of(self.unseal(MANY_PREFIX, text, owner))
        places: dict[int, Place] = {}
        feed = 0
        for at in range(0, len(numbers), 3):
            feed += numbers[at]
            places[feed] = Place(numbers[at + 1], numbers[at + 2])
        return places

    def seal(self, prefix: str, owner: str, content: bytes) -> str:
        """Returns a signed text of a content, for one owner (a tenant) and this epoch."""
        packed = _MANY_HEAD.pack(self.epoch, _owner_mark(owner)) + content
        # The prefix is signed too, so that a cursor of one form is not accepted as one of the other.
        mac = self._sign(prefix.encode() + packed)
        return prefix + base64.urlsafe_b64encode(packed + mac).rstrip(b"=").decode()

    def unseal(self, prefix: str, text: str, owner: str) -> bytes:
        """Returns the content that ``seal`` signed. Raises: CursorInvalid (malformed, forged, restored, foreign)."""
        raw = _uncoded(text, prefix, _MAX_MANY_LENGTH)
        packed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(packed) < _MANY_HEAD.size:
            raise invalid("malformed", "the cursor is not one of this server's")
        if not hmac.compare_digest(mac, self._sign(prefix.encode() + packed)):
            raise invalid("forged", "this server did not issue the cursor")
        epoch, mark = _MANY_HEAD.unpack_from(packed)
        if epoch != self.epoch:
            raise invalid("restored", BEFORE_RESTORE)
        if mark != _owner_mark(owner):
            raise invalid("foreign", "the cursor belongs to another organisation")
        return packed[_MANY_HEAD.size :]

    def _sign(self, packed: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(packed)
        return mac.digest()[:_MAC_BYTES]


def invalid(reason: str, detail: str, **extra: object) -> CursorInvalid:
    """Returns the error of an unusable cursor, with its reason for programs."""
    return CursorInvalid(detail, extra={"reason": reason, **extra})


def _unpack(text: str) -> tuple[bytes, bytes]:
    raw = _uncoded(text, _PREFIX, _TEXT_LENGTH)
    if len(raw) != _PLACE.size + _MAC_BYTES:
        raise invalid("malformed", "the cursor is not one of this server's")
    return raw[: _PLACE.size], raw[_PLACE.size :]


def _uncoded(text: str, prefix: str, most: int) -> bytes:
    """Returns the bytes after a cursor's prefix. Raises: CursorInvalid (malformed)."""
    try:
        if len(text) > most or not text.startswith(prefix) or not text.isascii():
            raise ValueError(text)
        coded = text[len(prefix) :]
        return base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise invalid("malformed", "the cursor is not one of this server's") from None


def _owner_mark(owner: str) -> bytes:
    return hashlib.blake2b(owner.encode(), digest_size=8).digest()


def put_number(packed: bytearray, number: int) -> None:
    """Appends a number in groups of seven bits, the lowest first."""
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def numbers_of(packed: bytes) -> list[int]:
    """Returns the numbers that ``put_number`` appended."""
    found: list[int] = []
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(number)
            number = shift = 0
    return found

"""Opaque cursors: ``c1.`` and a signed place in one feed of one epoch; the only encoder."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from typing import NamedTuple

from headwater.base.errors import CursorInvalid

_PREFIX = "c1."
_PLACE = struct.Struct(">QQQQ")
_MAC_BYTES = 12
_TEXT_LENGTH = len(_PREFIX) + (_PLACE.size + _MAC_BYTES + 2) // 3 * 4


class Place(NamedTuple):
    """Where a reader stands: after ``position``; while below ``snapshot_head`` it reads the present state."""

    position: int
    snapshot_head: int = 0


class CursorCodec:
    """Makes and checks cursors with this installation's key and epoch."""

    def __init__(self, key: bytes, epoch: int) -> None:
        self._mac = hmac.new(key, digestmod="sha256")
        self.epoch = epoch

    def encode(self, feed: int, place: Place) -> str:
        """The cursor of a place in a feed."""
        packed = _PLACE.pack(self.epoch, feed, place.position, place.snapshot_head)
        return _PREFIX + base64.urlsafe_b64encode(packed + self._sign(packed)).rstrip(b"=").decode()

    def decode(self, text: str, feed: int) -> Place:
        """The place of a cursor in this feed.

        Raises: CursorInvalid with reason malformed, forged, expired (another epoch) or foreign (another feed).
        """
        owner, place = self.open(text)
        if owner != feed:
            raise invalid("foreign", "the cursor belongs to another feed")
        return place

    def open(self, text: str) -> tuple[int, Place]:
        """The feed that a cursor names and its place. Raises: CursorInvalid (malformed, forged, expired)."""
        packed, mac = _unpack(text)
        if not hmac.compare_digest(mac, self._sign(packed)):
            raise invalid("forged", "the cursor was not made by this server")
        epoch, owner, position, snapshot_head = _PLACE.unpack(packed)
        if epoch != self.epoch:
            raise invalid("expired", "the cursor is of an earlier life of this log (a restore came between)")
        return owner, Place(position, snapshot_head)

    def _sign(self, packed: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(packed)
        return mac.digest()[:_MAC_BYTES]


def invalid(reason: str, detail: str, **extra: object) -> CursorInvalid:
    """The error of a cursor that cannot be used, with its reason for programs."""
    return CursorInvalid(detail, extra={"reason": reason, **extra})


def _unpack(text: str) -> tuple[bytes, bytes]:
    try:
        if len(text) > _TEXT_LENGTH or not text.startswith(_PREFIX) or not text.isascii():
            raise ValueError(text)
        coded = text[len(_PREFIX) :]
        raw = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        if len(raw) != _PLACE.size + _MAC_BYTES:
            raise ValueError(text)
    except (ValueError, binascii.Error):
        raise invalid("malformed", "the cursor is not one of this server's") from None
    return raw[: _PLACE.size], raw[_PLACE.size :]

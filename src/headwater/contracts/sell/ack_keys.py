"""A sell item's ack key: bound to one device, and safe to hand back at any time.

Source: sell contract, "Get data from queue" (ack_key) and "Acknowledge received data".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

MAX_KEY_CHARACTERS = 100
"""Longest text that is read as an ack key."""

MAX_INTEGER = 2**63 - 1
"""Highest position and number, as in both databases."""

_SELL_TYPE = re.compile(r"[a-z]+(?:_[a-z]+)*")

# No leading zeros, so that a key has one spelling; the last five digits of the middle part are the check.
_KEY = re.compile(r"((?:[A-Z][a-z]*)+)-([1-9][0-9]{0,18})([0-9]{5})-(0|[1-9][0-9]{0,18})")


class AckKey(NamedTuple):
    """A key that this device got from us; a deletion's key names no number."""

    sell_type: str
    number: int | None
    position: int
    is_deletion: bool


def device_seed(*material: str) -> int:
    """The 32 bits that bind keys to one device: of the log's epoch, the organisation and the device's id.

    A checksum is enough, no MAC is needed: state belongs to a device, so a caller that invents keys can only make
    its own device miss items. The check is for honest mix-ups, such as one store of keys shared by
    two devices; one foreign key in 100,000 passes. With the epoch in it, keys from before a restore,
    which reuses positions, count for nothing.
    """
    return crc32("".join(f"{len(part)}:{part}" for part in material).encode("utf-8", "surrogatepass"))


def render_key(sell_type: str, number: int, position: int, is_deletion: bool, seed: int) -> str:
    """The ack key of one item: ``Contact-{number}{check}-{position}``; a deletion has its position, then 0.

    Shape: a deletion's is ``Contact-{position}{check}-0``. It may show revision 0, because its true position
    is in the middle part and its number never returns: a late ack of it can hide no later change.
    Raises: ValueError when the sell type is not in snake case.
    """
    word = _word(sell_type)
    middle, last = (position, 0) if is_deletion else (number, position)
    return f"{word}-{middle}{_check(word, middle, last, seed):05d}-{last}"


def parse_key(text: str, seed: int) -> AckKey | None:
    """The key that this text is for the device of this seed; None if malformed or another device's."""
    if len(text) > MAX_KEY_CHARACTERS:
        return None
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    word, number_or_position, check, revision = match.groups()
    middle, last = int(number_or_position), int(revision)
    if middle > MAX_INTEGER or last > MAX_INTEGER or int(check) != _check(word, middle, last, seed):
        return None
    if last == 0:
        return AckKey(_sell_type(word), None, middle, True)
    return AckKey(_sell_type(word), middle, last, False)


def _check(word: str, middle: int, last: int, seed: int) -> int:
    """A number below 100,000 from the seed and all parts of the key, its kind included (last = 0)."""
    # The CRCs of one text under two seeds differ by a constant XOR; multiplying and taking the high bits
    # makes the difference depend on the text, so that no two devices have systematically equal checks.
    mixed = crc32(f"{word}{middle}-{last}".encode("ascii"), seed) * 0x9E3779B1 & 0xFFFFFFFF
    return mixed * 100_000 >> 32


@lru_cache(maxsize=64)
def _word(sell_type: str) -> str:
    """``loss_reason`` → ``LossReason``."""
    if _SELL_TYPE.fullmatch(sell_type) is None:
        raise ValueError(f"not a sell type: {sell_type!r}")
    return "".join(part.capitalize() for part in sell_type.split("_"))


@lru_cache(maxsize=64)
def _sell_type(word: str) -> str:
    """``LossReason`` → ``loss_reason``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", word).lower()

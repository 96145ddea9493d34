"""Parses lengths of time, instants and sizes as a user types them: ``90d``, ``never``, ``2027-01-31``..., ``10GiB``."""

from __future__ import annotations

import re

from headwater.base.clock import SECOND_US
from headwater.base.errors import Invalid
from headwater.base.wire import parse_time

_LENGTH = re.compile(r"(\d{1,6})\s*([smhdw])", re.ASCII)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM = "write 90d, 12h, 30m, 'never' or a time like 2027-01-31T00:00:00Z"
_SIZE = re.compile(r"(\d{1,19})\s*(b|kib|mib|gib|tib)?", re.ASCII)
_UNIT_BYTES = {"b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_MOST_BYTES = 2**62
_LAST_US = 253_402_300_800 * SECOND_US  # the year 10000: no time is written beyond it


def parse_end(text: str, now_us: int) -> int | None:
    """The instant that a text means, counted from now, in microseconds UTC since 1970; None for ``never``.

    Raises: Invalid (neither a length nor a time, or not in the future).
    """
    bare = text.strip().lower()
    if bare == "never":
        return None
    length = _LENGTH.fullmatch(bare)
    if length is not None:
        ends_us = now_us + int(length[1]) * _UNIT_SECONDS[length[2]] * SECOND_US
    else:
        try:
            ends_us = parse_time(text.strip())
        except Invalid:
            raise Invalid(f"{text!r} is no length of time: {_FORM}") from None
    if not now_us < ends_us < _LAST_US:
        raise Invalid(f"{text!r} is not in the future, or too far in it: {_FORM}")
    return ends_us


def parse_length(text: str) -> int:
    """The seconds that a text means. Raises: Invalid (no length of time)."""
    length = _LENGTH.fullmatch(text.strip().lower())
    if length is None:
        raise Invalid(f"{text!r} is no length of time: write 90d, 12h or 30m")
    return int(length[1]) * _UNIT_SECONDS[length[2]]


def parse_size(text: str) -> int | None:
    """The bytes that a text means; None for ``none``. Raises: Invalid (no size, or more than 2^62 bytes)."""
    bare = text.strip().lower()
    if bare == "none":
        return None
    size = _SIZE.fullmatch(bare)
    size_bytes = -1 if size is None else int(size[1]) * _UNIT_BYTES[size[2] or "b"]
    if not 0 <= size_bytes <= _MOST_BYTES:
        raise Invalid(f"{text!r} is no size: write 10GiB, 500MiB, a number of bytes, or 'none'")
    return size_bytes

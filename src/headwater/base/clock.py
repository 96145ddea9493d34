"""The only reader of time; everything else is given the instant (integer microseconds UTC since 1970)."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""A function that gives the present instant in microseconds UTC since 1970."""

SECOND_US = 1_000_000
"""Microseconds in a second."""


def now_us() -> int:
    """The present instant of the system clock, in microseconds UTC since 1970."""
    return time.time_ns() // 1_000


def monotonic_seconds() -> float:
    """A clock that never steps back, for durations and limits; its zero means nothing."""
    return time.monotonic()

"""The only module that reads the clock; all other code receives the time (integer microseconds UTC since 1970)."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""A function that returns the current time in microseconds UTC since 1970."""

SECOND_US = 1_000_000
"""Microseconds in a second."""


def now_us() -> int:
    """Returns the current time of the system clock in microseconds UTC since 1970."""
    return time.time_ns() // 1_000


def monotonic_seconds() -> float:
    """Returns the seconds of a clock that never runs backwards, for durations and deadlines; its zero is arbitrary."""
    return time.monotonic()

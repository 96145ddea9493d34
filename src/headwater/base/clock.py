"""The only module that reads the clock; all other code receives the time (integer microseconds UTC since 1970)."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""A function that returns the current time in microseconds UTC since 1970."""

SECOND_US = 1_000_000
"""Microseconds in a second."""


DAY_US = 86_400 * SECOND_US
"""Microseconds in a day."""


class ExpiryClock:
    """The time with which expiries are compared: never before one that it returned, when the clock steps back by a day.

    So what has expired while the process runs stays expired. After a longer step the clock had been wrong before, and
    is believed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_us = 0

    def __call__(self) -> int:
        """Returns the time in microseconds UTC since 1970."""
        at_us = self._clock()
        if not 0 < self._last_us - at_us <= DAY_US:
            self._last_us = at_us
        return self._last_us


def now_us() -> int:
    """Returns the current time of the system clock in microseconds UTC since 1970."""
    return time.time_ns() // 1_000


def monotonic_seconds() -> float:
    """Returns the seconds of a clock that never runs backwards, for durations and deadlines; its zero is arbitrary."""
    return time.monotonic()

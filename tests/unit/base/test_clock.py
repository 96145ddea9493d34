from __future__ import annotations

import time

from headwater.base.clock import SECOND_US, monotonic_seconds, now_us


def test_the_clock_counts_whole_microseconds_since_1970() -> None:
    before = time.time_ns()
    at_us = now_us()
    after = time.time_ns()
    assert isinstance(at_us, int)
    assert before // 1000 <= at_us <= after // 1000


def test_a_second_has_a_million_microseconds() -> None:
    assert now_us() // SECOND_US - int(time.time()) in {-1, 0}


def test_the_clock_for_durations_never_steps_back() -> None:
    readings = [monotonic_seconds() for _ in range(1000)]
    assert readings == sorted(readings)

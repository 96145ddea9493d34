from __future__ import annotations

import time

from headwater.base.clock import DAY_US, SECOND_US, ExpiryClock, monotonic_seconds, now_us
from tests.support.clock import MovableClock


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


def test_what_expired_stays_expired_until_a_step_shows_that_the_clock_had_been_wrong() -> None:
    clock = MovableClock()
    expiry, start_us = ExpiryClock(clock), clock.at_us
    assert expiry() == start_us
    for step_seconds in (-7200, 3600, 3599):
        clock.advance(step_seconds)
        assert expiry() == start_us
    clock.advance(2)
    assert expiry() == clock.at_us == start_us + SECOND_US
    clock.advance(-DAY_US / SECOND_US)
    assert expiry() == start_us + SECOND_US
    clock.advance(-1)
    assert expiry() == clock.at_us

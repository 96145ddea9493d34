"""The times of records never fall, whatever the clock does, on both databases."""

from __future__ import annotations

import json

from headwater.base.clock import now_us
from headwater.store.database import MOST_STEP_US, Database
from tests.support.clock import SECOND_US, MovableClock
from tests.support.store.databases import address_of, open_at
from tests.support.store.transactions import make_feed, put

HOURS = 3600


def given(database: Database, feed: int, id: str = "a") -> str:
    """The time of the change that writes a record now."""
    position = database.write_now(put(feed, id), feed=feed).position
    wire = database.read_now(
        lambda tx: tx.value("SELECT wire FROM changes WHERE feed = ? AND position = ?", feed, position)
    )
    at: str = json.loads(bytes(wire))["at"]
    return at


def test_a_step_back_is_not_shown_and_time_goes_on_when_the_clock_has_caught_up(
    database: Database, clock: MovableClock
) -> None:
    feed = make_feed(database)
    times = [given(database, feed)]
    for seconds in (-2 * HOURS, HOURS, HOURS, 1, -1, 2):
        clock.advance(seconds)
        times.append(given(database, feed, f"c{len(times)}"))
    assert times == sorted(times)
    assert times[0] == times[1] == times[2] == times[3] < times[4] == times[5] < times[6]


def test_a_clock_that_stood_far_in_the_future_is_believed_no_longer(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    before = given(database, feed)
    clock.advance(10 * 365 * 24 * HOURS)
    assert given(database, feed, "b").startswith("2036")
    clock.advance(-10 * 365 * 24 * HOURS + 1)
    assert before < given(database, feed, "c") < "2027"


def test_a_step_of_a_day_is_not_shown_and_expiries_follow_the_clock(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    first = given(database, feed)
    clock.advance(-MOST_STEP_US / SECOND_US)
    assert database.read_now(lambda tx: tx.now_us) == clock.at_us, "expiry is compared with the clock itself"
    assert given(database, feed, "b") == first


def test_another_process_whose_clock_is_behind_continues_from_the_last_time(
    database: Database, clock: MovableClock
) -> None:
    feed = make_feed(database)
    clock.at_us = now_us() + HOURS * SECOND_US
    first = given(database, feed)
    other = open_at(address_of(database))
    try:
        assert given(other, feed, "b") == first
    finally:
        other.close()

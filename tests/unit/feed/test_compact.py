"""Compaction: what goes, what stays, and who is told that its cursor has expired."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.feed import compact as module
from headwater.feed.compact import Retention, compact, compact_slice, is_due
from headwater.store import integrity
from headwater.store.database import Database, Transaction
from headwater.store.log import changes, feeds, records
from headwater.store.log.feeds import Feed
from tests.support.clock import SECOND_US, MovableClock
from tests.support.store.transactions import KIND, bury, head_of, ids_of, log_of, make_feed, put

DAY_SECONDS = 86_400
DAY_US = DAY_SECONDS * SECOND_US
LONG = Retention(longest_us=90 * DAY_US, shortest_us=30 * DAY_US)


def run(database: Database, retention: Retention = LONG) -> int:
    return compact(database, retention)


def floor_of(database: Database, feed: int) -> int:
    return database.read_now(lambda tx: feeds.floor(tx, feed))


def stand_at(database: Database, feed: int, device: str, position: int, *, active: bool = True) -> None:
    """Let a device tell where it stands."""

    def transaction(tx: Transaction) -> None:
        tx.run(
            "INSERT INTO devices (organisation, device_id, door, id, user_id, device_name, platform, client_version,"
            " is_active, last_seen_us, created_us) VALUES ('a', ?, 'feed', ?, '', '', '', '', ?, 0, 0)",
            device, device, int(active),
        )  # fmt: skip
        tx.run(
            "INSERT INTO device_positions (feed, device, position, at_us) VALUES (?, ?, ?, 0)", feed, device, position
        )

    database.write_now(transaction)


def happen(feed: int, text: str) -> Callable[[Transaction], None]:
    """Changes of a feed with history, each ``id`` or, for a deletion, ``-id``."""

    def transaction(tx: Transaction) -> None:
        for word in text.split():
            position = changes.next_position(tx, feed)
            row = (position, "file", word.removeprefix("-"), 0, int(word.startswith("-")), tx.now_us, b"{}")
            changes.append(tx, feed, row)

    return transaction


def row_exists(database: Database, feed: int, id: str) -> bool:
    return database.read_now(lambda tx: records.find(tx, feed, KIND, id)) is not None


def test_old_tombstones_go_with_their_rows_and_the_living_stay(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    for id in "abcd":
        database.write_now(put(feed, id), feed=feed)
    database.write_now(bury(feed, "b"), feed=feed)
    clock.advance(60 * DAY_SECONDS)
    database.write_now(bury(feed, "c"), feed=feed)
    clock.advance(31 * DAY_SECONDS)
    assert run(database) == 1
    assert log_of(database, feed) == [(1, "a", 0), (4, "d", 0), (6, "c", 1)]
    assert floor_of(database, feed) == 5
    assert (row_exists(database, feed, "b"), row_exists(database, feed, "c")) == (False, True)
    assert ids_of(database, feed) == {"a", "d"}
    assert head_of(database, feed) == 6
    assert run(database) == 0


def test_a_feed_without_old_tombstones_keeps_its_floor(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    database.write_now(put(feed, "a"), feed=feed)
    clock.advance(1000 * DAY_SECONDS)
    assert (run(database), floor_of(database, feed)) == (0, 0)


def test_a_record_made_again_survives_its_tombstone(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    for transaction in (put(feed, "a"), bury(feed, "a"), put(feed, "a")):
        database.write_now(transaction, feed=feed)
    clock.advance(91 * DAY_SECONDS)
    assert run(database) == 1
    assert log_of(database, feed) == [(3, "a", 0)]
    assert ids_of(database, feed) == {"a"}


def test_a_record_made_anew_after_compaction_takes_a_new_number(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    first = database.write_now(put(feed, "a"), feed=feed)
    database.write_now(bury(feed, "a"), feed=feed)
    clock.advance(91 * DAY_SECONDS)
    run(database)
    again = database.write_now(put(feed, "a"), feed=feed)
    assert (first.number, again.number, again.position) == (1, 2, 3)


def test_at_the_end_of_its_retention_everything_goes_however_far_devices_lag(
    database: Database, clock: MovableClock
) -> None:
    feed = make_feed(database)
    stand_at(database, feed, "lagging", 0)
    database.write_now(put(feed, "a"), feed=feed)
    database.write_now(bury(feed, "a"), feed=feed)
    clock.advance(89 * DAY_SECONDS)
    assert run(database) == 0
    clock.advance(2 * DAY_SECONDS)
    assert (run(database), floor_of(database, feed)) == (1, 2)


def test_what_every_active_device_has_goes_after_the_shortest_retention(
    database: Database, clock: MovableClock
) -> None:
    feed = make_feed(database)
    for id in "abc":
        database.write_now(put(feed, id), feed=feed)
    for id in "abc":
        database.write_now(bury(feed, id), feed=feed)
    stand_at(database, feed, "ahead", 6)
    stand_at(database, feed, "behind", 5)
    stand_at(database, feed, "gone", 0, active=False)
    clock.advance(29 * DAY_SECONDS)
    assert run(database) == 0
    clock.advance(2 * DAY_SECONDS)
    assert run(database) == 2
    assert log_of(database, feed) == [(6, "c", 1)]
    assert floor_of(database, feed) == 5


def test_devices_of_another_feed_do_not_count(database: Database, clock: MovableClock) -> None:
    feed, other = make_feed(database), make_feed(database, "org:b")
    database.write_now(put(feed, "a"), feed=feed)
    database.write_now(bury(feed, "a"), feed=feed)
    stand_at(database, other, "other", 10)
    clock.advance(31 * DAY_SECONDS)
    assert run(database) == 0


def test_a_feed_with_history_keeps_one_change_of_each_living_resource(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database, "share:a", history=True)
    database.write_now(happen(feed, "a b a c b d -d"), feed=feed)
    clock.advance(91 * DAY_SECONDS)
    database.write_now(happen(feed, "a b -c"), feed=feed)
    assert run(database) == 4
    assert log_of(database, feed) == [(3, "a", 0), (4, "c", 0), (5, "b", 0), (8, "a", 0), (9, "b", 0), (10, "c", 1)]
    assert floor_of(database, feed) == 7
    assert run(database) == 0
    clock.advance(91 * DAY_SECONDS)
    assert run(database) == 4
    assert log_of(database, feed) == [(8, "a", 0), (9, "b", 0)]
    assert floor_of(database, feed) == 10


def test_the_floor_is_the_highest_position_that_was_dropped(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database, "share:a", history=True)
    database.write_now(happen(feed, "a a b c d"), feed=feed)
    clock.advance(91 * DAY_SECONDS)
    run(database)
    assert floor_of(database, feed) == 1
    # Nobody lost anything by what was looked at and kept.
    database.write_now(happen(feed, "b"), feed=feed)
    clock.advance(91 * DAY_SECONDS)
    run(database)
    assert floor_of(database, feed) == 3


@pytest.mark.parametrize("slice_changes", [1, 2, 3, 7, 500])
def test_slices_of_any_size_end_in_the_same_state(
    database: Database, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, slice_changes: int
) -> None:
    monkeypatch.setattr(module, "SLICE_CHANGES", slice_changes)
    share, org = make_feed(database, "share:a", history=True), make_feed(database)
    database.write_now(happen(share, "a b c a -b d a e -e c b f -f f a"), feed=share)
    for id in "abcde":
        database.write_now(put(org, id), feed=org)
    for id in "bde":
        database.write_now(bury(org, id), feed=org)
    clock.advance(91 * DAY_SECONDS)
    assert run(database) == 13
    assert log_of(database, share) == [(6, "d", 0), (10, "c", 0), (11, "b", 0), (14, "f", 0), (15, "a", 0)]
    assert log_of(database, org) == [(1, "a", 0), (3, "c", 0)]
    assert (floor_of(database, share), floor_of(database, org)) == (13, 8)


def test_a_slice_that_found_less_than_it_may_take_is_the_last(
    database: Database, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_CHANGES", 2)
    number = make_feed(database, "share:a", history=True)
    feed = Feed(number, "share:a", "a", history=True)
    database.write_now(happen(number, "a a a"), feed=number)
    clock.advance(91 * DAY_SECONDS)
    found = [database.write_now(lambda tx: compact_slice(tx, feed, LONG), feed=number) for _ in range(3)]
    assert found == [(1, True), (1, False), (0, False)]


def test_only_feeds_with_old_changes_are_due(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    kept = Feed(feed, "org:a", "a", history=False)
    database.write_now(put(feed, "a"), feed=feed)
    database.write_now(bury(feed, "a"), feed=feed)
    assert database.read_now(lambda tx: is_due(tx, kept, LONG)) is False
    clock.advance(91 * DAY_SECONDS)
    assert database.read_now(lambda tx: is_due(tx, kept, LONG)) is True
    run(database)
    assert database.read_now(lambda tx: is_due(tx, kept, LONG)) is False


def test_feeds_beyond_the_first_page_of_feeds_are_compacted_too(
    database: Database, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEEDS_AT_ONCE", 3)
    numbers = [make_feed(database, f"org:{n}") for n in range(7)]
    for feed in numbers:
        database.write_now(put(feed, "a"), feed=feed)
        database.write_now(bury(feed, "a"), feed=feed)
    clock.advance(91 * DAY_SECONDS)
    assert run(database) == 7
    assert {floor_of(database, feed) for feed in numbers} == {2}


def test_a_compacted_log_agrees_with_its_records(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database)
    for n in range(40):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    for n in range(0, 40, 3):
        database.write_now(bury(feed, f"c{n}"), feed=feed)
    for n in range(0, 40, 6):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    clock.advance(91 * DAY_SECONDS)
    run(database)
    kept = Feed(feed, "org:a", "a", history=False)
    assert database.read_now(lambda tx: list(integrity.check_counters(tx, kept))) == []
    assert [f for f in database.read_now(lambda tx: list(integrity.check(tx))) if f.rule != "feed"] == []


def test_finding_old_tombstones_reads_no_living_change(database: Database) -> None:
    """Both databases have an index that holds tombstones alone."""
    feed = make_feed(database)
    database.write_now(lambda tx: records.put_many(tx, feed, KIND, [_draft(n) for n in range(2000)], {}), feed=feed)
    database.write_now(bury(feed, "c7"), feed=feed)
    explain = "EXPLAIN QUERY PLAN " if database.embedded else "EXPLAIN "
    if not database.embedded:
        database.write_now(lambda tx: tx.run_schema("ANALYZE changes"))
    plan = database.read_now(lambda tx: tx.rows(explain + module._TOMBSTONES, feed, 500))
    assert "changes_dead" in str(plan)


def _draft(n: int) -> records.Draft:
    return records.Draft(f"c{n}", b"{}", "", None, 1, 1)


YEARS_AHEAD_SECONDS = 10 * 365 * DAY_SECONDS


@pytest.mark.parametrize("history", [False, True])
def test_a_deletion_that_a_wrong_clock_dated_in_the_future_stops_no_compaction(
    database: Database, clock: MovableClock, history: bool
) -> None:
    feed = make_feed(database, history=history)

    def delete(id: str) -> None:
        if history:
            database.write_now(happen(feed, f"{id} -{id}"), feed=feed)
        else:
            database.write_now(put(feed, id), feed=feed)
            database.write_now(bury(feed, id), feed=feed)

    clock.advance(YEARS_AHEAD_SECONDS)
    delete("future")
    clock.advance(-YEARS_AHEAD_SECONDS)
    delete("present")
    clock.advance(600 * DAY_SECONDS)
    assert run(database) > 0
    assert log_of(database, feed) == []
    assert floor_of(database, feed) == head_of(database, feed)


def test_a_deletion_dated_in_the_future_is_as_old_as_the_change_after_it(
    database: Database, clock: MovableClock
) -> None:
    feed = make_feed(database)
    clock.advance(YEARS_AHEAD_SECONDS)
    for id in "ab":
        database.write_now(put(feed, id), feed=feed)
    database.write_now(bury(feed, "a"), feed=feed)
    clock.advance(-YEARS_AHEAD_SECONDS)
    assert run(database) == 0, "nothing says yet how old it is"
    database.write_now(put(feed, "c"), feed=feed)
    clock.advance(89 * DAY_SECONDS)
    assert run(database) == 0
    clock.advance(2 * DAY_SECONDS)
    assert run(database) == 1
    assert not row_exists(database, feed, "a")
    assert ids_of(database, feed) == {"b", "c"}

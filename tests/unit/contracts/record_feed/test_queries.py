from __future__ import annotations

import pytest

from headwater.contracts.record_feed import queries
from headwater.contracts.record_feed.queries import FieldConflict
from headwater.store.database import Database
from tests.support.clock import MovableClock
from tests.support.store.transactions import make_feed


@pytest.fixture
def feed(database: Database) -> int:
    return make_feed(database, "org:acme")


def insert(database: Database, feed: int, number: int, resolved_us: int | None = None) -> FieldConflict:
    conflict = FieldConflict(
        f"cfl_{feed}_{number}", feed, number, "contact", "c-1", "phone", 1, 2, b"{}", "client", 5, resolved_us, None
    )
    database.write_now(lambda tx: queries.insert(tx, conflict))
    return conflict


def page(
    database: Database, feed: int, limit: int = 10, offset: int = 0, *, resolved: bool = True
) -> tuple[list[int], int]:
    found, total = database.read_now(lambda tx: queries.page(tx, feed, limit, offset, resolved=resolved))
    return [conflict.number for conflict in found], total


def test_a_conflict_is_found_in_its_own_feed_alone(database: Database, feed: int) -> None:
    conflict = insert(database, feed, 1)
    assert database.read_now(lambda tx: queries.find(tx, feed, conflict.id)) == conflict
    other = make_feed(database, "org:other")
    assert database.read_now(lambda tx: queries.find(tx, other, conflict.id)) is None
    assert database.read_now(lambda tx: queries.find(tx, feed, "cfl_0")) is None


def test_a_page_has_the_newest_first_and_the_whole_count(database: Database, feed: int) -> None:
    for number in (1, 3, 2):
        insert(database, feed, number)
    insert(database, make_feed(database, "org:other"), 9)
    assert page(database, feed) == ([3, 2, 1], 3)
    assert page(database, feed, 2) == ([3, 2], 3)
    assert page(database, feed, 2, 2) == ([1], 3)
    assert page(database, feed, 2, 9) == ([], 3)


def test_conflicts_that_were_decided_are_left_out_unless_asked_for(database: Database, feed: int) -> None:
    insert(database, feed, 1, resolved_us=7)
    insert(database, feed, 2)
    assert page(database, feed, resolved=False) == ([2], 1)
    assert page(database, feed, resolved=True) == ([2, 1], 2)


def test_a_decision_is_noted_with_its_instant(database: Database, feed: int, clock: MovableClock) -> None:
    conflict, other = insert(database, feed, 1), insert(database, feed, 2)
    database.write_now(lambda tx: queries.resolve(tx, feed, conflict.id, "server"))
    decided = conflict._replace(winner="server", resolved_us=clock.at_us)
    assert database.read_now(lambda tx: queries.find(tx, feed, conflict.id)) == decided
    assert database.read_now(lambda tx: queries.find(tx, feed, other.id)) == other

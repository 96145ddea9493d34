"""Runs of the present state, shared by devices that begin: never other than what the feed holds."""

from __future__ import annotations

import json
import random
from typing import Any

from headwater.feed import reader
from headwater.feed.cursor import Place
from headwater.feed.runs import Run, Runs
from headwater.store.database import Database, Transaction
from headwater.store.log import changes, feeds
from tests.support.store.transactions import bury, ids_of, make_feed, put

STEPS = 250


class Follower:
    """A device that begins at the beginning and follows its cursor, with what it then holds."""

    def __init__(self, database: Database, feed: int, runs: Runs) -> None:
        self._database, self._feed, self._runs = database, feed, runs
        self.place: Place | None = None
        self.held: dict[str, int] = {}

    def step(self, limit: int) -> bool:
        """Read a page; whether more stands ready."""
        page = self._database.read_now(lambda tx: reader.read(tx, self._feed, self.place, limit, (), self._runs))
        found = json.loads(b"[" + b"".join(page.parts) + b"]")
        assert len(found) == page.size <= limit
        for change in found:
            assert change["position"] > (self.place.position if self.place else 0)
            if change["op"] == "delete":
                self.held.pop(change["id"], None)
            else:
                self.held[change["id"]] = change["revision"]
        self.place = page.place
        return page.has_more


def pages_of(database: Database, feed: int, place: Place, limit: int, runs: Runs | None) -> list[dict[str, Any]]:
    """Everything of the present state after a place."""
    found: list[dict[str, Any]] = []
    head = place.snapshot_head
    while place.position < head:

        def transaction(tx: Transaction, at: Place = place) -> reader.FeedPage:
            return reader.read(tx, feed, at, limit, (), runs)

        page = database.read_now(transaction)
        found += json.loads(b"[" + b"".join(page.parts) + b"]")
        place = page.place
    return [change for change in found if change["position"] <= head]


def test_devices_that_share_runs_end_with_the_present_state_whatever_happens_between(database: Database) -> None:
    draw, feed, runs = random.Random(7), make_feed(database), Runs(4000, changes=4)
    followers: list[Follower] = []
    for step in range(STEPS):
        id = f"c{draw.randrange(30)}"
        if id in ids_of(database, feed) and draw.random() < 0.3:
            database.write_now(bury(feed, id), feed=feed)
        else:
            database.write_now(put(feed, id), feed=feed)
        if draw.random() < 0.2:
            followers.append(Follower(database, feed, runs))
        for follower in followers[-4:]:
            if draw.random() < 0.5:
                follower.step(draw.choice([3, 4, 9, 50]))
        if step % 50 == 49:
            begin = Place(0, database.read_now(lambda tx: feeds.head(tx, feed)))
            assert pages_of(database, feed, begin, 9, runs) == pages_of(database, feed, begin, 9, None)
    sql = "SELECT id, revision FROM records WHERE feed = ? AND deleted = 0"
    live: dict[str, int] = dict(database.read_now(lambda tx: tx.rows(sql, feed)))
    assert followers
    for follower in followers:
        while follower.step(9):
            pass
        assert follower.held == live


def test_a_second_device_is_given_what_the_first_ones_page_joined(database: Database) -> None:
    feed, runs = make_feed(database), Runs(1 << 20, changes=3)
    for n in range(7):
        database.write_now(put(feed, f"c{n}"), feed=feed)

    def page() -> reader.FeedPage:
        return database.read_now(lambda tx: reader.read(tx, feed, None, 6, (), runs))

    first, second = page(), page()
    assert (first.size, first.place, first.has_more) == (6, Place(6, 7), True)
    assert second == first
    assert second.parts[1] is first.parts[1]
    database.write_now(put(feed, "c1"), feed=feed)
    third = page()
    assert (third.size, third.place) == (5, Place(6, 8))
    assert third.parts[1] is first.parts[1]
    assert b'"c1"' not in b"".join(third.parts)


def test_a_page_that_the_present_state_just_fills_goes_on_with_the_news(database: Database) -> None:
    feed, runs = make_feed(database), Runs(1 << 20, changes=3)
    for n in range(6):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    for _ in range(2):
        full = database.read_now(lambda tx: reader.read(tx, feed, None, 6, (), runs))
        assert (full.size, full.place, full.has_more) == (6, Place(6), False)
    begun = Place(0, 6)
    database.write_now(put(feed, "new"), feed=feed)

    def pages(tx: Transaction) -> list[reader.FeedPage]:
        return [reader.read(tx, feed, begun, most, (), runs) for most in (6, 7, 8)]

    found = database.read_now(pages)
    assert [(page.size, page.place, page.has_more) for page in found] == [
        (6, Place(6), True), (7, Place(7), False), (7, Place(7), False),
    ]  # fmt: skip
    assert [change["position"] for change in json.loads(b"[" + b"".join(found[2].parts) + b"]")] == [*range(1, 8)]


def test_what_is_left_of_the_present_state_after_its_runs_is_in_their_page(database: Database) -> None:
    feed, runs = make_feed(database), Runs(1 << 20, changes=3)
    for n in range(8):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    for _ in range(2):
        page = database.read_now(lambda tx: reader.read(tx, feed, None, 9, (), runs))
        assert (page.size, page.place, page.has_more) == (8, Place(8), False)


def test_a_run_that_lost_most_of_its_changes_is_made_anew(database: Database) -> None:
    feed, runs = make_feed(database), Runs(1 << 20, changes=4)
    for n in range(12):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    database.read_now(lambda tx: reader.read(tx, feed, None, 4, (), runs))
    for n in range(3):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    page = database.read_now(lambda tx: reader.read(tx, feed, None, 4, (), runs))
    assert (page.size, page.place.position) == (4, 7)
    assert [run.last for run in runs.chain(feed, 0, 99, 9)] == [7]


def test_the_longest_unused_runs_go_when_the_memory_is_used_up() -> None:
    runs = Runs(20)
    for after in (0, 10, 20):
        runs.keep(1, after, Run(after + 10, 1, b"12345678"))
        runs.chain(1, 0, 99, 1)
    assert [run.last for run in runs.chain(1, 0, 99, 9)] == [10]
    assert [run.last for run in runs.chain(1, 20, 99, 9)] == [30]
    runs.keep(1, 20, Run(30, 1, b"1"))
    runs.drop(1, 0)
    assert runs.chain(1, 0, 99, 9) == []


def test_a_run_that_is_too_large_to_keep_takes_no_others_place() -> None:
    runs = Runs(20)
    runs.keep(1, 0, Run(10, 1, b"1"))
    runs.keep(1, 10, Run(20, 1, bytes(21)))
    assert [run.last for run in runs.chain(1, 0, 99, 9)] == [10]
    runs.keep(1, 0, Run(10, 1, bytes(21)))
    assert runs.chain(1, 0, 99, 9) == []


def test_a_chain_ends_before_what_a_reader_may_not_see_or_has_no_room_for() -> None:
    runs = Runs(1000)
    runs.keep(1, 0, Run(10, 3, b"1"))
    runs.keep(1, 10, Run(20, 3, b"2"))
    assert [run.last for run in runs.chain(1, 0, 20, 6)] == [10, 20]
    assert [run.last for run in runs.chain(1, 0, 19, 6)] == [10]
    assert [run.last for run in runs.chain(1, 0, 20, 5)] == [10]
    assert runs.chain(2, 0, 20, 6) == []


def test_changes_are_counted_without_tombstones_between_two_positions(database: Database) -> None:
    feed = make_feed(database)
    for id in "abc":
        database.write_now(put(feed, id), feed=feed)
    database.write_now(bury(feed, "b"), feed=feed)
    assert database.read_now(lambda tx: [changes.live_between(tx, feed, 0, upto) for upto in range(5)]) == [
        0,
        1,
        1,
        2,
        2,
    ]

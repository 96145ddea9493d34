from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.base.errors import CursorInvalid
from headwater.feed import reader
from headwater.feed.cursor import Place
from headwater.feed.reader import FeedPage
from headwater.store.database import Database
from headwater.store.log import feeds, records
from tests.support.store.transactions import bury, draft, ids_of, make_feed, put


def read(database: Database, feed: int, place: Place | None, limit: int = 100, kinds: tuple[str, ...] = ()) -> FeedPage:
    return database.read_now(lambda tx: reader.read(tx, feed, place, limit, kinds))


def changes_of(page: FeedPage) -> list[tuple[str, str]]:
    """The ids and operations of a page."""
    found: list[dict[str, Any]] = json.loads(b"[" + b"".join(page.parts) + b"]")
    assert len(found) == page.size
    return [(change["id"], change["op"]) for change in found]


def fill(database: Database, feed: int, names: str) -> None:
    for name in names:
        database.write_now(put(feed, name))


def test_a_feed_without_changes_is_an_empty_page_at_its_head(database: Database) -> None:
    feed = make_feed(database)
    assert read(database, feed, None) == FeedPage((), 0, Place(0), has_more=False)


def test_a_reader_without_a_cursor_begins_with_everything_at_the_present_head(database: Database) -> None:
    feed = make_feed(database)
    fill(database, feed, "abc")
    assert read(database, feed, Place(0, 3)) == read(database, feed, None)


def test_the_present_state_has_no_tombstones_and_news_have(database: Database) -> None:
    feed = make_feed(database)
    fill(database, feed, "abc")
    database.write_now(bury(feed, "b"))
    assert changes_of(read(database, feed, None)) == [("a", "put"), ("c", "put")]
    assert changes_of(read(database, feed, Place(3))) == [("b", "delete")]


def test_what_is_deleted_while_the_present_state_is_read_comes_after_it(database: Database) -> None:
    feed = make_feed(database)
    fill(database, feed, "abcd")
    first = read(database, feed, None, 2)
    assert first.place == Place(2, 4)
    database.write_now(bury(feed, "a"))
    database.write_now(bury(feed, "d"))
    rest = read(database, feed, first.place)
    assert changes_of(first) == [("a", "put"), ("b", "put")]
    assert changes_of(rest) == [("c", "put"), ("a", "delete"), ("d", "delete")]
    assert (rest.place, rest.has_more) == (Place(6), False)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_pages_of_any_length_give_each_record_once(database: Database, limit: int) -> None:
    feed = make_feed(database)
    fill(database, feed, "abcde")
    place, seen, more = None, [], True
    while more:
        page = read(database, feed, place, limit)
        assert page.size <= limit
        seen += changes_of(page)
        place, more = page.place, page.has_more
    assert seen == [(name, "put") for name in "abcde"]
    assert place == Place(5)


@pytest.mark.parametrize(("limit", "has_more"), [(2, True), (3, False), (4, False)])
def test_a_page_says_that_more_stands_ready_only_when_it_does(database: Database, limit: int, has_more: bool) -> None:
    feed = make_feed(database)
    fill(database, feed, "abc")
    assert read(database, feed, None, limit).has_more is has_more
    assert read(database, feed, Place(0), limit).has_more is has_more


def test_a_full_page_before_tombstones_of_the_present_state_has_no_more(database: Database) -> None:
    feed = make_feed(database)
    fill(database, feed, "ab")
    database.write_now(bury(feed, "b"))
    page = read(database, feed, None, 1)
    assert changes_of(page) == [("a", "put")]
    assert not page.has_more


@pytest.mark.parametrize("place", [Place(4), Place(0, 4), Place(2, 10**9), Place(2**63 - 1)])
def test_a_place_ahead_of_the_feed_is_refused(database: Database, place: Place) -> None:
    feed = make_feed(database)
    fill(database, feed, "abc")
    with pytest.raises(CursorInvalid) as failure:
        read(database, feed, place)
    assert failure.value.extra["reason"] == "ahead"


@pytest.mark.parametrize(
    ("place", "good"),
    [(Place(1), False), (Place(2), True), (Place(0, 1), False), (Place(0, 2), True), (Place(1, 3), True)],
)
def test_a_place_below_the_floor_has_expired_unless_its_reading_began_above(
    database: Database, place: Place, good: bool
) -> None:
    feed = make_feed(database)
    fill(database, feed, "abc")
    database.write_now(lambda tx: feeds.raise_floor(tx, feed, 2))
    reason = database.read_now(lambda tx: reader.check(tx, feed, place, 3))
    assert reason == (None if good else "expired")
    if not good:
        with pytest.raises(CursorInvalid) as failure:
            read(database, feed, place)
        assert failure.value.extra["reason"] == "expired"


def test_a_place_at_the_head_is_good_and_has_nothing_more(database: Database) -> None:
    feed = make_feed(database)
    fill(database, feed, "abc")
    assert read(database, feed, Place(3)) == FeedPage((), 0, Place(3), has_more=False)


class TestKinds:
    @pytest.fixture
    def mixed(self, database: Database) -> int:
        """A feed in which contacts (odd positions) and notes (even ones) take turns."""
        feed = make_feed(database)
        for number in range(6):
            kind = ("contact", "note")[number % 2]
            database.write_now(
                lambda tx, kind=kind, number=number: records.create(tx, feed, kind, draft(f"{kind}{number}"))  # type: ignore[misc]
            )
        return feed

    def test_a_reader_of_one_kind_gets_that_alone_and_goes_past_the_others(
        self, database: Database, mixed: int
    ) -> None:
        page = read(database, mixed, None, kinds=("note",))
        assert [id for id, _ in changes_of(page)] == ["note1", "note3", "note5"]
        assert page.place == Place(6)

    def test_more_stands_ready_only_when_it_is_of_these_kinds(self, database: Database, mixed: int) -> None:
        assert read(database, mixed, None, 3, ("contact",)).has_more is False
        assert read(database, mixed, None, 2, ("contact",)).has_more is True
        assert read(database, mixed, Place(1), 2, ("contact",)).has_more is False

    def test_several_kinds_come_in_the_feeds_order(self, database: Database, mixed: int) -> None:
        page = read(database, mixed, Place(0), kinds=("note", "contact", "other"))
        assert page.size == 6

    def test_a_kind_that_the_feed_lacks_is_an_empty_page_at_the_head(self, database: Database, mixed: int) -> None:
        assert read(database, mixed, None, kinds=("other",)) == FeedPage((), 0, Place(6), has_more=False)


def test_a_replica_of_any_moment_follows_to_the_records_that_live(database: Database) -> None:
    feed = make_feed(database)
    moments: list[tuple[Place | None, set[str]]] = [(None, set())]
    for step in ["a", "b", "c", "d", "-b", "a", "e", "-d", "b", "-a"]:
        database.write_now(bury(feed, step[1]) if step.startswith("-") else put(feed, step))
        moments.append((Place(len(moments)), ids_of(database, feed)))
    live = ids_of(database, feed)
    assert live == set("bce")
    for place, held in moments:
        followed = set(held)
        for id, op in changes_of(read(database, feed, place)):
            followed = followed | {id} if op == "put" else followed - {id}
        assert followed == live

from __future__ import annotations

import pytest

from headwater.store.database import Database
from headwater.store.log import feeds
from headwater.store.log.feeds import Feed
from tests.support.store.transactions import make_feed, put


def test_a_feed_is_found_by_its_name_and_read_by_its_number(database: Database) -> None:
    feed = database.write_now(lambda tx: feeds.create(tx, "share:shr_1", "acme", history=True))
    assert database.read_now(lambda tx: feeds.find(tx, "share:shr_1")) == feed
    assert database.read_now(lambda tx: feeds.read(tx, feed)) == Feed(feed, "share:shr_1", "acme", history=True)


def test_an_unknown_feed_is_none(database: Database) -> None:
    assert database.read_now(lambda tx: feeds.find(tx, "org:nobody")) is None
    assert database.read_now(lambda tx: feeds.read(tx, 99)) is None
    assert database.read_now(lambda tx: feeds.organisation_feed(tx, "nobody")) is None


def test_an_organisations_feed_is_its_own_and_not_that_of_a_share(database: Database) -> None:
    own = make_feed(database, "org:acme")
    make_feed(database, "share:acme", history=True)
    assert database.read_now(lambda tx: feeds.organisation_feed(tx, "acme")) == own


def test_two_feeds_never_have_one_number_and_none_has_that_of_nobody(database: Database) -> None:
    numbers = [make_feed(database, f"org:{number}") for number in range(10)]
    assert len(set(numbers)) == 10
    assert feeds.ACCESS not in numbers


def test_a_second_feed_of_one_name_is_refused(database: Database) -> None:
    make_feed(database, "org:acme")
    with pytest.raises(Exception, match=r"(?i)unique"):
        make_feed(database, "org:acme")


def test_the_head_is_the_position_of_the_newest_change(database: Database) -> None:
    feed = make_feed(database)
    heads = [database.read_now(lambda tx: feeds.head(tx, feed))]
    for name in "aba":
        database.write_now(put(feed, name))
        heads.append(database.read_now(lambda tx: feeds.head(tx, feed)))
    assert heads == [0, 1, 2, 3]


def test_a_floor_rises_and_never_falls(database: Database) -> None:
    feed = make_feed(database)
    floors = []
    for position in (5, 3, 5, 9, 0):
        database.write_now(lambda tx, position=position: feeds.raise_floor(tx, feed, position))  # type: ignore[misc]
        floors.append(database.read_now(lambda tx: feeds.floor(tx, feed)))
    assert floors == [5, 5, 5, 9, 9]


def test_the_floor_of_one_feed_is_not_that_of_another(database: Database) -> None:
    first, second = make_feed(database, "org:a"), make_feed(database, "org:b")
    database.write_now(lambda tx: feeds.raise_floor(tx, first, 5))
    assert database.read_now(lambda tx: (feeds.floor(tx, first), feeds.floor(tx, second))) == (5, 0)


def test_the_floor_of_an_unknown_feed_is_zero(database: Database) -> None:
    assert database.read_now(lambda tx: feeds.floor(tx, 99)) == 0


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_pages_of_feeds_hold_each_once_by_number(database: Database, limit: int) -> None:
    numbers = [make_feed(database, f"org:{number}") for number in range(5)]
    found: list[int] = []
    after = 0
    while page := database.read_now(lambda tx, after=after: feeds.page(tx, after, limit)):  # type: ignore[misc]
        assert len(page) <= limit
        found += [feed.feed for feed in page]
        after = page[-1].feed
    assert found == sorted(numbers)

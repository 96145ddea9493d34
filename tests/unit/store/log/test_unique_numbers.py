"""Integers of ids: unique in the installation, and the same for an organisation whatever the others do."""

from __future__ import annotations

from contextlib import suppress

from headwater.store.database import Database, Transaction
from headwater.store.log import unique_numbers
from headwater.store.log.unique_numbers import BLOCK, number_of
from tests.support.store.transactions import make_feed


def take(database: Database, feed: int, count: int = 1, sequence: str = "contact") -> list[int]:
    return database.write_now(lambda tx: unique_numbers.take(tx, feed, sequence, count), feed=feed)


def test_no_two_places_share_a_block_and_each_grows() -> None:
    blocks = {(place, block): number_of(place, block * BLOCK + 1) for place in range(1, 60) for block in range(60)}
    assert len(set(blocks.values())) == len(blocks)
    assert all((number - 1) % BLOCK == 0 for number in blocks.values())
    assert all(blocks[place, block] < blocks[place, block + 1] for place in range(1, 60) for block in range(59))
    assert [number_of(1, own) for own in (1, 2, BLOCK, BLOCK + 1)] == [1, 2, BLOCK, BLOCK + 1]


def test_an_organisation_cannot_count_the_ids_of_another(database: Database) -> None:
    one, other = make_feed(database, "org:a"), make_feed(database, "org:b")
    assert take(database, one, 2) == [1, 2]
    quiet = take(database, other)
    for _ in range(5):
        take(database, other, BLOCK // 2)
    assert take(database, one, 2) == [3, 4]
    assert quiet == [number_of(2, 1)]


def test_ids_of_many_organisations_are_unique_and_ascend_within_each(database: Database) -> None:
    feeds = [make_feed(database, f"org:{number}") for number in range(6)]
    found: dict[int, list[int]] = {feed: [] for feed in feeds}
    for turn in range(4):
        for feed in feeds:
            found[feed] += take(database, feed, BLOCK // 3 * (turn + 1) + feed)
    assert all(numbers == sorted(numbers) for numbers in found.values())
    everything = [number for numbers in found.values() for number in numbers]
    assert len(set(everything)) == len(everything)


def test_contact_and_sync_ids_have_places_of_their_own(database: Database) -> None:
    one, other = make_feed(database, "org:a"), make_feed(database, "org:b")
    assert take(database, one) == [1]
    assert take(database, other, sequence="sync") == [1]
    assert take(database, one, sequence="sync") == [number_of(2, 1)]


def test_an_undone_write_gives_its_integers_back(database: Database) -> None:
    feed = make_feed(database, "org:a")

    def transaction(tx: Transaction) -> list[int]:
        with suppress(ValueError), tx.savepoint():
            unique_numbers.take(tx, feed, "contact", 3)
            raise ValueError("undone")
        return unique_numbers.take(tx, feed, "contact")

    assert database.write_now(transaction, feed=feed) == [1]


def test_ids_of_data_from_before_the_blocks_are_not_given_out_again(database: Database) -> None:
    """The step 0056 leaves the last of them as the base."""
    one, other = make_feed(database, "org:a"), make_feed(database, "org:b")
    database.write_now(lambda tx: tx.run("INSERT INTO counters (feed, name, value) VALUES (0, 'base:contact', 41)"))
    assert take(database, one, 2) == [42, 43]
    assert take(database, other) == [41 + number_of(2, 1)]
    assert take(database, one) == [44]

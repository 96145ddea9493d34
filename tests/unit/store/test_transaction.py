"""Counters, savepoints and what a commit moves: what every database's transaction does alike."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.store.database import Database, Moved, Transaction
from headwater.store.log import feeds, records
from tests.support.store.transactions import draft, failing, head_of, make_feed, put


@pytest.fixture
def feed(database: Database) -> int:
    return make_feed(database)


@pytest.fixture
def moves(database: Database) -> list[Moved]:
    """What the commits move that follow."""
    told: list[Moved] = []
    database.on_commit(lambda moved: told.append(dict(moved)))
    return told


class TestCounters:
    def test_a_counter_that_was_never_raised_is_zero(self, database: Database, feed: int) -> None:
        assert database.read_now(lambda tx: tx.counter(feed, "live:contact")) == 0

    @pytest.mark.parametrize("by", [1, 5, 0, -3, 2**40])
    def test_a_counter_is_raised_by_any_number(self, database: Database, feed: int, by: int) -> None:
        assert database.write_now(lambda tx: tx.bump(feed, "n", by)) == by
        assert database.read_now(lambda tx: tx.counter(feed, "n")) == by

    def test_a_transaction_reads_what_it_raised(self, database: Database, feed: int) -> None:
        def transaction(tx: Transaction) -> list[int]:
            return [tx.counter(feed, "n"), tx.bump(feed, "n", 2), tx.bump(feed, "n"), tx.counter(feed, "n")]

        assert database.write_now(transaction) == [0, 2, 3, 3]

    def test_counters_differ_by_feed_and_by_name(self, database: Database, feed: int) -> None:
        database.write_now(lambda tx: tx.bump(feed, "n"))
        assert database.read_now(lambda tx: (tx.counter(feed, "m"), tx.counter(0, "n"))) == (0, 0)

    def test_a_transaction_that_fails_raises_no_counter(self, database: Database, feed: int) -> None:
        with pytest.raises(Exception, match=r"^$"):
            database.write_now(failing(lambda tx: tx.bump(feed, "n")))
        assert database.read_now(lambda tx: tx.counter(feed, "n")) == 0


class TestMoved:
    def test_a_raised_head_moves_the_feed_to_it(self, database: Database, feed: int, moves: list[Moved]) -> None:
        database.write_now(put(feed, "a"), feed=feed)
        assert moves[0][feed] == head_of(database, feed) == 1

    def test_another_counter_moves_nothing(self, database: Database, feed: int, moves: list[Moved]) -> None:
        database.write_now(lambda tx: tx.bump(feed, "live:contact"), feed=feed)
        assert moves == []

    def test_a_head_that_is_raised_by_nothing_moves_nothing(
        self, database: Database, feed: int, moves: list[Moved]
    ) -> None:
        database.write_now(lambda tx: tx.bump(feed, "head", 0), feed=feed)
        assert moves == []

    def test_a_feed_is_announced_without_a_change(self, database: Database, moves: list[Moved]) -> None:
        def transaction(tx: Transaction) -> None:
            tx.run("DELETE FROM meta WHERE name = ?", "nothing")
            tx.notify(feeds.ACCESS)

        database.write_now(transaction)
        assert moves[0][feeds.ACCESS] == 0

    def test_an_announcement_does_not_hide_the_new_head(
        self, database: Database, feed: int, moves: list[Moved]
    ) -> None:
        def transaction(tx: Transaction) -> None:
            put(feed, "a")(tx)
            tx.notify(feed)

        database.write_now(transaction, feed=feed)
        assert moves[0][feed] == 1

    def test_the_lock_of_a_feed_moves_nothing(self, database: Database, feed: int, moves: list[Moved]) -> None:
        database.write_now(lambda tx: tx.lock(feed), feed=feed)
        assert moves == []


class TestSavepoint:
    def attempt(self, database: Database, feed: int, inside: Any) -> list[Any]:
        """What a transaction sees after a part of it that fails, and what is stored in the end."""

        def transaction(tx: Transaction) -> int:
            tx.bump(feed, "n")
            with pytest.raises(ZeroDivisionError):
                tx.attempt(lambda: inside(tx))
            return tx.counter(feed, "n")

        seen = database.write_now(transaction, feed=feed)
        return [seen, database.read_now(lambda tx: tx.counter(feed, "n")), head_of(database, feed)]

    def test_what_fails_inside_undoes_its_counters_and_rows_alone(
        self, database: Database, feed: int, moves: list[Moved]
    ) -> None:
        def inside(tx: Transaction) -> None:
            tx.bump(feed, "n", 10)
            put(feed, "a")(tx)
            raise ZeroDivisionError

        assert self.attempt(database, feed, inside) == [1, 1, 0]
        assert moves == []

    def test_a_savepoint_inside_another_undoes_itself_alone(self, database: Database, feed: int) -> None:
        def inner(tx: Transaction) -> None:
            tx.bump(feed, "n", 100)
            raise ZeroDivisionError

        def transaction(tx: Transaction) -> int:
            with tx.savepoint():
                tx.bump(feed, "n", 10)
                with pytest.raises(ZeroDivisionError):
                    tx.attempt(lambda: inner(tx))
            return tx.counter(feed, "n")

        assert database.write_now(transaction, feed=feed) == 10

    def test_a_part_that_succeeds_gives_its_result_and_is_kept(self, database: Database, feed: int) -> None:
        assert database.write_now(lambda tx: tx.attempt(lambda: tx.bump(feed, "n", 4)), feed=feed) == 4
        assert database.read_now(lambda tx: tx.counter(feed, "n")) == 4


class TestReading:
    @pytest.fixture
    def filled(self, database: Database, feed: int) -> Database:
        for name in "abc":
            database.write_now(put(feed, name), feed=feed)
        return database

    def test_one_row_of_several_is_the_first_and_of_none_is_none(self, filled: Database, feed: int) -> None:
        sql = "SELECT id, position FROM records WHERE feed = ? AND position > ? ORDER BY position"
        assert filled.read_now(lambda tx: tx.row(sql, feed, 1)) == ("b", 2)
        assert filled.read_now(lambda tx: tx.value(sql, feed, 1)) == "b"
        assert filled.read_now(lambda tx: tx.row(sql, feed, 9)) is None
        assert filled.read_now(lambda tx: tx.value(sql, feed, 9)) is None

    @pytest.mark.parametrize(
        ("ids", "found"),
        [
            (["c", "a"], ["a", "c"]),
            ([], []),
            (["z"], []),
            (["a", "a"], ["a"]),
            (["a'; --", "å", '"', "\\", "b"], ["b"]),
        ],
    )
    def test_rows_are_found_among_any_texts(
        self, filled: Database, feed: int, ids: list[str], found: list[str]
    ) -> None:
        sql = "SELECT id FROM records WHERE feed = ? AND id"
        assert sorted(row[0] for row in filled.read_now(lambda tx: tx.rows_in(sql, ids, feed))) == found

    def test_wires_are_joined_in_the_order_of_their_positions(self, filled: Database, feed: int) -> None:
        sql = "SELECT position, wire FROM changes WHERE feed = ? AND position >= ? ORDER BY position"
        wires = [row[1] for row in filled.read_now(lambda tx: tx.rows(sql, feed, 2))]
        assert filled.read_now(lambda tx: tx.joined(sql, feed, 2)) == (2, 3, b",".join(map(bytes, wires)))
        assert filled.read_now(lambda tx: tx.joined(sql, feed, 9)) == (0, 0, b"")


def test_a_record_and_its_feeds_head_are_stored_together_or_not_at_all(database: Database, feed: int) -> None:
    with pytest.raises(Exception, match=r"^$"):
        database.write_now(failing(lambda tx: records.create(tx, feed, "contact", draft("a"))), feed=feed)
    assert head_of(database, feed) == 0
    assert database.read_now(lambda tx: records.find(tx, feed, "contact", "a")) is None
    assert database.read_now(lambda tx: records.live_count(tx, feed, "contact")) == 0

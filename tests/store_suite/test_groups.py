"""Group commit: works share a transaction and harm each other in nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import pytest

from headwater.base.errors import Unavailable
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds, records
from tests.support.store.transactions import (
    KIND,
    Refused,
    bury,
    draft,
    failing,
    head_of,
    ids_of,
    log_of,
    make_feed,
    put,
    together,
)


def test_a_work_gets_its_own_result(database: Database) -> None:
    feed = make_feed(database)
    assert [row.id for row in together(database, [put(feed, f"c{n}") for n in range(40)], feed)] == [
        f"c{n}" for n in range(40)
    ]


def test_works_of_one_group_see_what_the_works_before_them_did(database: Database) -> None:
    feed = make_feed(database)
    rows = together(database, [put(feed, "a"), put(feed, "a"), bury(feed, "a"), put(feed, "a")], feed)
    assert [(row.revision, row.number) for row in rows] == [(1, 1), (2, 1), (3, 1), (4, 2)]
    assert log_of(database, feed) == [(3, "a", 1), (4, "a", 0)]


def test_works_of_one_group_run_at_one_instant(database: Database) -> None:
    assert len(set(together(database, [lambda tx: tx.now_us] * 10))) == 1


def test_a_work_that_fails_before_it_writes_fails_alone(database: Database) -> None:
    feed = make_feed(database)

    def refuse(tx: Transaction) -> None:
        records.find(tx, feed, KIND, "a")
        raise Refused

    outcomes = together(database, [put(feed, "a"), refuse, put(feed, "b")], feed)
    assert isinstance(outcomes[1], Refused)
    assert ids_of(database, feed) == {"a", "b"}


def test_a_work_that_fails_after_it_wrote_leaves_nothing_and_takes_no_neighbour_along(database: Database) -> None:
    feed = make_feed(database)
    works = [failing(put(feed, f"c{n}")) if n % 3 == 1 else put(feed, f"c{n}") for n in range(30)]
    outcomes = together(database, works, feed)
    assert [isinstance(outcome, Refused) for outcome in outcomes] == [n % 3 == 1 for n in range(30)]
    assert ids_of(database, feed) == {f"c{n}" for n in range(30) if n % 3 != 1}
    assert [position for position, _, _ in log_of(database, feed)] == list(range(1, 21))
    assert head_of(database, feed) == 20


def test_a_work_that_fails_in_the_database_takes_no_neighbour_along(database: Database) -> None:
    feed = make_feed(database)

    def twice(tx: Transaction) -> None:
        put(feed, "twice")(tx)
        tx.run("INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)", feed, "one", 1)
        tx.run("INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)", feed, "one", 1)

    outcomes = together(database, [put(feed, "a"), twice, put(feed, "b")], feed)
    assert isinstance(outcomes[1], Exception)
    assert ids_of(database, feed) == {"a", "b"}
    assert database.read_now(lambda tx: tx.counter(feed, "one")) == 0


def test_a_work_that_fails_in_a_batch_of_statements_takes_no_neighbour_along(database: Database) -> None:
    feed = make_feed(database)
    sql = "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)"

    def twice(tx: Transaction) -> None:
        tx.run_many(sql, [(feed, "one", 1), (feed, "one", 1)])

    outcomes = together(database, [put(feed, "a"), twice, put(feed, "b")], feed)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert ids_of(database, feed) == {"a", "b"}


def test_a_work_that_reads_wrongly_takes_no_neighbour_along(database: Database) -> None:
    feed = make_feed(database)
    outcomes = together(database, [put(feed, "a"), lambda tx: tx.rows("SELECT nothing"), put(feed, "b")], feed)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert ids_of(database, feed) == {"a", "b"}


def test_every_work_of_a_group_may_fail(database: Database) -> None:
    feed = make_feed(database)
    outcomes = together(database, [failing(put(feed, f"c{n}")) for n in range(10)], feed)
    assert all(isinstance(outcome, Refused) for outcome in outcomes)
    assert (ids_of(database, feed), head_of(database, feed)) == (set(), 0)
    assert database.write_now(put(feed, "a"), feed=feed).position == 1


def test_a_savepoint_that_fails_undoes_only_itself(database: Database) -> None:
    feed = make_feed(database)

    def transaction(tx: Transaction) -> int:
        put(feed, "a")(tx)
        with pytest.raises(Refused), tx.savepoint():
            failing(put(feed, "b"))(tx)
        with tx.savepoint():
            put(feed, "c")(tx)
            with pytest.raises(Refused), tx.savepoint():
                failing(bury(feed, "a"))(tx)
        return feeds.head(tx, feed)

    assert database.write_now(transaction, feed=feed) == 2
    assert log_of(database, feed) == [(1, "a", 0), (2, "c", 0)]
    assert database.read_now(lambda tx: records.live_count(tx, feed, KIND)) == 2


def test_a_savepoint_in_which_a_statement_fails_undoes_only_itself(database: Database) -> None:
    feed = make_feed(database)
    sql = "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)"

    def transaction(tx: Transaction) -> None:
        put(feed, "a")(tx)
        with pytest.raises(Exception, match=r"(?i)unique"), tx.savepoint():
            tx.run_many(sql, [(feed, "one", 1), (feed, "one", 1)])
        put(feed, "b")(tx)

    database.write_now(transaction, feed=feed)
    assert [id for _, id, _ in log_of(database, feed)] == ["a", "b"]


def test_a_work_that_swallows_a_failed_statement_fails_or_keeps_what_it_says(database: Database) -> None:
    """PostgreSQL cannot go on after a failed statement, so the work fails as a whole; SQLite can."""
    feed = make_feed(database)
    sql = "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)"

    def transaction(tx: Transaction) -> None:
        put(feed, "a")(tx)
        tx.run(sql, feed, "one", 1)
        with pytest.raises(Exception, match=r"(?i)unique"):
            tx.run(sql, feed, "one", 1)

    outcome = together(database, [transaction, put(feed, "b")], feed)[0]
    assert ids_of(database, feed) == ({"b"} if outcome else {"a", "b"})


def test_commits_are_told_before_they_are_answered(database: Database) -> None:
    feed, other = make_feed(database), make_feed(database, "org:b")
    told: dict[int, int] = {}
    database.on_commit(told.update)
    together(database, [put(feed, f"c{n}") for n in range(5)], feed)
    assert told[feed] == 5
    database.write_now(put(other, "a"), feed=other)
    assert told[other] == 1


def test_a_commit_that_moves_no_feed_is_not_told(database: Database) -> None:
    told: list[Mapping[int, int]] = []
    database.on_commit(told.append)
    database.write_now(lambda tx: tx.run("INSERT INTO meta (name, value) VALUES (?, ?)", "a", b"b"))
    assert told == []


def test_a_work_that_names_no_feed_may_move_any(database: Database) -> None:
    feed, other = make_feed(database), make_feed(database, "org:b")

    def both(tx: Transaction) -> None:
        put(feed, "a")(tx)
        put(other, "a")(tx)

    assert [outcome for outcome in together(database, [both] * 3) if isinstance(outcome, Exception)] == []
    assert (head_of(database, feed), head_of(database, other)) == (3, 3)


def test_a_work_may_make_a_feed_and_write_to_it(database: Database) -> None:
    def transaction(tx: Transaction) -> int:
        feed = feeds.create(tx, "org:new", "new", history=False)
        put(feed, "a")(tx)
        return feed

    feed = database.write_now(transaction)
    assert log_of(database, feed) == [(1, "a", 0)]


def test_a_write_inside_a_write_is_refused(database: Database) -> None:
    outcome = together(database, [lambda tx: database.write_now(lambda inner: None)])[0]
    assert isinstance(outcome, RuntimeError)


def test_writes_beyond_the_queue_are_refused_and_the_others_kept(narrow_database: Database) -> None:
    """The database takes 32 waiting writes, in groups of 8."""
    feed = make_feed(narrow_database)
    outcomes = together(narrow_database, [put(feed, f"c{n}") for n in range(100)], feed)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(refused) == 68
    assert all(refusal.retry_after_seconds == 1 for refusal in refused)
    assert ids_of(narrow_database, feed) == {f"c{n}" for n in range(32)}
    assert len(together(narrow_database, [put(feed, "again")], feed)) == 1


def test_a_close_keeps_what_was_accepted_and_refuses_the_rest(database: Database) -> None:
    feed = make_feed(database)
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)
        put(feed, "slow")(tx)

    async def run() -> list[object]:
        first = asyncio.ensure_future(database.write(slow, feed=feed))
        await asyncio.to_thread(begun.wait, 30)
        waiting = [asyncio.ensure_future(database.write(put(feed, f"c{n}"), feed=feed)) for n in range(5)]
        # One step of the loop: the writes are accepted, and not yet handed over.
        await asyncio.sleep(0)
        closing = asyncio.get_running_loop().run_in_executor(None, database.close)
        await asyncio.sleep(0.05)
        late = asyncio.ensure_future(database.write(put(feed, "late"), feed=feed))
        outcomes = await asyncio.gather(late, return_exceptions=True)
        go_on.set()
        await closing
        return [*outcomes, *await asyncio.gather(first, *waiting, return_exceptions=True)]

    outcomes = asyncio.run(run())
    assert isinstance(outcomes[0], Unavailable)
    assert not any(isinstance(outcome, Exception) for outcome in outcomes[1:])
    with pytest.raises(Unavailable):
        database.read_now(lambda tx: tx.value("SELECT 1"))


def test_a_cancelled_caller_disturbs_nobody(database: Database) -> None:
    feed = make_feed(database)

    async def run() -> None:
        first = asyncio.ensure_future(database.write(put(feed, "a"), feed=feed))
        second = asyncio.ensure_future(database.write(put(feed, "b"), feed=feed))
        await asyncio.sleep(0)
        first.cancel()
        await second

    asyncio.run(run())
    assert "b" in ids_of(database, feed)


def test_writes_from_many_threads_and_loops_are_all_kept(database: Database) -> None:
    feed = make_feed(database)
    # Made once, so that the threads only race in the database.
    drafts = [draft(f"t{n}") for n in range(4)]

    def from_a_thread(n: int) -> None:
        for m in range(10):
            database.write_now(put(feed, f"{drafts[n].id}-{m}"), feed=feed)

    def from_a_loop(n: int) -> None:
        together(database, [put(feed, f"l{n}-{m}") for m in range(10)], feed)

    threads = [threading.Thread(target=from_a_thread, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=from_a_loop, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids_of(database, feed)) == 80
    assert [position for position, _, _ in log_of(database, feed)] == list(range(1, 81))

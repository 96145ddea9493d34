"""PostgreSQL that restarts, cuts connections, deadlocks or takes too long: retried or refused, never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import psycopg
import pytest
import structlog

from headwater.base.errors import HeadwaterError, Invalid, Unavailable
from headwater.store.database import Transaction
from headwater.store.log import records
from headwater.store.postgres.connection import PostgresLink
from headwater.store.postgres.database import PostgresDatabase
from tests.support.clock import MovableClock
from tests.support.store.databases import SHARED, SMALL, fresh_postgres, open_at, shared_postgres
from tests.support.store.postgres import postgres_server
from tests.support.store.transactions import KIND, Refused, draft, failing, ids_of, log_of, make_feed, put, together

pytestmark = pytest.mark.postgres

CUT = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'headwater'"
COUNTER = "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)"


@pytest.fixture
def database(tmp_path: Path, clock: MovableClock) -> Iterator[PostgresDatabase]:
    with fresh_postgres(tmp_path, clock) as opened:
        assert isinstance(opened, PostgresDatabase)
        yield opened


def administer(sql: str) -> None:
    postgres_server().run(sql, SHARED)


def test_a_cut_connection_is_opened_again_without_a_word(database: PostgresDatabase) -> None:
    feed = make_feed(database)
    for n in range(3):
        database.write_now(put(feed, f"c{n}"), feed=feed)
        assert len(ids_of(database, feed)) == n + 1
        administer(CUT)
    assert database.write_now(put(feed, "again"), feed=feed).position == 4


def test_a_connection_that_is_cut_in_the_middle_of_a_work_loses_and_doubles_nothing(
    database: PostgresDatabase,
) -> None:
    feed = make_feed(database)
    cut: list[bool] = []

    def cutting(tx: Transaction) -> None:
        put(feed, "b")(tx)
        if not cut:
            cut.append(True)
            administer(CUT)
        put(feed, "b")(tx)

    outcomes = together(database, [put(feed, "a"), cutting, put(feed, "c")], feed)
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert log_of(database, feed) == [(1, "a", 0), (3, "b", 0), (4, "c", 0)]


def test_a_read_whose_connection_is_cut_is_read_again(database: PostgresDatabase) -> None:
    cut: list[bool] = []

    def transaction(tx: Transaction) -> int:
        tx.value("SELECT 1")
        if not cut:
            cut.append(True)
            administer(CUT)
        return int(tx.value("SELECT 2"))

    assert database.read_now(transaction) == 2


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_that_is_lost_at_the_commit_is_told_as_an_unknown_outcome(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    feed = make_feed(database)
    runs: list[int] = []

    def transaction(tx: Transaction) -> None:
        runs.extend(tx.mint("contact"))
        put(feed, f"c{len(runs)}")(tx)

    lose_next_commit(monkeypatch, committed=committed)
    outcomes = together(database, [transaction, transaction], feed)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert all(outcome.retry_after_seconds for outcome in outcomes)
    assert len(runs) == 2
    assert ids_of(database, feed) == ({"c1", "c2"} if committed else set())
    database.write_now(transaction, feed=feed)
    # What the lost commit minted may be in use.
    assert len(set(runs)) == 3


def lose_next_commit(monkeypatch: pytest.MonkeyPatch, *, committed: bool) -> None:
    """Lose the connection in the next commit: after it took place, or before."""
    commit = PostgresLink.end
    lost: list[bool] = []

    def end(link: PostgresLink, sql: bytes) -> None:
        if lost or committed:
            commit(link, sql)
        if not lost:
            lost.append(True)
            link.close()
            raise psycopg.OperationalError("the connection was lost")

    monkeypatch.setattr(PostgresLink, "end", end)


def test_a_commit_that_fails_without_an_answer_of_the_database_is_not_run_again(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = make_feed(database)
    commit = PostgresLink.end

    def end(link: PostgresLink, sql: bytes) -> None:
        commit(link, sql)
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(PostgresLink, "end", end)
    outcomes = together(database, [put(feed, "a"), put(feed, "b")], feed)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert log_of(database, feed) == [(1, "a", 0), (2, "b", 0)]


def test_a_server_that_restarts_under_load_loses_nothing_acknowledged(database: PostgresDatabase) -> None:
    feed = make_feed(database)
    acknowledged: list[str] = []
    enough = threading.Event()
    ended = threading.Event()

    def write(name: str) -> None:
        n = 0
        while not ended.is_set():
            n += 1
            try:
                acknowledged.append(database.write_now(put(feed, f"{name}-{n}"), feed=feed).id)
            except Unavailable:
                continue
            if len(acknowledged) > 50:
                enough.set()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    postgres_server().restart()
    before = len(acknowledged)
    for _ in range(600):
        if len(acknowledged) > before + 20:
            break
        ended.wait(0.1)
    ended.set()
    for thread in threads:
        thread.join()
    assert len(acknowledged) > before + 20
    assert set(acknowledged) <= ids_of(database, feed)
    assert [position for position, _, _ in log_of(database, feed)] == list(range(1, len(ids_of(database, feed)) + 1))


def test_works_that_deadlock_are_run_again_and_succeed(database: PostgresDatabase) -> None:
    other = open_at(shared_postgres())
    both = threading.Barrier(2)
    database.write_now(lambda tx: tx.run_many(COUNTER, [(-1, "a", 0), (-1, "b", 0)]))
    runs = []

    def raising(names: str) -> object:
        def transaction(tx: Transaction) -> None:
            runs.append(names)
            sql = "UPDATE counters SET value = value + 1 WHERE feed = -1 AND name = ?"
            tx.run(sql, names[0])
            if len(runs) <= 2:
                both.wait(30)
            tx.run(sql, names[1])

        return transaction

    # Two feeds, so that nothing but the rows themselves is in the way.
    thread = threading.Thread(target=lambda: together(other, [raising("ba")], 1))  # type: ignore[list-item]
    thread.start()
    outcome = together(database, [raising("ab")], 2)  # type: ignore[list-item]
    thread.join()
    other.close()
    assert outcome == [None]
    assert len(runs) > 2
    values = database.read_now(lambda tx: tx.rows("SELECT value FROM counters WHERE feed = -1 AND name <> 'head'"))
    assert values == [(2,), (2,)]


def test_a_statement_that_takes_too_long_is_ended(tmp_path: Path, clock: MovableClock) -> None:
    with fresh_postgres(tmp_path, clock, msgspec.structs.replace(SMALL, statement_seconds=1)) as database:
        feed = make_feed(database)
        outcomes = together(database, [put(feed, "a"), lambda tx: tx.rows("SELECT pg_sleep(9)"), put(feed, "b")], feed)
        assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [False, True, False]
        with pytest.raises(Unavailable):
            database.read_now(lambda tx: tx.rows("SELECT pg_sleep(9)"))
        assert ids_of(database, feed) == {"a", "b"}


def test_a_feed_that_somebody_holds_too_long_is_refused_and_free_afterwards(
    tmp_path: Path, clock: MovableClock
) -> None:
    with fresh_postgres(tmp_path, clock, msgspec.structs.replace(SMALL, statement_seconds=1)) as database:
        feed = make_feed(database)
        with psycopg.connect(shared_postgres()) as holder:
            holder.execute("SELECT 1 FROM counters WHERE feed = %s FOR UPDATE", (feed,))
            with pytest.raises(Unavailable):
                database.write_now(put(feed, "a"), feed=feed)
        assert database.write_now(put(feed, "a"), feed=feed).position == 1


@pytest.mark.parametrize("before", range(5))
def test_after_a_deadline_in_any_of_the_first_transactions_writes_go_on(
    tmp_path: Path, clock: MovableClock, before: int
) -> None:
    # A statement is prepared at its third use; in an aborted pipeline the server never sees the preparation.
    with fresh_postgres(tmp_path, clock, msgspec.structs.replace(SMALL, statement_seconds=1)) as database:
        feed = make_feed(database)
        with pytest.raises(Refused):
            database.write_now(failing(put(feed, "undone")), feed=feed)
        for n in range(before):
            database.write_now(put(feed, f"c{n}"), feed=feed)
        with psycopg.connect(shared_postgres()) as holder:
            holder.execute("SELECT 1 FROM counters WHERE feed = %s FOR UPDATE", (feed,))
            with pytest.raises(Unavailable):
                database.write_now(put(feed, "late"), feed=feed)
        for n in range(5):
            assert database.write_now(put(feed, f"d{n}"), feed=feed).position == before + n + 1


@pytest.mark.parametrize("before", range(4))
def test_a_statement_first_prepared_after_a_failure_in_the_same_transaction_is_prepared_again(
    database: PostgresDatabase, before: int
) -> None:
    feed = make_feed(database)
    sql = "INSERT INTO counters (feed, name, value) VALUES (-1, ?, 0)"
    for _ in range(2):
        with pytest.raises(Refused):
            database.write_now(failing(lambda tx: refused_part(tx, sql)), feed=feed)
    for n in range(before):
        database.write_now(lambda tx, n=n: tx.put(sql, f"n{n}"))  # type: ignore[misc]

    def spoilt(tx: Transaction) -> None:
        with suppress(psycopg.Error), tx.savepoint():
            tx.put("INSERT INTO no_such_table (a) VALUES (?)", 1)
            tx.put(sql, "undone")
            tx.value("SELECT 1")
        tx.put(sql, f"inside {before}")
        put(feed, "a")(tx)

    database.write_now(spoilt, feed=feed)
    for n in range(4):
        database.write_now(lambda tx, n=n: tx.put(sql, f"m{n}"))  # type: ignore[misc]
    names = database.read_now(lambda tx: tx.rows("SELECT name FROM counters WHERE feed = -1 AND name <> 'head'"))
    wanted = {f"n{n}" for n in range(before)} | {f"m{n}" for n in range(4)} | {f"inside {before}"}
    assert {name for (name,) in names} == wanted


def refused_part(tx: Transaction, sql: str) -> None:
    with suppress(Refused), tx.savepoint():
        failing(lambda inner: inner.put(sql, "undone"))(tx)


def test_a_text_that_postgres_cannot_keep_is_refused_alone(database: PostgresDatabase) -> None:
    feed = make_feed(database)
    outcomes = together(database, [put(feed, "a"), put(feed, "nul\0"), put(feed, "b")], feed)
    assert [type(outcome) for outcome in outcomes] == [records.Record, Invalid, records.Record]
    assert ids_of(database, feed) == {"a", "b"}


def test_after_lost_notifications_every_feed_may_have_moved(database: PostgresDatabase) -> None:
    feed = make_feed(database)
    told: list[Mapping[int, int]] = []
    missed, heard = threading.Event(), threading.Event()

    def listen(moved: Mapping[int, int]) -> None:
        told.append(moved)
        if -1 in moved:
            missed.set()
        if feed in moved:
            heard.set()

    database.on_commit(listen)
    with structlog.testing.capture_logs() as lines:
        administer(CUT)
        assert missed.wait(30)
    assert any("notifications stopped" in line["event"] for line in lines)
    other = open_at(shared_postgres())
    other.write_now(put(feed, "a"), feed=feed)
    other.close()
    assert heard.wait(30)


def test_a_server_that_may_lose_commits_is_told_of(database: PostgresDatabase) -> None:
    with structlog.testing.capture_logs() as lines:
        open_at(shared_postgres()).close()
    # The server of the tests runs without fsync.
    assert {line["setting"] for line in lines} == {"fsync", "full_page_writes"}


def test_a_database_that_turns_durable_commits_off_gets_them_all_the_same(database: PostgresDatabase) -> None:
    postgres_server().run(f"ALTER DATABASE {SHARED} SET synchronous_commit = off")
    other = open_at(shared_postgres())
    try:
        assert other.write_now(lambda tx: tx.value("SHOW synchronous_commit")) == "on"
    finally:
        other.close()
        postgres_server().run(f"ALTER DATABASE {SHARED} RESET synchronous_commit")


def test_a_database_in_another_encoding_is_refused() -> None:
    server = postgres_server()
    server.run("CREATE DATABASE headwater_latin ENCODING 'LATIN1' TEMPLATE template0")
    try:
        with pytest.raises(HeadwaterError, match="UTF8"):
            open_at(server.url("headwater_latin"))
    finally:
        server.run("DROP DATABASE headwater_latin WITH (FORCE)")


def test_a_server_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(psycopg.OperationalError):
        open_at(f"postgresql://postgres@/none?host={tmp_path}")


def test_a_standby_takes_no_writes_until_it_does(database: PostgresDatabase) -> None:
    feed = make_feed(database)
    database.write_now(put(feed, "a"), feed=feed)
    postgres_server().run(f"ALTER DATABASE {SHARED} SET default_transaction_read_only = on")
    other = open_at(shared_postgres())
    try:
        with pytest.raises(Unavailable):
            other.write_now(put(feed, "b"), feed=feed)
        assert ids_of(other, feed) == {"a"}
        postgres_server().run(f"ALTER DATABASE {SHARED} RESET default_transaction_read_only")
        assert other.write_now(put(feed, "b"), feed=feed).position == 2
    finally:
        postgres_server().run(f"ALTER DATABASE {SHARED} RESET default_transaction_read_only")
        other.close()


def test_reads_do_not_hold_the_event_loop(database: PostgresDatabase) -> None:
    async def run() -> list[str]:
        order = []

        async def slow() -> None:
            await database.read(lambda tx: tx.rows("SELECT pg_sleep(0.2)"))
            order.append("slow")

        async def quick() -> None:
            await database.read(lambda tx: tx.value("SELECT 1"))
            order.append("quick")

        await asyncio.gather(slow(), quick())
        return order

    assert asyncio.run(run()) == ["quick", "slow"]


def test_records_in_bulk_and_one_by_one_share_a_transaction(database: PostgresDatabase) -> None:
    feed = make_feed(database)

    def transaction(tx: Transaction) -> None:
        records.create(tx, feed, KIND, draft("first"))
        records.put_many(tx, feed, KIND, [draft(f"c{n}") for n in range(100)], {})
        records.create(tx, feed, KIND, draft("last"))

    outcomes = together(database, [put(feed, "before"), transaction, put(feed, "after")], feed)
    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    assert [id for _, id, _ in log_of(database, feed)] == [
        "before",
        "first",
        *(f"c{n}" for n in range(100)),
        "last",
        "after",
    ]

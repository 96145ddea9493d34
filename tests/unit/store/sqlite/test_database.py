"""What SQLite alone does: its WAL, its readers, its numbers."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import structlog

from headwater.base.errors import HeadwaterError, Unavailable
from headwater.base.settings.field import MIB
from headwater.store.database import Transaction
from headwater.store.migrate import migrate
from headwater.store.sqlite import database as sqlite_database
from headwater.store.sqlite.database import SqliteDatabase
from headwater.store.sqlite.session import connect
from tests.support.store.databases import SMALL
from tests.support.store.transactions import ids_of, make_feed, put, together

pytestmark = pytest.mark.sqlite_only

BIG = b'{"n":"' + b"x" * 20_000 + b'"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headwater.sqlite"


@pytest.fixture
def small_wal(path: Path) -> Iterator[SqliteDatabase]:
    """A database that truncates its WAL at 1 MiB."""
    database = SqliteDatabase(path, msgspec.structs.replace(SMALL, wal_limit_bytes=MIB))
    migrate(database)
    yield database
    database.close()


def wal_bytes(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def write_mebibyte(database: SqliteDatabase, feed: int, name: str) -> None:
    together(database, [put(feed, f"{name}-{n}", BIG) for n in range(60)], feed)
    # The writer tidies up after it has answered; one more write waits for that.
    database.write_now(lambda tx: None)


def test_the_wal_is_truncated_when_it_is_over_its_limit(small_wal: SqliteDatabase, path: Path) -> None:
    feed = make_feed(small_wal)
    for n in range(4):
        write_mebibyte(small_wal, feed, f"r{n}")
    assert wal_bytes(path) <= 2 * MIB


def test_a_read_of_one_row_among_many_does_not_keep_the_wal_from_being_truncated(
    small_wal: SqliteDatabase, path: Path
) -> None:
    feed = make_feed(small_wal)
    write_mebibyte(small_wal, feed, "a")
    sql = "SELECT id FROM records WHERE feed = ? ORDER BY id"

    def peek_and_put(tx: Transaction) -> None:
        put(feed, "b", b'"' + b"x" * 2 * MIB + b'"')(tx)
        assert tx.row(sql, feed) == ("a-0",)

    small_wal.write_now(peek_and_put)
    # The writer has tidied up once its connection may be closed, which a second opener keeps from doing it for it.
    other = connect(str(path), synchronous="normal")
    small_wal.close()
    assert wal_bytes(path) == 0
    other.close()


def test_a_reader_that_never_ends_is_told_of_and_stops_nobody(small_wal: SqliteDatabase, path: Path) -> None:
    feed = make_feed(small_wal)
    reader = connect(str(path), synchronous="normal")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM records").fetchall()
    with structlog.testing.capture_logs() as lines:
        for n in range(8):
            write_mebibyte(small_wal, feed, f"r{n}")
    told = [line for line in lines if line["event"].startswith("the WAL cannot be truncated")]
    assert 1 <= len(told) <= 4
    assert all(line["wal_bytes"] > 2 * MIB for line in told)
    assert wal_bytes(path) > 4 * MIB
    reader.execute("ROLLBACK")
    write_mebibyte(small_wal, feed, "after")
    assert wal_bytes(path) <= 2 * MIB
    assert len(ids_of(small_wal, feed)) == 9 * 60
    reader.close()


def test_a_read_that_takes_too_long_is_ended(path: Path) -> None:
    database = SqliteDatabase(path, msgspec.structs.replace(SMALL, statement_seconds=1))
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    try:
        with pytest.raises(Unavailable):
            database.read_now(lambda tx: tx.value(endless))
        assert database.read_now(lambda tx: tx.value("SELECT 1")) == 1
    finally:
        database.close()


def test_a_read_cannot_write(small_wal: SqliteDatabase) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        small_wal.read_now(lambda tx: tx.run("INSERT INTO meta (name, value) VALUES ('a', x'00')"))


def test_a_read_sees_one_snapshot_from_its_first_statement_on(small_wal: SqliteDatabase) -> None:
    feed = make_feed(small_wal)
    count = "SELECT count(*) FROM records WHERE feed = ?"

    def transaction(tx: Transaction) -> list[Any]:
        before = tx.value(count, feed)
        thread = threading.Thread(target=small_wal.write_now, args=(put(feed, "a"),))
        thread.start()
        thread.join()
        return [before, tx.value(count, feed)]

    assert small_wal.read_now(transaction) == [0, 0]
    assert small_wal.read_now(lambda tx: tx.value(count, feed)) == 1


def test_the_version_changes_with_commits_of_this_and_of_other_openers(small_wal: SqliteDatabase, path: Path) -> None:
    feed = make_feed(small_wal)
    seen = [small_wal.version()]
    assert small_wal.version() == seen[0]
    small_wal.write_now(put(feed, "a"))
    seen.append(small_wal.version())
    other = SqliteDatabase(path, SMALL)
    other.write_now(put(feed, "b"))
    seen.append(small_wal.version())
    other.close()
    assert len(set(seen)) == 3


def test_slow_reads_run_on_threads_and_see_the_same(small_wal: SqliteDatabase) -> None:
    feed = make_feed(small_wal)
    small_wal.write_now(put(feed, "a"))

    async def run() -> list[tuple[str, int]]:
        def transaction(tx: Transaction) -> tuple[str, int]:
            return threading.current_thread().name, tx.value("SELECT count(*) FROM records")

        inline = await small_wal.read(transaction)
        return [inline, *await asyncio.gather(*(small_wal.read(transaction, slow=True) for _ in range(20)))]

    found = asyncio.run(run())
    assert {count for _, count in found} == {1}
    assert all(name.startswith("headwater-reader") for name, _ in found[1:])
    assert not found[0][0].startswith("headwater-reader")


def test_the_reader_of_an_ended_thread_is_closed(small_wal: SqliteDatabase) -> None:
    for _ in range(10):
        thread = threading.Thread(target=small_wal.read_now, args=(lambda tx: tx.value("SELECT 1"),))
        thread.start()
        thread.join()
    small_wal.read_now(lambda tx: tx.value("SELECT 1"))
    gc.collect()
    # Two for the writer and the watch, one for this thread, and the last thread's until another one reads.
    assert len([c for c in apsw.connections() if c.filename.endswith("headwater.sqlite")]) <= 4


def test_a_statement_is_not_planned_anew_for_each_value(small_wal: SqliteDatabase) -> None:
    """A join on the log is planned once; without the planner's stability it would be planned at each call."""
    feed = make_feed(small_wal)
    write_mebibyte(small_wal, feed, "a")
    sql = (
        "SELECT c.wire FROM records r JOIN changes c ON c.feed = r.feed AND c.position = r.position"
        " WHERE r.feed = ? AND r.kind = ? AND r.id = ?"
    )
    connection = connect(str(small_wal.path), synchronous="normal")
    planned: list[int] = []

    def note(operation: int, *names: str | None) -> int:
        # SQLite asks while it plans, and at no other time.
        planned.append(operation)
        return apsw.SQLITE_OK

    connection.authorizer = note
    connection.execute(sql, (feed, "contact", "a-0")).fetchall()
    once = len(planned)
    for n in range(20):
        assert len(connection.execute(sql, (feed, "contact", f"a-{n}")).fetchall()) == 1
    connection.close()
    assert once > 0
    assert len(planned) == once


def test_an_unsafe_library_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(HeadwaterError, match=r"3\.51\.3"):
        SqliteDatabase(path, SMALL)
    assert sqlite_database.FIXED_VERSION == (3, 51, 3)


def test_a_connection_that_makes_the_first_wal_waits_for_whoever_writes(tmp_path: Path) -> None:
    path = str(tmp_path / "new.sqlite")
    other = apsw.Connection(path)
    other.execute("CREATE TABLE a (b); BEGIN IMMEDIATE; CREATE TABLE c (d)")
    ending = threading.Timer(0.1, other.execute, ("COMMIT",))
    ending.start()
    try:
        connection = connect(path, synchronous="normal")
    finally:
        ending.join()
        other.close()
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()

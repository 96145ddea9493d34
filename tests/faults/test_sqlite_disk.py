"""SQLite on a disk that is full, or whose fsync fails: nothing acknowledged is lost, and reads go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from headwater.base.errors import Fatal, QuotaExceeded
from headwater.base.settings.field import KIB, MIB
from headwater.base.settings.table import DatabaseSettings
from headwater.store.database import FULL
from headwater.store.log import records
from headwater.store.migrate import migrate
from headwater.store.sqlite.database import SqliteDatabase
from headwater.store.sqlite.session import PAGE_BYTES
from tests.support.store.disk import Disk, faulty_disk
from tests.support.store.transactions import Refused, bury, failing, ids_of, log_of, make_feed, put, together

pytestmark = pytest.mark.sqlite_only

BIG = b'{"n":"' + b"x" * 20_000 + b'"}'


class Opened:
    """A database on a faulty disk, and what it told of fatal failures."""

    def __init__(self, folder: Path, settings: DatabaseSettings, disk: Disk) -> None:
        self.disk = disk
        self.path = folder / "headwater.sqlite"
        self.fatal: list[Exception] = []
        self.database = SqliteDatabase(self.path, settings, on_fatal=self.fatal.append)
        migrate(self.database)
        self.feed = make_feed(self.database)


@contextmanager
def opened(folder: Path, **settings: int) -> Iterator[Opened]:
    with faulty_disk(folder / "headwater.reserve") as disk:
        on_disk = Opened(folder, DatabaseSettings(**settings), disk)  # type: ignore[arg-type]
        try:
            yield on_disk
        finally:
            disk.free_bytes = disk.writes_left = None
            disk.sync_fails = False
            on_disk.database.close()


def kept_in(path: Path, feed: int) -> set[str]:
    """The ids that a fresh process would find."""
    database = SqliteDatabase(path, DatabaseSettings(reserve_file_bytes=0))
    try:
        return ids_of(database, feed)
    finally:
        database.close()


def test_every_commit_is_synced_once_for_its_whole_group(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=0) as on:
        before = on.disk.syncs
        together(on.database, [put(on.feed, f"c{n}") for n in range(50)], on.feed)
        assert on.disk.syncs == before + 1


def test_after_a_failed_fsync_nothing_is_acknowledged_and_writing_stops(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=0) as on:
        on.database.write_now(put(on.feed, "kept"))
        on.disk.sync_fails = True
        outcomes = together(on.database, [put(on.feed, f"c{n}") for n in range(10)], on.feed)
        assert all(isinstance(outcome, Fatal) for outcome in outcomes)
        assert [type(failure) for failure in on.fatal] == [Fatal]
        on.disk.sync_fails = False
        with pytest.raises(Fatal):
            on.database.write_now(put(on.feed, "later"))
        assert "kept" in ids_of(on.database, on.feed)
        assert len(on.fatal) == 1
    assert "later" not in kept_in(on.path, on.feed) >= {"kept"}


def test_after_a_failed_fsync_the_wal_is_left_for_the_next_start(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=0) as on:
        on.database.write_now(put(on.feed, "kept"))
        on.disk.sync_fails = True
        together(on.database, [put(on.feed, "lost")])
    assert (tmp_path / "headwater.sqlite-wal").stat().st_size > 0
    assert kept_in(on.path, on.feed) >= {"kept"}


def test_a_failed_fsync_while_the_wal_is_folded_in_stops_writing_and_takes_back_no_answer(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=0, wal_limit_bytes=MIB) as on:
        # What the opening wrote may be folded in after its answer: that is over when the next answer comes.
        on.database.write_now(lambda _tx: None)
        on.disk.main_only = on.disk.sync_fails = True
        ids = [f"c{n}" for n in range(60)]
        outcomes = together(on.database, [put(on.feed, id, BIG) for id in ids], on.feed)
        assert not any(isinstance(outcome, Exception) for outcome in outcomes)
        assert isinstance(together(on.database, [put(on.feed, "late")])[0], Fatal)
        assert [type(failure) for failure in on.fatal] == [Fatal]
    assert kept_in(on.path, on.feed) == set(ids)


def test_a_full_disk_refuses_writes_and_keeps_reads_and_what_was_written(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=0) as on:
        on.database.write_now(put(on.feed, "kept"))
        on.disk.fill()
        outcomes = together(on.database, [put(on.feed, f"c{n}", BIG) for n in range(10)], on.feed)
        assert {type(outcome) for outcome in outcomes} == {QuotaExceeded}
        assert {outcome.error_code for outcome in outcomes} == {"DISK_FULL"}
        assert ids_of(on.database, on.feed) == {"kept"}
        on.disk.free_bytes = None
        on.database.write_now(put(on.feed, "again"))
        assert on.fatal == []
    assert kept_in(on.path, on.feed) == {"kept", "again"}


def test_on_a_full_disk_the_reserve_is_given_up_so_that_deleting_works(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=256 * KIB) as on:
        together(on.database, [put(on.feed, f"c{n}") for n in range(10)], on.feed)
        on.disk.fill()
        assert isinstance(together(on.database, [put(on.feed, "big", b'"' + b"x" * 500_000 + b'"')])[0], QuotaExceeded)
        assert not (tmp_path / "headwater.reserve").exists()
        assert not any(isinstance(row, Exception) for row in together(on.database, [bury(on.feed, "c3")], on.feed))
        assert ids_of(on.database, on.feed) == {f"c{n}" for n in range(10)} - {"c3"}


@pytest.mark.parametrize("writes_left", range(0, 60, 4))
def test_a_disk_that_fills_at_any_write_leaves_whole_works_only(tmp_path: Path, writes_left: int) -> None:
    with opened(tmp_path, reserve_file_bytes=0, writer_batch_requests=4) as on:
        on.database.write_now(put(on.feed, "kept"))
        on.disk.writes_left = writes_left
        works = [put(on.feed, f"c{n}", BIG) for n in range(12)]
        outcomes = together(on.database, works, on.feed)
        assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} <= {QuotaExceeded}
        kept = {f"c{n}" for n, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)} | {"kept"}
        assert ids_of(on.database, on.feed) == kept
        assert [position for position, _, _ in log_of(on.database, on.feed)] == list(range(1, len(kept) + 1))
        on.disk.writes_left = None
        assert on.database.write_now(put(on.feed, "again")).position == len(kept) + 1
        assert on.fatal == []
    assert kept_in(on.path, on.feed) == kept | {"again"}


def test_a_disk_that_fills_while_the_wal_is_folded_in_applies_no_work_twice(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=0, wal_limit_bytes=MIB) as on:
        # What the opening wrote may be folded in after its answer: that is over when the next answer comes.
        on.database.write_now(lambda _tx: None)
        on.disk.main_only = True
        on.disk.fill()
        outcomes = together(on.database, [put(on.feed, f"c{n}", BIG) for n in range(60)], on.feed)
        assert not any(isinstance(outcome, Exception) for outcome in outcomes)
        assert [position for position, _, _ in log_of(on.database, on.feed)] == list(range(1, 61))
        assert all(row.revision == row.born for row in outcomes)


def test_a_start_on_a_full_disk_serves_without_a_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int, _offset: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    database = SqliteDatabase(tmp_path / "headwater.sqlite", DatabaseSettings())
    try:
        assert database.read_now(lambda tx: tx.value("SELECT 1")) == 1
        assert not (tmp_path / "headwater.reserve").exists()
        assert database.refusal() == FULL
    finally:
        database.close()


def test_a_connection_that_cannot_roll_back_is_replaced(tmp_path: Path) -> None:
    with opened(tmp_path, reserve_file_bytes=0) as on:
        session = on.database._writer._session
        execute, refused = session._execute, []  # type: ignore[attr-defined]

        def refusing(sql: str) -> object:
            if sql == "ROLLBACK":
                refused.append(sql)
                raise apsw.BusyError("no")
            return execute(sql)

        session._execute = refusing  # type: ignore[attr-defined]
        outcomes = together(on.database, [failing(put(on.feed, "undone")), put(on.feed, "kept")])
        assert refused
        assert [type(outcome) for outcome in outcomes] == [Refused, records.Record]
        assert ids_of(on.database, on.feed) == {"kept"}
        assert on.database.write_now(put(on.feed, "again")).position == 2
        assert on.fatal == []


def test_a_damaged_file_stops_writing(tmp_path: Path) -> None:
    fatal: list[Exception] = []
    path = tmp_path / "headwater.sqlite"
    database = SqliteDatabase(path, DatabaseSettings(reserve_file_bytes=0))
    migrate(database)
    feed = make_feed(database)
    together(database, [put(feed, f"c{n}", BIG) for n in range(20)], feed)
    page = database.read_now(lambda tx: tx.value("SELECT rootpage FROM sqlite_schema WHERE name = 'counters'"))
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    database = SqliteDatabase(path, DatabaseSettings(reserve_file_bytes=0), on_fatal=fatal.append)
    try:
        with pytest.raises(Fatal):
            database.write_now(put(feed, "a"))
        assert [type(failure) for failure in fatal] == [Fatal]
    finally:
        database.close()

"""After an erasure no byte of the erased content is in the data folder, nor in a new backup."""

from __future__ import annotations

import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import apsw
import msgspec
import pytest

from headwater.store.database import Transaction
from headwater.store.log import records
from headwater.store.migrate import migrate
from headwater.store.sqlite import session
from headwater.store.sqlite.database import SqliteDatabase
from tests.support.command import START_SECONDS, RunningServer, headwater, running
from tests.support.store.databases import SMALL
from tests.support.store.transactions import bury, draft, make_feed, put

pytestmark = pytest.mark.sqlite_only

CONTACTS = "/api/v1/contacts"
MARK = b"Tromsdalstind"
PEOPLE = 300
MIB = 1 << 20


def hits(folder: Path, mark: bytes = MARK) -> dict[str, int]:
    """The files below a folder that contain the mark, with the number of times."""
    found = {
        str(path.relative_to(folder)): path.read_bytes().lower().count(mark.lower())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {name: count for name, count in found.items() if count}


def until_clean(folder: Path) -> dict[str, int]:
    """What is left in a folder once nothing is, or after the time that a start may take."""
    ends = monotonic() + START_SECONDS
    while (left := hits(folder)) and monotonic() < ends:
        sleep(0.2)
    return left


def person(number: int, **more: str) -> dict[str, str]:
    mark = MARK.decode()
    return {
        "first_name": f"{mark} {number}",
        "last_name": mark * 5,
        "email": f"{mark}{number}@secret.example",
        "address": f"{mark} {number}, 0155 Oslo",
        **more,
    }


def change(id: str, number: int, base: int = 1) -> dict[str, Any]:
    fields = {"email": f"third{number}@{MARK.decode()}.example"}
    return {
        "client_change_id": f"e{number}", "kind": "contact", "id": id, "op": "put", "base_revision": base,
        "fields": fields,
    }  # fmt: skip


def fill(served: RunningServer) -> list[str]:
    """People that came by keys, were edited, and met conflicts; their ids."""
    ids: list[str] = []
    for number in range(PEOPLE):
        made = served.call("POST", CONTACTS, person(number), headers={"Idempotency-Key": f"k{number}"})
        ids.append(made["contact_id"])
        served.call("PUT", f"{CONTACTS}/{made['contact_id']}", {"email": f"second{number}@{MARK.decode()}.example"})
    for start in range(0, PEOPLE, 100):
        changes = [change(id, start + at) for at, id in enumerate(ids[start : start + 100])]
        results = served.call("POST", "/api/v1/feed/push", {"device_id": "phone", "changes": changes})["results"]
        assert {outcome["outcome"] for outcome in results} == {"conflict"}
    return ids


@pytest.fixture
def served(tmp_path: Path) -> Iterator[RunningServer]:
    with running(tmp_path / "data") as server:
        yield server


@pytest.mark.slow
def test_nothing_is_left_of_erased_people_on_the_disk_and_in_a_new_backup(
    served: RunningServer, tmp_path: Path
) -> None:
    served.call("POST", CONTACTS, {"first_name": "Stays"})
    ids = fill(served)
    assert hits(served.data)
    for id in ids:
        served.call("DELETE", f"{CONTACTS}/{id}")
    assert until_clean(served.data) == {}, "the running server"
    backup = tmp_path / "after.tar"
    assert headwater("backup", backup, "--data", served.data).returncode == 0
    with tarfile.open(backup) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert hits(tmp_path / "unpacked") == {}, "the backup"
    assert backup.read_bytes().count(MARK) == 0
    code, out, err = served.stop()
    assert code == 0, err
    assert hits(served.data) == {}, "after the stop"
    assert MARK.decode() not in out + err, "the log"


@pytest.mark.slow
def test_a_crash_between_the_erasure_and_its_housekeeping_leaves_nothing_after_the_next_start(
    served: RunningServer, tmp_path: Path
) -> None:
    made = served.call("POST", CONTACTS, person(1))
    until_clean_before = served.call("POST", CONTACTS, person(2))
    served.call("DELETE", f"{CONTACTS}/{made['contact_id']}")
    served.call("DELETE", f"{CONTACTS}/{until_clean_before['contact_id']}")
    served.stop(signal.SIGKILL)
    with running(served.data) as again:
        assert until_clean(again.data) == {}


def test_many_deletions_share_one_truncation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truncated = 0
    checkpoint = apsw.Connection.wal_checkpoint

    class Counted(apsw.Connection):
        def wal_checkpoint(self, *arguments: Any, **named: Any) -> tuple[int, int]:
            nonlocal truncated
            truncated += 1
            return checkpoint(self, *arguments, **named)

    monkeypatch.setattr(apsw, "Connection", Counted)
    database = SqliteDatabase(tmp_path / "h.sqlite", SMALL)
    try:
        migrate(database)
        feed = make_feed(database)
        for number in range(200):
            database.write_now(put(feed, f"c{number}", b'{"n":"%b"}' % MARK))
        truncated = 0
        for number in range(200):
            database.write_now(bury(feed, f"c{number}"))
        assert truncated <= 20, "deletions in a row must not each wait for a checkpoint"
    finally:
        database.close()
    assert hits(tmp_path) == {}


@pytest.mark.parametrize("seed", [2, 4, 5])
def test_no_copy_is_left_where_rows_moved_between_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Without the writing anew, seed 5 leaves four copies; after a writing anew that comes too early, 2 and 4 do."""
    monkeypatch.setattr(session, "SCRUB_SECONDS", 0.0)
    monkeypatch.setattr(session, "REBUILD_SHARE", 0)
    random = Random(seed)
    stay, gone = [f"s{number}" for number in range(300)], [f"g{number}" for number in range(500)]

    def write(names: list[str], mark: bytes) -> None:
        def transaction(tx: Transaction) -> None:
            drafts = [draft(name, b'{"n":"%b"}' % (mark * random.randint(1, 30))) for name in names]
            records.put_many(tx, feed, "contact", drafts, records.find_many(tx, feed, "contact", names))

        database.write_now(transaction)

    def erase(names: list[str]) -> None:
        def transaction(tx: Transaction) -> None:
            records.delete_many(tx, feed, "contact", list(records.find_many(tx, feed, "contact", names).values()))

        database.write_now(transaction)

    database = SqliteDatabase(tmp_path / "h.sqlite", SMALL)
    try:
        migrate(database)
        feed = make_feed(database)
        write(stay[:200], b"S")
        write(gone, MARK)
        write(stay, b"T")
        for _ in range(4):
            some, others = random.sample(gone, 100), random.sample(stay, 100)
            write(some, MARK)
            write(others, b"U")
        for start in range(0, 500, 50):
            erase(gone[start : start + 50])
        database.scrub()
        assert hits(tmp_path) == {}, "the open database"
        assert database.read_now(lambda tx: tx.rows("PRAGMA integrity_check")) == [("ok",)]
        assert database.read_now(lambda tx: records.live_count(tx, feed, "contact")) == 300
        write(stay, b"V")
    finally:
        database.close()
    assert hits(tmp_path) == {}, "the closed database"


def test_a_reader_that_never_ends_does_not_let_the_wal_grow_by_the_writing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SCRUB_SECONDS", 0.0)
    monkeypatch.setattr(session, "REBUILD_SHARE", 0)
    monkeypatch.setattr(session, "_SCRUB_RETRY_SECONDS", 0.0)
    limit_bytes = 4 * MIB
    database = SqliteDatabase(tmp_path / "h.sqlite", msgspec.structs.replace(SMALL, wal_limit_bytes=limit_bytes))
    try:
        migrate(database)
        feed = make_feed(database)
        for number in range(60):
            database.write_now(put(feed, f"c{number}"))
        reader = apsw.Connection(str(tmp_path / "h.sqlite"))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchall()
        for number in range(60):
            database.write_now(bury(feed, f"c{number}"))
        assert (tmp_path / "h.sqlite-wal").stat().st_size < 4 * limit_bytes
        reader.close()
    finally:
        database.close()


def test_a_file_of_before_has_its_free_pages_overwritten_by_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "headwater.sqlite"
    old = apsw.Connection(str(path))
    for pragma in ("page_size = 8192", "journal_mode = WAL", "secure_delete = OFF"):
        old.execute("PRAGMA " + pragma)
    old.execute("CREATE TABLE junk (content TEXT)")
    with old:
        old.executemany("INSERT INTO junk VALUES (?)", [(MARK.decode() * 50,) for _ in range(5_000)])
    old.execute("DROP TABLE junk")
    old.close()
    assert hits(tmp_path)
    database = SqliteDatabase(path, SMALL)
    try:
        database.overwrite_free_pages()
        database.scrub()
    finally:
        database.close()
    assert hits(tmp_path) == {}

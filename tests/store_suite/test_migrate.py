"""The schema is made once, step by step, by whoever comes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.store import migrate as module
from headwater.store.database import Database, Transaction
from headwater.store.migrate import migrate, pending, steps
from tests.support.store.databases import UNMADE, open_at
from tests.support.store.transactions import ids_of, make_feed, put

NAMES = [name for name, _ in steps()]


@pytest.fixture
def address(database_kind: str, tmp_path: Path) -> Iterator[str]:
    with UNMADE[database_kind](tmp_path) as found:
        yield found


@pytest.fixture
def unmade(address: str) -> Iterator[Database]:
    database = open_at(address)
    yield database
    database.close()


def test_every_step_is_applied_once_and_in_order(unmade: Database) -> None:
    assert pending(unmade) == NAMES
    assert migrate(unmade) == NAMES
    assert (migrate(unmade), pending(unmade)) == ([], [])
    feed = make_feed(unmade)
    unmade.write_now(put(feed, "a"), feed=feed)
    assert migrate(unmade) == []
    assert ids_of(unmade, feed) == {"a"}


def test_the_steps_are_numbered_and_each_number_stands_once() -> None:
    numbers = [name[:4] for name in NAMES]
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_a_step_that_fails_leaves_nothing_of_itself(unmade: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(unmade)
    broken = ("9998_broken.sql", "CREATE TABLE half (a INTEGER); CREATE TABLE counters (a INTEGER);")
    mended = ("9998_broken.sql", "CREATE TABLE half (a INTEGER);")
    monkeypatch.setattr(module, "steps", lambda: [*steps(), broken])
    with pytest.raises(Exception, match="already exists"):
        migrate(unmade)
    monkeypatch.setattr(module, "steps", lambda: [*steps(), mended])
    assert pending(unmade) == ["9998_broken.sql"]
    assert migrate(unmade) == ["9998_broken.sql"]
    assert unmade.read_now(lambda tx: tx.rows("SELECT a FROM half")) == []


def test_versions_that_had_the_same_number_are_numbered_anew_by_age(unmade: Database) -> None:
    step = "0033_version_numbers.sql"
    migrate(unmade, [name for name in NAMES if name < step])
    rows = [("first", 1, 10), ("second", 2, 20), ("twin", 2, 30), ("fourth", 3, 40)]

    def fill(tx: Transaction) -> None:
        for node in ("fil_twins", None):
            for id, number, created_us in rows:
                tx.run(
                    "INSERT INTO versions (feed, id, node, number, state, size_bytes, content_hash, mime_type,"
                    " modified_us, created_us, user_id, device_id)"
                    " VALUES (7, ?, ?, ?, 'kept', 0, '', '', 0, ?, '', '')",
                    f"{id} {node}", node, number if node else 0, created_us,
                )  # fmt: skip

    unmade.write_now(fill)
    assert migrate(unmade) == [name for name in NAMES if name >= step]
    found = unmade.read_now(lambda tx: tx.rows("SELECT id, number FROM versions"))
    numbers = {row[0]: row[1] for row in found}
    assert [numbers[f"{id} fil_twins"] for id, _, _ in rows] == [1, 2, 3, 4]
    assert {numbers[f"{id} None"] for id, _, _ in rows} == {0}


def test_several_that_start_at_once_make_one_schema(address: str) -> None:
    openers = 4
    applied: list[list[str]] = []
    failures: list[BaseException] = []
    gate = threading.Barrier(openers)

    def start() -> None:
        try:
            gate.wait(30)
            database = open_at(address)
            try:
                applied.append(migrate(database))
            finally:
                database.close()
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=start) for _ in range(openers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(name for names in applied for name in names) == NAMES

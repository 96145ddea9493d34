"""Every row of every table out in pages and in again, the same on both databases."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from headwater.base.errors import HeadwaterError
from headwater.store import dump
from headwater.store.database import Database, Row, Transaction
from headwater.store.migrate import steps
from tests.support.clock import MovableClock
from tests.support.store.databases import OPENERS, SMALL

ALL_STEPS = [name for name, _ in steps()]


def fill(tx: Transaction) -> None:
    """Counters under a key of two columns, and facts with bytes."""
    tx.run_many(
        "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)",
        [(feed, f"n:{place:02d}", 2**62 - place) for feed in (9, 1, 5) for place in range(7)],
    )
    tx.run_many("INSERT INTO meta (name, value) VALUES (?, ?)", [("a", b""), ("b", bytes(range(256)))])


def rows_of(database: Database, name: str, page_rows: int) -> list[list[Row]]:
    def transaction(tx: Transaction) -> list[list[Row]]:
        table = dump.describe(tx, name, embedded=database.embedded)
        return [[tuple(row) for row in page] for page in dump.pages(tx, table, page_rows)]

    return database.read_now(transaction)


@pytest.mark.parametrize("page_rows", [1, 4, 7, 20, 21, 22, 5000])
def test_pages_hold_every_row_once_in_key_order(database: Database, page_rows: int) -> None:
    database.write_now(fill)
    pages = rows_of(database, "counters", page_rows)
    flat = [row for page in pages for row in page]
    assert [row[:2] for row in flat] == sorted((feed, f"n:{place:02d}") for feed in (1, 5, 9) for place in range(7))
    assert {len(page) for page in pages[:-1]} <= {page_rows}


def test_an_empty_table_has_no_page(database: Database) -> None:
    assert rows_of(database, "answers", 10) == []


def test_every_table_of_the_schema_is_known_with_its_key(database: Database) -> None:
    def transaction(tx: Transaction) -> list[dump.Table]:
        return [dump.describe(tx, name, embedded=database.embedded) for name in dump.names(ALL_STEPS)]

    described = {table.name: table for table in database.read_now(transaction)}
    assert described["changes"].key == ("feed", "position")
    assert described["records"].columns[:3] == ("feed", "kind", "id")
    assert {"meta", "tokens", "devices", "chapters", "answers"} <= described.keys()


def test_tables_of_steps_that_are_not_named_are_left_out() -> None:
    assert "tokens" not in dump.names(["0001_log.sql"])


def test_a_table_that_is_not_there_is_named(database: Database) -> None:
    with pytest.raises(HeadwaterError, match="no_such_table"):
        database.read_now(lambda tx: dump.describe(tx, "no_such_table", embedded=database.embedded))


@pytest.mark.postgres
def test_packed_rows_of_one_database_load_into_the_other(
    database: Database, database_kind: str, tmp_path: Path, clock: MovableClock
) -> None:
    kind = "sqlite" if database_kind == "postgres" else "postgres"
    database.write_now(fill)
    (tmp_path / "other").mkdir()
    with OPENERS[kind](tmp_path / "other", clock, SMALL) as other:
        for name in ("counters", "meta"):
            columns = other.read_now(partial(dump.describe, name=name, embedded=other.embedded)).columns
            other.write_now(partial(dump.clear, name=name))
            for page in rows_of(database, name, 8):
                rows = dump.unpack(dump.pack(page))
                other.write_now(partial(dump.insert, name=name, columns=columns, rows=rows))
            assert rows_of(other, name, 100) == rows_of(database, name, 100)


def test_bytes_that_are_no_rows_are_refused() -> None:
    with pytest.raises(HeadwaterError, match="cannot be read"):
        dump.unpack(b"\xff\xff")

"""One statement for many rows does what it does for one row after the other, few rows or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from headwater.store.database import Database, Row, Transaction
from tests.support.store.transactions import together

FEW, MANY = 5, 200
INSERT = "INSERT INTO answers (organisation, caller, key, request_hash, answer, at_us) VALUES (?, 'c', ?, ?, ?, 7)"
UPSERT = (
    "INSERT INTO answers (organisation, caller, key, request_hash, answer, at_us) VALUES (?, 'c', ?, ?, ?, ?)"
    " ON CONFLICT (organisation, caller, key) DO UPDATE SET answer = excluded.answer, at_us = excluded.at_us"
)
EVERYTHING = "SELECT organisation, caller, key, request_hash, answer, at_us FROM answers ORDER BY organisation, key"


def key(n: int) -> str:
    return f"k{n:04d}"


def rows_of(database: Database) -> list[Row]:
    return database.read_now(lambda tx: tx.rows(EVERYTHING))


def fill(database: Database, count: int) -> None:
    rows = [("o", key(n), b"h%d" % n, b"a") for n in range(count)]
    database.write_now(lambda tx: tx.run_many(INSERT, rows))


@pytest.mark.parametrize("count", [0, 1, FEW, MANY])
def test_inserts_with_literals(database: Database, count: int) -> None:
    fill(database, count)
    assert rows_of(database) == [("o", "c", key(n), b"h%d" % n, b"a", 7) for n in range(count)]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_upserts_of_old_and_new_rows(database: Database, count: int) -> None:
    fill(database, count)
    rows = [("o", key(n), b"new", b"b%d" % n, n) for n in range(count // 2, count * 2)]
    database.write_now(lambda tx: tx.run_many(UPSERT, rows))
    found = rows_of(database)
    assert len(found) == count * 2
    assert [row[4] for row in found] == [b"a" if n < count // 2 else b"b%d" % n for n in range(count * 2)]
    assert [row[3] for row in found[: count * 2]] == [b"h%d" % n if n < count else b"new" for n in range(count * 2)]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_upserts_that_name_a_row_twice_keep_the_last(database: Database, count: int) -> None:
    rows = [("o", key(n % 3), b"h", b"%d" % n, n) for n in range(count)]
    database.write_now(lambda tx: tx.run_many(UPSERT, rows))
    assert [row[5] for row in rows_of(database)] == [max(n for n in range(count) if n % 3 == m) for m in range(3)]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_updates(database: Database, count: int) -> None:
    fill(database, count)
    sql = "UPDATE answers SET answer = ?, at_us = 9 WHERE organisation = ? AND key = ?"
    database.write_now(lambda tx: tx.run_many(sql, [(b"u%d" % n, "o", key(n)) for n in range(0, count, 2)]))
    assert [(row[4], row[5]) for row in rows_of(database)] == [
        (b"a", 7) if n % 2 else (b"u%d" % n, 9) for n in range(count)
    ]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_updates_that_name_a_row_twice_keep_the_last(database: Database, count: int) -> None:
    fill(database, 1)
    sql = "UPDATE answers SET answer = ? WHERE organisation = ? AND key = ?"
    database.write_now(lambda tx: tx.run_many(sql, [(b"u%d" % n, "o", key(0)) for n in range(count)]))
    assert rows_of(database)[0][4] == b"u%d" % (count - 1)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_deletions_some_of_them_twice_or_of_nothing(database: Database, count: int) -> None:
    fill(database, count)
    sql = "DELETE FROM answers WHERE organisation = ? AND caller = 'c' AND key = ?"
    rows = [("o", key(n)) for n in [*range(1, count), 1, count + 7]]
    database.write_now(lambda tx: tx.run_many(sql, rows))
    assert [row[2] for row in rows_of(database)] == [key(0)]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_any_other_statement(database: Database, count: int) -> None:
    fill(database, count)
    sql = "UPDATE answers SET at_us = at_us + ? WHERE key = ?"
    database.write_now(lambda tx: tx.run_many(sql, [(n, key(n)) for n in range(count)]))
    assert [row[5] for row in rows_of(database)] == [7 + n for n in range(count)]


@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("given", [[None], [None, 5], [5]])
def test_columns_of_nulls_and_of_some_nulls(database: Database, count: int, given: Sequence[int | None]) -> None:
    values = [given[n % len(given)] for n in range(count)]
    insert = "INSERT INTO cache_successes (organisation, number, at_us) VALUES (?, ?, NULL)"
    upsert = (
        "INSERT INTO cache_successes (organisation, number, at_us) VALUES (?, ?, ?)"
        " ON CONFLICT (organisation) DO UPDATE SET number = excluded.number, at_us = excluded.at_us"
    )
    rows = list(enumerate(values))
    database.write_now(lambda tx: tx.run_many(insert, [(f"i{n:04d}", value) for n, value in rows]))
    database.write_now(lambda tx: tx.run_many(upsert, [(f"u{n:04d}", value, value) for n, value in rows]))
    found = database.read_now(
        lambda tx: tx.rows("SELECT organisation, number, at_us FROM cache_successes ORDER BY organisation")
    )
    assert found == [(f"i{n:04d}", value, None) for n, value in rows] + [
        (f"u{n:04d}", value, value) for n, value in rows
    ]


@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_batch_that_fails_leaves_its_neighbours_whole(database: Database, count: int) -> None:
    fill(database, 1)
    rows: list[Any] = [("o", key(n), b"h", b"a") for n in range(count)]

    def one(n: int) -> Any:
        return lambda tx: tx.run_many(INSERT, [(f"n{n}", key(m), b"h", b"a") for m in range(count)])

    outcomes = together(database, [one(1), lambda tx: tx.run_many(INSERT, rows), one(2)])
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert [row[0] for row in rows_of(database)] == ["n1"] * count + ["n2"] * count + ["o"]


def test_a_batch_and_single_statements_keep_their_order(database: Database) -> None:
    def transaction(tx: Transaction) -> None:
        tx.put(INSERT, "o", key(0), b"h", b"first")
        tx.run_many("DELETE FROM answers WHERE organisation = ? AND key = ?", [("o", key(n)) for n in range(MANY)])
        tx.run_many(INSERT, [("o", key(n), b"h", b"batch") for n in range(MANY)])
        tx.put("UPDATE answers SET answer = ? WHERE key = ?", b"last", key(3))
        assert tx.value("SELECT count(*) FROM answers") == MANY

    database.write_now(transaction)
    assert [row[4] for row in rows_of(database)] == [b"last" if n == 3 else b"batch" for n in range(MANY)]

"""What PostgreSQL is told instead of SQLite's words."""

from __future__ import annotations

import pytest

from headwater.store.dialect import bulk, statements, to_postgres, to_postgres_schema


def test_statements_come_without_their_comments() -> None:
    script = "-- one\nCREATE TABLE a (\n  b TEXT -- two; three\n);\n\nCREATE INDEX c ON a (b);\n-- the end\n"
    assert [statement.split() for statement in statements(script)] == [
        ["CREATE", "TABLE", "a", "(", "b", "TEXT", ")"],
        ["CREATE", "INDEX", "c", "ON", "a", "(b)"],
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a INTEGER PRIMARY KEY", b"a BIGINT PRIMARY KEY"),
        ("b BLOB NOT NULL", b"b BYTEA NOT NULL"),
        ("c TEXT NOT NULL UNIQUE", b'c TEXT COLLATE "C" NOT NULL UNIQUE'),
        ("d REAL", b"d DOUBLE PRECISION"),
        ("CREATE TABLE t (a INTEGER)\nWITHOUT ROWID", b"CREATE TABLE t (a BIGINT)"),
        ("CREATE INDEX i ON t (a) WHERE a IS NOT NULL", b"CREATE INDEX i ON t (a) WHERE a IS NOT NULL"),
    ],
)
def test_schema_types_become_postgres_types(ours: str, theirs: bytes) -> None:
    assert to_postgres_schema(ours) == theirs


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("SELECT a FROM t WHERE b = ? AND c = ?", b"SELECT a FROM t WHERE b = %s AND c = %s"),
        ("SELECT a FROM t WHERE b LIKE '%x'", b"SELECT a FROM t WHERE b LIKE '%%x'"),
        ("SELECT 1 WHERE instr(a, ?) > 0", b"SELECT 1 WHERE strpos(a, %s) > 0"),
    ],
)
def test_places_and_functions_become_postgres_ones(ours: str, theirs: bytes) -> None:
    assert to_postgres(ours) == theirs


def test_a_plain_insert_is_copied_with_its_literals() -> None:
    plan = bulk("INSERT INTO t (a, b, c, d) VALUES (?, 0, NULL, 'x')")
    assert plan is not None
    assert (plan.table, plan.columns, plan.template) == ("t", ("a",), None)
    assert plan.constants == (("b", 0), ("c", None), ("d", "x"))


def test_an_upsert_takes_arrays_and_tells_its_key() -> None:
    plan = bulk("INSERT INTO t (a, b, c) VALUES (?, 7, ?) ON CONFLICT (a) DO UPDATE SET c = excluded.c")
    assert plan is not None
    assert plan.template == (
        "INSERT INTO t (a, b, c) SELECT v.p0, 7, v.p1 FROM unnest({}) AS v(p0, p1)"
        " ON CONFLICT (a) DO UPDATE SET c = excluded.c"
    )
    assert (plan.columns, plan.keys) == (("a", "c"), (0,))


def test_an_update_takes_arrays_and_tells_its_key() -> None:
    plan = bulk("UPDATE t SET a = ?, b = 1, c = '' WHERE d = ? AND e = ?")
    assert plan is not None
    assert plan.template == (
        "UPDATE t SET a = v.p0, b = 1, c = '' FROM unnest({}) AS v(p0, p1, p2) WHERE t.d = v.p1 AND t.e = v.p2"
    )
    assert (plan.columns, plan.keys) == (("a", "d", "e"), (1, 2))


def test_a_deletion_takes_arrays_and_may_name_a_row_twice() -> None:
    plan = bulk("DELETE FROM t WHERE a = ? AND b = 0 AND c = ?")
    assert plan is not None
    assert plan.template == ("DELETE FROM t USING unnest({}) AS v(p0, p1) WHERE t.a = v.p0 AND t.b = 0 AND t.c = v.p1")
    assert (plan.columns, plan.keys) == (("a", "c"), ())


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = a + ? WHERE b = ?",
        "UPDATE t SET a = ? WHERE b < ?",
        "DELETE FROM t WHERE a = ? OR b = ?",
        "DELETE FROM t WHERE a IN (SELECT b FROM u WHERE c = ?)",
        "INSERT INTO t (a) VALUES (? + 1)",
        "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT DO NOTHING",
        "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT (a) DO UPDATE SET b = ?",
        "INSERT INTO t (a, b) VALUES (1, ?) ON CONFLICT (a) DO NOTHING",
        "INSERT INTO t (a) SELECT ?",
        "SELECT a FROM t WHERE b = ?",
    ],
)
def test_any_other_statement_has_no_plan(sql: str) -> None:
    assert bulk(sql) is None

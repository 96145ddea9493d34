"""A restore into PostgreSQL moves the old tables into a schema of their own, and back when it fails."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from headwater.base.errors import StateConflict
from headwater.installation.data_folder import DatabaseInUse
from headwater.installation.postgres_aside import moved_aside
from tests.support.store.postgres import postgres_server

pytestmark = pytest.mark.postgres

NAMES = ("first", "second", "never_there")
ASIDE = "replaced_20270101t000000z"


class OldDatabase:
    """A database with two of our tables and one of another program."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement; its rows."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> set[tuple[object, ...]]:
        """Each table with its schema."""
        return set(
            self.run(
                "SELECT table_schema::text, table_name::text FROM information_schema.tables"
                " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
            )
        )


@pytest.fixture
def old() -> Iterator[OldDatabase]:
    server = postgres_server()
    server.run("CREATE DATABASE headwater_aside")
    try:
        data = OldDatabase(server.url("headwater_aside"))
        data.run("CREATE TABLE first (id INT PRIMARY KEY)")
        data.run("CREATE TABLE second (id INT REFERENCES first)")
        data.run("CREATE TABLE foreign_table (id INT)")
        data.run("INSERT INTO first VALUES (1)")
        data.run("INSERT INTO second VALUES (1)")
        yield data
    finally:
        server.run("DROP DATABASE headwater_aside WITH (FORCE)")


BEFORE = {("public", "first"), ("public", "second"), ("public", "foreign_table")}


def test_tables_that_exist_are_refused_and_stay_where_they_are(old: OldDatabase) -> None:
    with pytest.raises(StateConflict) as refused:
        moved_aside(old.url, NAMES, ASIDE, replace=False).__enter__()
    assert refused.value.error_code == "DATABASE_NOT_EMPTY"
    assert old.tables() == BEFORE


def test_old_tables_are_in_a_schema_of_their_own_with_their_rows_and_new_ones_have_the_names(old: OldDatabase) -> None:
    with moved_aside(old.url, NAMES, ASIDE, replace=True) as schema:
        assert old.tables() == {(ASIDE, "first"), (ASIDE, "second"), ("public", "foreign_table")}
        old.run("CREATE TABLE first (id TEXT)")
    assert schema == ASIDE
    assert old.tables() == {(ASIDE, "first"), (ASIDE, "second"), ("public", "foreign_table"), ("public", "first")}
    assert old.run(f"SELECT id FROM {ASIDE}.second") == [(1,)]


def test_after_a_failure_the_old_tables_are_back_and_the_new_ones_are_dropped(old: OldDatabase) -> None:
    def fail() -> None:
        with moved_aside(old.url, NAMES, ASIDE, replace=True):
            old.run("CREATE TABLE first (other TEXT)")
            old.run("CREATE TABLE never_there (id INT)")
            old.run("CREATE TABLE unrelated (id INT)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert old.tables() == BEFORE | {("public", "unrelated")}
    assert old.run("SELECT first.id, second.id FROM first JOIN second USING (id)") == [(1, 1)]
    assert old.run(f"SELECT 1 FROM information_schema.schemata WHERE schema_name = '{ASIDE}'") == []
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        old.run("INSERT INTO second VALUES (2)")


@pytest.mark.parametrize("replace", [False, True])
def test_an_empty_database_needs_no_schema(old: OldDatabase, *, replace: bool) -> None:
    with moved_aside(old.url, ("new",), ASIDE, replace=replace) as schema:
        old.run("CREATE TABLE new (id INT)")
    assert schema is None
    assert old.tables() == BEFORE | {("public", "new")}


def test_after_a_failure_in_an_empty_database_nothing_of_ours_is_left(old: OldDatabase) -> None:
    def fail() -> None:
        with moved_aside(old.url, ("new",), ASIDE, replace=False):
            old.run("CREATE TABLE new (id INT)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert old.tables() == BEFORE


@pytest.mark.parametrize("replace", [False, True])
def test_a_database_that_a_server_has_open_is_refused(old: OldDatabase, *, replace: bool) -> None:
    with psycopg.connect(old.url, application_name="headwater"):
        with pytest.raises(DatabaseInUse):
            moved_aside(old.url, NAMES, ASIDE, replace=replace).__enter__()
        assert old.tables() == BEFORE


def test_connections_of_other_programs_do_not_matter(old: OldDatabase) -> None:
    with (
        psycopg.connect(old.url, application_name="psql"),
        moved_aside(old.url, NAMES, ASIDE, replace=True) as schema,
    ):
        assert schema == ASIDE


def test_a_schema_name_that_is_taken_changes_nothing(old: OldDatabase) -> None:
    old.run(f"CREATE SCHEMA {ASIDE}")
    with pytest.raises(psycopg.errors.DuplicateSchema):
        moved_aside(old.url, NAMES, ASIDE, replace=True).__enter__()
    assert old.tables() == BEFORE

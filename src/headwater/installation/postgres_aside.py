"""Moves the tables of a PostgreSQL database into a schema of their own before a restore; drops none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import psycopg
from psycopg import sql

from headwater.base.errors import StateConflict
from headwater.installation.data_folder import DatabaseInUse

_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'headwater'"
    " AND pid <> pg_backend_pid()"
)
_HERE = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"


@contextmanager
def moved_aside(url: str, names: Sequence[str], aside: str, *, replace: bool) -> Iterator[str | None]:
    """Runs its body without these tables in the database; yields the schema that received them, or None.

    When the body fails, the tables that it created are dropped and the old ones are moved back.
    Raises: DatabaseInUse, StateConflict (tables exist; ``replace`` moves them).
    """
    with psycopg.connect(url) as connection:
        if connection.execute(_OTHERS).fetchone() != (0,):
            raise DatabaseInUse("a Headwater server or command is connected to this database")
        old = _present(connection, names)
        if old and not replace:
            raise StateConflict("the database has Headwater tables already; --force moves them aside",
                                code="DATABASE_NOT_EMPTY")  # fmt: skip
        if old:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(aside)))
            _move(connection, [sql.Identifier(name) for name in old], aside)
    with ExitStack() as undo:
        undo.callback(_put_back, url, names, old, aside)
        yield aside if old else None
        undo.pop_all()


def _put_back(url: str, names: Sequence[str], old: Sequence[str], aside: str) -> None:
    with psycopg.connect(url) as connection:
        for name in _present(connection, names):
            connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(name)))
        if old:
            found = connection.execute("SELECT current_schema()").fetchone()
            home = str(found[0]) if found else "public"
            _move(connection, [sql.Identifier(aside, name) for name in old], home)
            connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(aside)))


def _present(connection: psycopg.Connection, names: Sequence[str]) -> list[str]:
    here = {row[0] for row in connection.execute(_HERE)}
    return [name for name in names if name in here]


def _move(connection: psycopg.Connection, tables: Sequence[sql.Identifier], schema: str) -> None:
    for table in tables:
        connection.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(table, sql.Identifier(schema)))

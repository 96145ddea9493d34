"""Fresh databases for tests, one way for each kind; ``database`` in tests/conftest.py picks among them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

from headwater.base.clock import Clock, now_us
from headwater.base.settings.table import DatabaseSettings
from headwater.store.database import Database
from headwater.store.migrate import migrate
from headwater.store.postgres.database import PostgresDatabase
from headwater.store.sqlite.database import SqliteDatabase
from tests.support.store.postgres import postgres_server

Opener = Callable[[Path, Clock, DatabaseSettings], AbstractContextManager[Database]]
SMALL = DatabaseSettings(reserve_file_bytes=0, synchronous="normal", read_threads=2)
"""Settings for tests that do not cut the power: no fsync for each commit, no reserve file."""

SHARED = "headwater_test"
_EMPTY = """
DO $$ DECLARE name TEXT; BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_steps' LOOP
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
END $$
"""
_CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@contextmanager
def fresh_sqlite(folder: Path, clock: Clock, settings: DatabaseSettings = SMALL) -> Iterator[Database]:
    """An empty SQLite database with the present schema."""
    path = folder / "headwater.db"
    path.write_bytes(_empty_sqlite())
    database = SqliteDatabase(path, settings, clock=clock)
    try:
        yield database
    finally:
        database.close()


@cache
def _empty_sqlite() -> bytes:
    """The file of an SQLite database with the present schema; making it takes longer than many a test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite"
        database = SqliteDatabase(path, SMALL)
        migrate(database)
        database.close()
        return path.read_bytes()


@contextmanager
def fresh_postgres(_folder: Path, clock: Clock, settings: DatabaseSettings = SMALL) -> Iterator[Database]:
    """A PostgreSQL database with the present schema; the same one for each test, emptied after it."""
    url = shared_postgres()
    database = PostgresDatabase(url, settings, clock=clock)
    try:
        yield database
    finally:
        database.close()
        postgres_server().run(_CUT_OFF, SHARED)
        postgres_server().run(_EMPTY, SHARED)


@cache
def shared_postgres() -> str:
    """The address of the database that tests share one after the other."""
    server = postgres_server()
    server.run(f"CREATE DATABASE {SHARED}")
    url = server.url(SHARED)
    database = PostgresDatabase(url, SMALL)
    migrate(database)
    database.close()
    return url


OPENERS: dict[str, Opener] = {"sqlite": fresh_sqlite, "postgres": fresh_postgres}
"""Every kind of database on which tests run, by the name that ``database_kind`` gives."""


@contextmanager
def unmade_sqlite(folder: Path) -> Iterator[str]:
    """The address of an SQLite database that does not exist yet."""
    yield str(folder / "unmade.sqlite")


@contextmanager
def unmade_postgres(_folder: Path) -> Iterator[str]:
    """The address of a PostgreSQL database without any table; it is dropped at the end."""
    server = postgres_server()
    name = "headwater_unmade"
    server.run(f"CREATE DATABASE {name}")
    try:
        yield server.url(name)
    finally:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


UNMADE: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "sqlite": unmade_sqlite,
    "postgres": unmade_postgres,
}
"""Addresses of databases without a schema, by the same names."""


def open_at(address: str, settings: DatabaseSettings = SMALL, clock: Clock = now_us) -> Database:
    """The database at an address, as another process would open it."""
    if address.startswith("postgresql:"):
        return PostgresDatabase(address, settings, clock=clock)
    return SqliteDatabase(Path(address), settings, clock=clock)


def address_of(database: Database) -> str:
    """Where another process finds a database of these tests."""
    if isinstance(database, PostgresDatabase):
        return shared_postgres()
    assert isinstance(database, SqliteDatabase)
    return str(database.path)

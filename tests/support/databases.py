"""Fresh databases for tests, one way for each kind; ``database`` in tests/conftest.py picks among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from headwater.base.clock import Clock
from headwater.base.settings_tree import DatabaseSettings
from headwater.store.database import Database
from headwater.store.migrate import migrate
from headwater.store.sqlite import SqliteDatabase

Opener = Callable[[Path, Clock, DatabaseSettings], AbstractContextManager[Database]]
SMALL = DatabaseSettings(reserve_file_bytes=0, synchronous="normal", read_threads=2)
"""Settings for tests that do not cut the power: no fsync for each commit, no reserve file."""


@contextmanager
def fresh_sqlite(folder: Path, clock: Clock, settings: DatabaseSettings = SMALL) -> Iterator[Database]:
    """An empty SQLite database with the present schema."""
    database = SqliteDatabase(folder / "headwater.db", settings, clock=clock)
    migrate(database)
    try:
        yield database
    finally:
        database.close()


OPENERS: dict[str, Opener] = {"sqlite": fresh_sqlite}
"""Every kind of database on which tests run, by the name that ``database_kind`` gives."""

"""Opens the database of an installation, with its schema brought up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from headwater.base.errors import HeadwaterError
from headwater.base.settings_tree import Settings
from headwater.server.folder import DATABASE_FILE, prepare
from headwater.store.database import Database
from headwater.store.migrate import migrate
from headwater.store.sqlite import SqliteDatabase


class DatabaseUnusable(HeadwaterError):
    """The database cannot be opened: it is none, it is damaged, or the system refuses it."""

    code = "DATABASE_UNUSABLE"
    title = "Database unusable"
    hint = "Look at it with 'headwater doctor'; a backup is put back with 'headwater restore'."


def open_database(settings: Settings, on_fatal: Callable[[Exception], None] = lambda _failure: None) -> Database:
    """The database that the settings name, with every schema step applied. Raises: DatabaseUnusable, FolderUnusable."""
    folder = prepare(Path(settings.database.data_folder))
    path = folder / DATABASE_FILE
    try:
        database = SqliteDatabase(path, settings.database, on_fatal=on_fatal)
        migrate(database)
    except apsw.Error as failure:
        raise DatabaseUnusable(f"{path}: {failure}") from None
    return database

"""Opens the database of an installation: to serve it, or beside a server that runs on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec

from headwater.base.errors import HeadwaterError
from headwater.base.settings_tree import Settings
from headwater.identity import meta
from headwater.server.folder import DATABASE_FILE, prepare
from headwater.store.database import Database
from headwater.store.migrate import migrate, pending
from headwater.store.pack_folder import PackFolder
from headwater.store.pack_place import PackPlace
from headwater.store.sqlite import SqliteDatabase

OnFatal = Callable[[Exception], None]

PACKS_FOLDER = "packs"
"""Where packs lie in the data folder."""


class DatabaseUnusable(HeadwaterError):
    """The database cannot be opened: it is none, it is damaged, or the system refuses it."""

    code = "DATABASE_UNUSABLE"
    title = "Database unusable"
    hint = "Look at it with 'headwater doctor'; a backup is put back with 'headwater restore'."


class SchemaOutdated(HeadwaterError):
    """The database's schema is older than this program."""

    code = "SCHEMA_OUTDATED"
    title = "Schema outdated"
    hint = "Start the server once with this version of Headwater: it brings the schema up to date."


class NotInstalled(HeadwaterError):
    """There is no Headwater data where a command looked."""

    code = "NOT_INSTALLED"
    title = "Nothing installed"
    hint = "Run 'headwater serve' there once, or name the right folder with --data or database with --database."


def open_database(settings: Settings, on_fatal: OnFatal = lambda _failure: None) -> Database:
    """The database to serve, made if need be, with every schema step applied.

    Raises: DatabaseUnusable, FolderUnusable.
    """
    folder = prepare(Path(settings.database.data_folder))
    database = _open(folder / DATABASE_FILE, settings, on_fatal)
    migrate(database)
    return database


def open_empty(settings: Settings) -> Database:
    """A new database in the data folder, without any table. Raises: DatabaseUnusable."""
    return _open(Path(settings.database.data_folder) / DATABASE_FILE, settings, lambda _failure: None)


def open_existing(settings: Settings) -> Database:
    """The database of an installation that had its first start, as it is.

    Raises: NotInstalled, SchemaOutdated, DatabaseUnusable.
    """
    path = Path(settings.database.data_folder) / DATABASE_FILE
    if not path.exists():
        raise NotInstalled(f"there is no Headwater data in {path.parent}")
    small = msgspec.structs.replace(settings.database, reserve_file_bytes=0)
    database = _open(path, msgspec.structs.replace(settings, database=small), lambda _failure: None)
    try:
        missing = pending(database)
        if missing:
            raise SchemaOutdated(f"the database lacks {len(missing)} schema steps of this version ({missing[0]} ...)")
        if not database.read_now(meta.had_first_start):
            raise NotInstalled(f"there is no Headwater data in {path.parent}: the first start did not end")
    except BaseException:
        database.close()
        raise
    return database


def open_packs(settings: Settings) -> PackPlace:
    """Where the content is: the folder ``packs`` in the data folder, or a bucket.

    A bucket's credentials come from the environment, as object stores have it.
    """
    if settings.files.pack_store is None:
        return PackFolder(Path(settings.database.data_folder) / PACKS_FOLDER)
    # Only a server with a bucket loads what speaks to it.
    from obstore.store import from_url  # noqa: PLC0415

    from headwater.store.pack_bucket import PackBucket  # noqa: PLC0415

    return PackBucket(from_url(settings.files.pack_store))


def _open(path: Path, settings: Settings, on_fatal: OnFatal) -> Database:
    try:
        return SqliteDatabase(path, settings.database, on_fatal=on_fatal)
    except apsw.Error as failure:
        raise DatabaseUnusable(f"{path}: {failure}") from None

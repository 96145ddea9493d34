"""Opens the database of an installation: to serve it, or beside a server that runs on it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import apsw
import msgspec

from headwater.base.errors import HeadwaterError
from headwater.base.settings.table import Settings
from headwater.identity import meta
from headwater.installation.data_folder import DATABASE_FILE, prepare
from headwater.store.database import Database
from headwater.store.migrate import migrate, pending, steps
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.damage import DamageLedger
from headwater.store.packs.folder import PackFolder
from headwater.store.sqlite.database import SqliteDatabase
from headwater.store.sqlite.reserve import full_marker

OnFatal = Callable[[Exception], None]

COMMAND_SECONDS = 7 * 86_400
"""The longest time that a command may read: a backup of a large database is one read."""

_OVERWRITING_STEP = "0065_answer_records.sql"
"""The first step of versions that overwrite free pages at once; the pages of an older file are overwritten after it."""

PACKS_FOLDER = "packs"
"""The folder of the packs, in the data folder."""


class DatabaseUnusable(HeadwaterError):
    """The database cannot be opened: the file is no database, it is damaged, or the system refuses access."""

    code = "DATABASE_UNUSABLE"
    title = "Database unusable"
    hint = "Check it with 'headwater doctor'; a backup is put back with 'headwater restore'."


class DatabaseOutOfReach(DatabaseUnusable):
    """The PostgreSQL server that the settings name cannot be reached, or does not let this server in."""

    code = "DATABASE_OUT_OF_REACH"
    title = "Database out of reach"
    hint = (
        "See that PostgreSQL runs there, and that host, port, database, user and password in `database.url` are right."
    )


class SchemaOutdated(HeadwaterError):
    """The database's schema is older than this program."""

    code = "SCHEMA_OUTDATED"
    title = "Schema outdated"
    hint = "Start the server once with this version of Headwater: it brings the schema up to date."


class NotInstalled(HeadwaterError):
    """The data folder or database that a command names has no Headwater data."""

    code = "NOT_INSTALLED"
    title = "Nothing installed"
    hint = "Run 'headwater serve' there once, or name the right folder with --data or database with --database."


class OwnerDiffers(HeadwaterError):
    """Root opens the data of another user; the server could not read the files that root would write."""

    code = "OWNER_DIFFERS"
    title = "Another user's data"
    hint = "Run the command as the user that the server runs as; the detail names it."


def open_database(settings: Settings, on_fatal: OnFatal = lambda _failure: None) -> Database:
    """Opens the database to serve, creates it if it does not exist, and applies every schema step.

    Raises: DatabaseUnusable, FolderUnusable.
    """
    prepare(Path(settings.database.data_folder))
    database = open_bare(settings, on_fatal)
    with ExitStack() as undo:
        undo.callback(database.close)
        applied = migrate(database)
        if _OVERWRITING_STEP in applied and isinstance(database, SqliteDatabase):
            database.overwrite_free_pages()
        undo.pop_all()
    return database


def open_existing(settings: Settings) -> Database:
    """Opens the database of an installation that had its first start, unchanged, for a command.

    The time limit of a request does not apply: a command may read everything in one transaction.
    Raises: NotInstalled, OwnerDiffers, SchemaOutdated, DatabaseUnusable.
    """
    path = Path(settings.database.data_folder) / DATABASE_FILE
    nothing = f"there is no Headwater data in {path.parent if settings.database.url is None else 'that database'}"
    if settings.database.url is None and not path.exists():
        raise NotInstalled(nothing)
    _require_owner(settings)
    small = msgspec.structs.replace(settings.database, reserve_file_bytes=0, statement_seconds=COMMAND_SECONDS)
    database = open_bare(msgspec.structs.replace(settings, database=small))
    with ExitStack() as undo:
        undo.callback(database.close)
        missing = pending(database)
        if len(missing) == len(steps()):
            raise NotInstalled(nothing)
        if missing:
            raise SchemaOutdated(f"the database lacks {len(missing)} schema steps of this version ({missing[0]} ...)")
        if not database.read_now(meta.had_first_start):
            raise NotInstalled(f"{nothing}: the first start did not end")
        undo.pop_all()
    return database


def open_bare(settings: Settings, on_fatal: OnFatal = lambda _failure: None) -> Database:
    """Opens the database that the settings name, whatever it contains. Raises: DatabaseUnusable."""
    if settings.database.url is not None:
        return _open_postgres(settings.database.url, settings, on_fatal)
    path = Path(settings.database.data_folder) / DATABASE_FILE
    try:
        return SqliteDatabase(path, settings.database, on_fatal=on_fatal)
    except apsw.Error as failure:
        raise DatabaseUnusable(f"{path}: {failure}") from None


def open_content(database: Database, settings: Settings) -> PackBackend:
    """The store of the content, for reading: a chunk that fails its hash is marked in the database."""
    packs = open_packs(settings)
    packs.guard.on_damage(DamageLedger(database).report)
    return packs


def open_packs(settings: Settings) -> PackBackend:
    """The store of the content: the folder ``packs`` in the data folder, or a bucket.

    The credentials of a bucket are read from the environment, as is usual for object stores.
    """
    if settings.files.pack_store is None:
        folder = Path(settings.database.data_folder)
        return PackFolder(folder / PACKS_FOLDER, full_marker(folder / DATABASE_FILE))
    # Only an installation with a bucket loads the client of object stores.
    from obstore.store import from_url  # noqa: PLC0415

    from headwater.store.packs.bucket import PackBucket  # noqa: PLC0415

    return PackBucket(from_url(settings.files.pack_store))


def _require_owner(settings: Settings) -> None:
    """Refuses root access to the files of the user that the server runs as. Raises: OwnerDiffers.

    The owner of a file that the server created is that user; another user may have created the folder around it.
    """
    folder = Path(settings.database.data_folder)
    made = folder / (DATABASE_FILE if settings.database.url is None else PACKS_FOLDER)
    if os.geteuid() != 0 or not made.exists():
        return
    owner = made.stat().st_uid
    if owner == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise OwnerDiffers(f"{made} belongs to the user {name}, and this runs as root: sudo -u {name!r} headwater ...")


def _open_postgres(url: str, settings: Settings, on_fatal: OnFatal) -> Database:
    # Only an installation on PostgreSQL loads its driver.
    import psycopg  # noqa: PLC0415

    from headwater.store.postgres.database import PostgresDatabase  # noqa: PLC0415

    try:
        return PostgresDatabase(url, settings.database, on_fatal=on_fatal)
    except psycopg.Error as failure:
        raise DatabaseOutOfReach(_without_password(str(failure).partition("\n")[0], url)) from None


def _without_password(text: str, url: str) -> str:
    """A driver's message without the password, which a driver may quote from a URL that it cannot parse."""
    secret = url.partition("://")[2].partition("@")[0].partition(":")[2]
    return text.replace(secret, "***") if secret else text

"""Reads what the state that a restore replaces has given out; None when it cannot be read."""

from __future__ import annotations

from pathlib import Path

import apsw

from headwater.base.errors import HeadwaterError
from headwater.base.log import get_log
from headwater.installation.data_folder import DATABASE_FILE
from headwater.store import renewal
from headwater.store.database import Row
from headwater.store.renewal import Issued

_log = get_log(__name__)


def in_folder(folder: Path) -> Issued | None:
    """Returns what the database in a data folder has given out; the files stay as they are."""
    path = folder / DATABASE_FILE
    if not path.exists():
        return None
    wal = path.with_name(path.name + "-wal")
    # Without a WAL the file is whole, and is read without creating any file beside it.
    alone = not wal.exists() or wal.stat().st_size == 0
    uri = path.resolve().as_uri() + ("?mode=ro&immutable=1" if alone else "?mode=ro")
    try:
        connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            connection.execute("BEGIN")

            def rows(sql: str) -> list[Row]:
                return connection.execute(sql).fetchall()

            return renewal.issued(rows)
        finally:
            connection.close()
    except (apsw.Error, HeadwaterError, KeyError, ValueError, TypeError, OSError) as failure:
        _log.warning("the replaced database cannot be read", reason=str(failure))
        return None


def in_postgres(url: str) -> Issued | None:
    """Returns what a PostgreSQL database has given out."""
    # Only an installation on PostgreSQL loads its driver.
    import psycopg  # noqa: PLC0415

    try:
        with psycopg.connect(url, application_name="headwater restore") as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            if connection.execute("SELECT to_regclass('schema_steps')").fetchone() == (None,):
                return None

            def rows(sql: str) -> list[Row]:
                return connection.execute(sql.encode()).fetchall()

            return renewal.issued(rows)
    except (psycopg.Error, KeyError, ValueError, TypeError) as failure:
        _log.warning("the replaced database cannot be read", reason=str(failure))
        return None

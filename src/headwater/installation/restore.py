"""Puts a backup back: checked whole before anything is touched, and with a new epoch, so that every client notices.

Promise 13: what is restored is a prefix of history, verified; every cursor from before answers that it expired.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from headwater.base.clock import now_us
from headwater.base.errors import HeadwaterError, StateConflict
from headwater.base.settings.table import Settings
from headwater.base.wire import format_seconds
from headwater.identity import meta
from headwater.installation import archive, connect
from headwater.installation.archive import BackupDamaged, BackupManifest
from headwater.installation.connect import PACKS_FOLDER
from headwater.installation.data_folder import DATABASE_FILE, held, prepare
from headwater.installation.first_start import ADMIN_TOKEN_FILE
from headwater.installation.progress import Report, adding
from headwater.store import dump, integrity
from headwater.store.database import Database, Row, Transaction
from headwater.store.integrity import Finding
from headwater.store.migrate import LEDGER, migrate, steps

RESTORING_FOLDER = "restoring"
_META = "meta"
_SQLITE_FILES = (DATABASE_FILE, DATABASE_FILE + "-wal", DATABASE_FILE + "-shm")


class BackupNewer(HeadwaterError):
    """A backup that a newer version of Headwater made."""

    code = "BACKUP_NEWER"
    title = "Backup newer than this program"
    hint = "Restore it with the version that made it, or a later one."


class Restored(NamedTuple):
    """What was put back: the manifest, the new epoch, what does not agree, and where the old data went."""

    manifest: BackupManifest
    epoch: str
    findings: list[Finding]
    replaced: str | None


def restore(path: Path, settings: Settings, *, replace: bool, report: Report) -> Restored:
    """Put a backup into a data folder that has no database; with ``replace`` the present one is moved aside.

    Raises: BackupDamaged, BackupNewer, StateConflict (a database is there), AlreadyServed, FolderUnusable.
    """
    manifest = archive.check(path, adding(report, "bytes checked", path.stat().st_size))
    newer = sorted(set(manifest.schema_steps) - {name for name, _ in steps()})
    if newer:
        raise BackupNewer(f"{path} was made by Headwater {manifest.headwater} and needs its schema step {newer[0]}")
    folder = prepare(Path(settings.database.data_folder))
    stamp = format_seconds(now_us()).translate(str.maketrans("", "", "-:"))
    with held(folder):
        if settings.database.url is not None:
            return _into_postgres(path, manifest, settings, stamp, replace=replace, report=report)
        if (folder / DATABASE_FILE).exists() and not replace:
            raise StateConflict(f"{folder} has a database already; --force moves it aside", code="FOLDER_NOT_EMPTY")
        with _building(folder) as building:
            epoch, findings = _fill(path, manifest, settings, building, report)
            replaced = _put_in_place(building, folder, stamp)
    return Restored(manifest, epoch, findings, None if replaced is None else str(replaced))


def _into_postgres(
    path: Path, manifest: BackupManifest, settings: Settings, stamp: str, *, replace: bool, report: Report
) -> Restored:
    """Fill the database that the settings name, and the data folder with what is no table."""
    from headwater.installation.postgres_aside import room  # noqa: PLC0415 - loads what only PostgreSQL needs

    folder = Path(settings.database.data_folder)
    names = [*dump.names([name for name, _ in steps()]), LEDGER]
    aside = f"replaced_{stamp.lower()}"
    with _building(folder) as building:
        with room(settings.database.url or "", names, aside, replace=replace) as moved:
            epoch, findings = _fill(path, manifest, settings, building, report)
        _put_in_place(building, folder, stamp)
    return Restored(manifest, epoch, findings, moved and f"the schema {moved}")


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """A folder to build in, inside the data folder, so that the last step is a rename."""
    building = folder / RESTORING_FOLDER
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(
    path: Path, manifest: BackupManifest, settings: Settings, building: Path, report: Report
) -> tuple[str, list[Finding]]:
    there = msgspec.structs.replace(settings.database, data_folder=str(building), reserve_file_bytes=0)
    with ExitStack() as ends:
        # The last callback runs first: the files are closed, then made durable.
        ends.callback(os.sync)
        database = ends.enter_context(closing(connect.open_bare(msgspec.structs.replace(settings, database=there))))
        return load(database, path, manifest, building, report)


def load(
    database: Database, path: Path, manifest: BackupManifest, folder: Path, report: Report
) -> tuple[str, list[Finding]]:
    """Fill an empty database, and the folder beside it: the new epoch, and what does not agree afterwards.

    The table of facts comes last, with the new epoch: without it a database counts as not installed.
    """
    migrate(database, only=manifest.schema_steps)
    loading = _Loading(database, path, manifest)
    total = sum(table.rows for table in manifest.tables.values())
    for name, source in archive.members(path):
        part = name.split("/")
        if part[0] == "tables":
            loading.take(part[1], dump.unpack(source.read()))
            report("rows", sum(loading.done.values()), total)
        elif name == archive.ADMIN_TOKEN:
            _write_file(folder / ADMIN_TOKEN_FILE, source)
        elif part[0] == PACKS_FOLDER:
            (folder / PACKS_FOLDER / part[1]).mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_file(folder / PACKS_FOLDER / part[1] / part[2], source)
    loading.expect_all()
    migrate(database)
    findings = database.read_now(lambda tx: _checked(tx, report))
    return f"{loading.finish():012x}", findings


class _Loading:
    """Takes the rows of a backup into the tables of a fresh schema."""

    def __init__(self, database: Database, path: Path, manifest: BackupManifest) -> None:
        self._database = database
        self._path = path
        self._manifest = manifest
        self._facts: list[Row] = []
        self.done = dict.fromkeys(manifest.tables, 0)
        known = dump.names(manifest.schema_steps)
        if set(known) != set(manifest.tables):
            raise BackupDamaged(f"{path} does not hold the tables that its schema steps make")
        for name in known:
            self._prepare(name)

    def _prepare(self, name: str) -> None:
        """Hold the columns against the schema's own, and remove what a schema step put into the table."""
        here = self._database.read_now(lambda tx: dump.describe(tx, name, embedded=self._database.embedded))
        if set(here.columns) != set(self._manifest.tables[name].columns):
            raise BackupDamaged(f"{self._path} has other columns of {name} than its schema steps make")
        self._database.write_now(lambda tx: dump.clear(tx, name))

    def take(self, name: str, rows: list[Row]) -> None:
        """Write a page of rows; the facts wait for the end."""
        if name not in self.done:
            raise BackupDamaged(f"{self._path} holds rows of {name}, which its manifest does not name")
        self.done[name] += len(rows)
        if name == _META:
            self._facts += rows
        else:
            columns = self._manifest.tables[name].columns
            self._database.write_now(partial(dump.insert, name=name, columns=columns, rows=rows))

    def expect_all(self) -> None:
        """Raises: BackupDamaged unless every row that the manifest counts came."""
        for name, table in self._manifest.tables.items():
            if self.done[name] != table.rows:
                raise BackupDamaged(
                    f"{self._path} holds {self.done[name]} rows of {name}, its manifest says {table.rows}"
                )

    def finish(self) -> int:
        """Write the facts with a new epoch, which makes the database an installation; the epoch."""

        def transaction(tx: Transaction) -> int:
            dump.insert(tx, _META, self._manifest.tables[_META].columns, self._facts)
            return meta.renew_epoch(tx)

        return self._database.write_now(transaction)


def _checked(tx: Transaction, report: Report) -> list[Finding]:
    total = integrity.changes_to_check(tx)
    return list(integrity.check(tx, adding(report, "changes verified", total)))


def _write_file(path: Path, source: IO[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file, archive.PIECE_BYTES)


def _put_in_place(building: Path, folder: Path, stamp: str) -> Path | None:
    """Move what is there aside and what was built in; the database last, because it makes the folder whole."""
    old = [folder / name for name in (*_SQLITE_FILES, PACKS_FOLDER, ADMIN_TOKEN_FILE) if (folder / name).exists()]
    replaced = None
    if old:
        replaced = folder / f"replaced-{stamp}"
        replaced.mkdir(mode=0o700)
        for path in old:
            path.rename(replaced / path.name)
    for name in (PACKS_FOLDER, ADMIN_TOKEN_FILE, DATABASE_FILE):
        if (building / name).exists():
            (building / name).rename(folder / name)
    archive.sync_folder(folder)
    return replaced

"""Restores a backup: checks the whole file before anything changes, and sets a new epoch that every client notices.

The restored data is a prefix of history, verified; every earlier cursor is answered as one of before a restore, and no
id, integer, revision or position of before is given out again.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from headwater.base.clock import SECOND_US, now_us
from headwater.base.errors import Fatal, HeadwaterError, QuotaExceeded, StateConflict, Unavailable
from headwater.base.settings.table import Settings
from headwater.base.wire import format_seconds, parse_time
from headwater.identity import meta
from headwater.installation import archive, connect, state_before
from headwater.installation.archive import BackupDamaged, BackupManifest
from headwater.installation.connect import PACKS_FOLDER
from headwater.installation.data_folder import DATABASE_FILE, locked, prepare, replaced
from headwater.installation.first_start import ADMIN_TOKEN_FILE, renew_admin_token
from headwater.installation.progress import Report, adding
from headwater.store import dump, integrity, renewal
from headwater.store.database import Database, Row, Transaction
from headwater.store.integrity import Finding
from headwater.store.migrate import LEDGER, migrate, steps
from headwater.store.renewal import Issued

RESTORING_FOLDER = "restoring"
_META = "meta"
_SQLITE_FILES = (DATABASE_FILE, DATABASE_FILE + "-wal", DATABASE_FILE + "-shm")


class BackupNewer(HeadwaterError):
    """A backup that a newer version of Headwater wrote."""

    code = "BACKUP_NEWER"
    title = "Backup newer than this program"
    hint = "Restore it with the version that made it, or a later one."


class RestoreResult(NamedTuple):
    """A restored backup: its manifest, the new epoch, the findings, and the place of the old data.

    ``is_exact``: the replaced data could be read, so that it is known what was given out after the backup.
    A backup has no admin token, unless it is of a version before 0.2: then the restore does not create one.
    """

    manifest: BackupManifest
    epoch: str
    findings: list[Finding]
    replaced: str | None
    is_exact: bool


class _Filled(NamedTuple):
    """A database that was filled from a backup."""

    epoch: str
    findings: list[Finding]
    is_exact: bool


def restore(path: Path, settings: Settings, *, replace: bool, report: Report) -> RestoreResult:
    """Restores a backup into a data folder that has no database; ``replace`` moves the present one aside.

    Raises: BackupDamaged, BackupNewer, StateConflict (a database exists), AlreadyServed, DatabaseInUse, FolderUnusable.
    """
    manifest = archive.check(path, adding(report, "bytes checked", path.stat().st_size))
    newer = sorted(set(manifest.schema_steps) - {name for name, _ in steps()})
    if newer:
        raise BackupNewer(f"{path} was made by Headwater {manifest.headwater} and needs its schema step {newer[0]}")
    folder = prepare(Path(settings.database.data_folder))
    stamp = format_seconds(now_us()).translate(str.maketrans("", "", "-:"))
    with locked(folder), replaced(folder):
        if settings.database.url is not None:
            return _into_postgres(path, manifest, settings, stamp, replace=replace, report=report)
        if (folder / DATABASE_FILE).exists() and not replace:
            raise StateConflict(f"{folder} has a database already; --force moves it aside", code="FOLDER_NOT_EMPTY")
        before = state_before.in_folder(folder)
        with _building(folder) as building:
            filled = _fill(path, manifest, settings, building, before, report)
            aside = _put_in_place(building, folder, stamp)
    return RestoreResult(
        manifest, filled.epoch, filled.findings, None if aside is None else str(aside), filled.is_exact
    )


def _into_postgres(
    path: Path, manifest: BackupManifest, settings: Settings, stamp: str, *, replace: bool, report: Report
) -> RestoreResult:
    """Restores the tables into the database that the settings name, and the files into the data folder."""
    from headwater.installation.postgres_aside import moved_aside  # noqa: PLC0415 - loads the driver

    folder = Path(settings.database.data_folder)
    names = [*dump.names([name for name, _ in steps()]), LEDGER]
    aside = f"replaced_{stamp.lower()}"
    before = state_before.in_postgres(settings.database.url or "") if replace else None
    with _building(folder) as building:
        with moved_aside(settings.database.url or "", names, aside, replace=replace) as moved:
            filled = _fill(path, manifest, settings, building, before, report)
        _put_in_place(building, folder, stamp)
    return RestoreResult(manifest, filled.epoch, filled.findings, moved and f"the schema {moved}", filled.is_exact)


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """A temporary folder inside the data folder, so that the last step is a rename."""
    building = folder / RESTORING_FOLDER
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(
    path: Path, manifest: BackupManifest, settings: Settings, building: Path, before: Issued | None, report: Report
) -> _Filled:
    own = msgspec.structs.replace(settings.database, data_folder=str(building), reserve_file_bytes=0)
    with ExitStack() as ends:
        # The last callback runs first: the files are closed, then made durable.
        ends.callback(os.sync)
        database = ends.enter_context(closing(connect.open_bare(msgspec.structs.replace(settings, database=own))))
        return load(database, path, manifest, building, before, report)


def load(
    database: Database, path: Path, manifest: BackupManifest, folder: Path, before: Issued | None, report: Report
) -> _Filled:
    """Fills an empty database and the folder beside it, and raises every sequence above what was given out.

    The table ``meta`` is written last, with the new epoch: without it a database counts as not installed.
    """
    migrate(database, only=manifest.schema_steps)
    tables = _TableLoader(database, path, manifest)
    total = sum(table.rows for table in manifest.tables.values())
    has_token = False
    for name, source in archive.members(path):
        part = name.split("/")
        if part[0] == "tables":
            tables.load(part[1], source.read())
            report("rows", sum(tables.done.values()), total)
        elif name == archive.ADMIN_TOKEN:
            has_token = True
            _write_file(folder / ADMIN_TOKEN_FILE, source)
        elif part[0] == PACKS_FOLDER:
            (folder / PACKS_FOLDER / part[1]).mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_file(folder / PACKS_FOLDER / part[1] / part[2], source)
    tables.require_all()
    migrate(database)
    is_exact = tables.renew(before)
    findings = database.read_now(lambda tx: _checked(tx, report))
    if not has_token:
        renew_admin_token(database, folder)
    return _Filled(f"{tables.finish(before):012x}", findings, is_exact)


class _TableLoader:
    """Loads the rows of a backup into the tables of a new schema."""

    def __init__(self, database: Database, path: Path, manifest: BackupManifest) -> None:
        self._database = database
        self._path = path
        self._manifest = manifest
        self._meta_rows: list[Row] = []
        self.done = dict.fromkeys(manifest.tables, 0)
        known = dump.names(manifest.schema_steps)
        if set(known) != set(manifest.tables):
            raise BackupDamaged(f"{path} does not hold the tables that its schema steps make")
        for name in known:
            self._prepare(name)

    def _prepare(self, name: str) -> None:
        """Compares the columns with the schema's, and deletes the rows that a schema step inserted."""
        table = self._database.read_now(lambda tx: dump.describe(tx, name, embedded=self._database.embedded))
        if set(table.columns) != set(self._manifest.tables[name].columns):
            raise BackupDamaged(f"{self._path} has other columns of {name} than its schema steps make")
        self._database.write_now(lambda tx: dump.clear(tx, name))

    def load(self, name: str, page: bytes) -> None:
        """Writes a page of rows; the rows of ``meta`` wait for the end."""
        if name not in self.done:
            raise BackupDamaged(f"{self._path} holds rows of {name}, which its manifest does not name")
        with self._fitting(name):
            rows = dump.unpack(page)
        self.done[name] += len(rows)
        if name == _META:
            self._meta_rows += rows
        else:
            columns = self._manifest.tables[name].columns
            with self._fitting(name):
                self._database.write_now(partial(dump.insert, name=name, columns=columns, rows=rows))

    def require_all(self) -> None:
        """Compares the rows with the manifest's counts. Raises: BackupDamaged."""
        for name, table in self._manifest.tables.items():
            if self.done[name] != table.rows:
                raise BackupDamaged(
                    f"{self._path} holds {self.done[name]} rows of {name}, its manifest says {table.rows}"
                )

    def renew(self, before: Issued | None) -> bool:
        """Raises every sequence; True when the replaced state showed what was given out after the backup."""

        def transaction(tx: Transaction) -> bool:
            age_seconds = (tx.now_us - parse_time(self._manifest.made_at, "made_at")) // SECOND_US
            own = renewal.issued(tx.rows)._replace(meta=self._meta())
            return renewal.renew(tx, own, before, age_seconds).is_exact

        with self._fitting("counters"):
            return self._database.write_now(transaction)

    def _meta(self) -> dict[str, bytes]:
        """The facts of the backup, which are written last."""
        columns = self._manifest.tables[_META].columns
        name, value = columns.index("name"), columns.index("value")
        return {row[name]: bytes(row[value]) for row in self._meta_rows}

    def finish(self, before: Issued | None) -> int:
        """Writes ``meta`` with a new epoch, which makes the database an installation; the epoch."""

        def transaction(tx: Transaction) -> int:
            dump.insert(tx, _META, self._manifest.tables[_META].columns, self._meta_rows)
            meta.renew_secrets(tx)
            return meta.renew_epoch(tx, {} if before is None else before.meta)

        with self._fitting(_META):
            return self._database.write_now(transaction)

    @contextmanager
    def _fitting(self, name: str) -> Iterator[None]:
        """Turns an error about rows that do not fit their table into BackupDamaged."""
        try:
            yield
        except (Fatal, Unavailable, QuotaExceeded, OSError, MemoryError):
            raise  # about this machine or its database, and not about the rows
        except Exception as failure:  # noqa: BLE001 - each driver has errors of its own for values that do not fit
            raise BackupDamaged(f"{self._path} holds rows of {name} that do not fit the table: {failure}") from None


def _checked(tx: Transaction, report: Report) -> list[Finding]:
    total = integrity.changes_to_check(tx)
    return list(integrity.check(tx, adding(report, "changes verified", total)))


def _write_file(path: Path, source: IO[bytes]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise BackupDamaged(f"the backup holds the file {path.name} twice") from None
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file, archive.PIECE_BYTES)


def _put_in_place(building: Path, folder: Path, stamp: str) -> Path | None:
    """Moves the old data aside and the new data in; the database last, because it makes the folder whole."""
    old = [folder / name for name in (*_SQLITE_FILES, PACKS_FOLDER, ADMIN_TOKEN_FILE) if (folder / name).exists()]
    aside = None
    if old:
        aside = _new_folder(folder / f"replaced-{stamp}")
        for path in old:
            path.rename(aside / path.name)
    for name in (PACKS_FOLDER, ADMIN_TOKEN_FILE, DATABASE_FILE):
        if (building / name).exists():
            (building / name).rename(folder / name)
    archive.sync_folder(folder)
    return aside


def _new_folder(path: Path) -> Path:
    """Creates a folder of this name, or of the next free one: two restores may happen in the same second."""
    for number in itertools.count(1):
        free = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with suppress(FileExistsError):
            free.mkdir(mode=0o700)
            return free
    raise AssertionError

"""Makes a backup while the server runs: one snapshot of every table, and the packs that it names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headwater import __version__
from headwater.base.errors import Invalid, StateConflict, Unavailable
from headwater.base.wire import format_seconds
from headwater.identity import meta
from headwater.installation import archive, pack_audit
from headwater.installation.archive import ArchiveWriter, BackupManifest, TableSummary
from headwater.installation.connect import PACKS_FOLDER
from headwater.installation.first_start import ADMIN_TOKEN_FILE
from headwater.installation.progress import Report, silent
from headwater.store import dump
from headwater.store.database import Database, Transaction
from headwater.store.integrity import Finding

SUFFIXES = (".tar", ".tar.zst")


class Made(NamedTuple):
    """A backup that was written: its manifest, and which packs in use it could not take whole."""

    manifest: BackupManifest
    findings: list[Finding]


def make(
    database: Database,
    folder: Path,
    path: Path,
    *,
    packs_elsewhere: str | None = None,
    replace: bool = False,
    report: Report = silent,
) -> Made:
    """Write a backup of a database and its data folder to ``path``; ``packs_elsewhere`` names their bucket.

    Packs that the tables name and that are missing or of another size are told; all else is written.

    Raises: Invalid (no name for a backup), StateConflict (the file is there; ``replace`` writes over it).
    """
    if not path.name.endswith(SUFFIXES):
        raise Invalid(f"{path}: a backup's name ends in {' or '.join(SUFFIXES)}")
    if path.exists() and not replace:
        raise StateConflict(f"{path} is there already; --force writes over it", code="BACKUP_EXISTS")
    with _packs_held(folder) as hold, archive.written(path) as writer:
        manifest, packs = database.read_now(
            lambda tx: (
                _write_tables(tx, writer, hold, report, embedded=database.embedded, packs=packs_elsewhere),
                [] if packs_elsewhere else pack_audit.named(tx),
            )
        )
        token = folder / ADMIN_TOKEN_FILE
        if token.exists():
            writer.add_file(archive.ADMIN_TOKEN, token)
        findings = pack_audit.compare(packs, hold.size_of)
        _write_packs(writer, hold, report)
        whole = _with_members(manifest, writer)
        writer.finish(whole)
    return Made(whole, findings)


class _Hold:
    """Keeps the packs that are there now readable under names of its own until the backup is made."""

    def __init__(self, packs: Path, held: Path) -> None:
        self._packs = packs
        self.held = held
        self.names: list[str] = []

    def take(self) -> None:
        """Link every pack: a sweep that removes one meanwhile removes only its own name."""
        if not self._packs.is_dir():
            return
        self.held.mkdir(mode=0o700)
        for place in sorted(self._packs.iterdir()):
            if place.is_dir():
                (self.held / place.name).mkdir()
                self._link(place)

    def size_of(self, name: str) -> int | None:
        """The bytes of a pack that is held; None when it is not."""
        held = self.held / name
        return held.stat().st_size if held.exists() else None

    def release(self) -> None:
        """Remove the links."""
        if self.held.exists():
            shutil.rmtree(self.held)

    def _link(self, place: Path) -> None:
        for pack in sorted(place.iterdir()):
            name = f"{place.name}/{pack.name}"
            try:
                os.link(pack, self.held / name)
            except FileNotFoundError:
                continue
            self.names.append(name)


@contextmanager
def _packs_held(folder: Path) -> Iterator[_Hold]:
    hold = _Hold(folder / PACKS_FOLDER, folder / f"backup-{os.getpid()}")
    hold.release()
    try:
        yield hold
    finally:
        hold.release()


def _write_tables(
    tx: Transaction, writer: ArchiveWriter, hold: _Hold, report: Report, *, embedded: bool, packs: str | None
) -> BackupManifest:
    """Every table on one snapshot, and what the manifest says of it."""
    if writer.members:
        # A reader that lost its connection begins again on another snapshot; what is written stays written.
        raise Unavailable("the connection to the database was lost during the backup: make it again")
    steps = tuple(row[0] for row in tx.rows("SELECT name FROM schema_steps ORDER BY name"))
    hold.take()  # after the first read, which fixes the snapshot: every pack that it names is there now
    names = dump.names(steps)
    total = sum(dump.count(tx, name) for name in names)
    done = 0
    summaries: dict[str, TableSummary] = {}
    for name in names:
        table = dump.describe(tx, name, embedded=embedded)
        rows = 0
        for number, page in enumerate(dump.pages(tx, table)):
            writer.add_bytes(f"tables/{name}/{number:06d}.msgpack", dump.pack(page))
            rows += len(page)
            done += len(page)
            report("rows", done, total)
        summaries[name] = TableSummary(table.columns, rows)
    heads = tx.rows(
        "SELECT f.name, c.value FROM feeds f JOIN counters c ON c.feed = f.feed AND c.name = 'head' ORDER BY f.name"
    )
    return BackupManifest(
        format=archive.FORMAT,
        version=archive.VERSION,
        headwater=__version__,
        made_at=format_seconds(tx.now_us),
        database="sqlite" if embedded else "postgresql",
        epoch=f"{meta.epoch(tx):012x}",
        packs=packs or "included",
        schema_steps=steps,
        tables=summaries,
        heads=dict(heads),
        members=(),
    )


def _write_packs(writer: ArchiveWriter, hold: _Hold, report: Report) -> None:
    for done, name in enumerate(hold.names, 1):
        writer.add_file(f"packs/{name}", hold.held / name)
        report("packs", done, len(hold.names))


def _with_members(manifest: BackupManifest, writer: ArchiveWriter) -> BackupManifest:
    return BackupManifest(**{**{name: getattr(manifest, name) for name in manifest.__struct_fields__},
                       "members": tuple(writer.members)})  # fmt: skip

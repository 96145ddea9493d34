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
from headwater.installation.progress import Report, silent
from headwater.store import dump
from headwater.store.database import Database, Row, Transaction
from headwater.store.integrity import Finding

SUFFIXES = (".tar", ".tar.zst")


class BackupResult(NamedTuple):
    """A backup that was written: its manifest, and the packs in use that are missing from it or cut short."""

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
) -> BackupResult:
    """Writes a backup of a database and its data folder to ``path``; ``packs_elsewhere`` names the packs' bucket.

    It has no admin token and no key that gives access. A missing or cut pack becomes a finding; all else is written.

    Raises: Invalid (no name for a backup), StateConflict (the file exists; ``replace`` overwrites it).
    """
    if not path.name.endswith(SUFFIXES):
        raise Invalid(f"{path}: a backup's name ends in {' or '.join(SUFFIXES)}")
    if path.exists() and not replace:
        raise StateConflict(f"{path} is there already; --force writes over it", code="BACKUP_EXISTS")
    with _linked_packs(folder) as links, archive.create(path) as writer:
        manifest, packs = database.read_now(
            lambda tx: (
                _write_tables(tx, writer, links, report, embedded=database.embedded, packs=packs_elsewhere),
                [] if packs_elsewhere else pack_audit.in_use(tx),
            )
        )
        findings = pack_audit.compare(packs, links.size_of)
        _write_packs(writer, links, report)
        whole = _with_members(manifest, writer)
        writer.finish(whole)
    return BackupResult(whole, findings)


class _PackLinks:
    """Hard links to the present packs, which stay readable until the backup is finished."""

    def __init__(self, packs: Path, folder: Path) -> None:
        self._packs = packs
        self.folder = folder
        self.names: list[str] = []

    def create(self) -> None:
        """Links every pack: a sweep that removes a pack meanwhile removes only the sweep's own name for it."""
        if not self._packs.is_dir():
            return
        self.folder.mkdir(mode=0o700)
        for place in sorted(self._packs.iterdir()):
            if place.is_dir():
                (self.folder / place.name).mkdir()
                self._link(place)

    def size_of(self, name: str) -> int | None:
        """The bytes of a linked pack; None when no link exists."""
        link = self.folder / name
        return link.stat().st_size if link.exists() else None

    def remove(self) -> None:
        """Removes the links."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _link(self, place: Path) -> None:
        for pack in sorted(place.iterdir()):
            name = f"{place.name}/{pack.name}"
            try:
                os.link(pack, self.folder / name)
            except FileNotFoundError:
                continue
            self.names.append(name)


@contextmanager
def _linked_packs(folder: Path) -> Iterator[_PackLinks]:
    links = _PackLinks(folder / PACKS_FOLDER, folder / f"backup-{os.getpid()}")
    links.remove()
    try:
        yield links
    finally:
        links.remove()


def _write_tables(
    tx: Transaction, writer: ArchiveWriter, links: _PackLinks, report: Report, *, embedded: bool, packs: str | None
) -> BackupManifest:
    """Writes every table from one snapshot; returns the manifest, which lacks its members."""
    if writer.members:
        # A reader that lost its connection begins again on another snapshot, but the members are written already.
        raise Unavailable("the connection to the database was lost during the backup: make it again")
    steps = tuple(row[0] for row in tx.rows("SELECT name FROM schema_steps ORDER BY name"))
    links.create()  # after the first read, which fixes the snapshot: every pack that it names exists now
    names = dump.names(steps)
    secrets = tx.value("SELECT count(*) FROM meta WHERE name IN (?, ?)", *meta.SECRETS)
    total = sum(dump.count(tx, name) for name in names) - secrets
    done = 0
    summaries: dict[str, TableSummary] = {}
    for name in names:
        table = dump.describe(tx, name, embedded=embedded)
        rows = 0
        for number, found in enumerate(dump.pages(tx, table)):
            page = _without_secrets(table, found)
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


def _without_secrets(table: dump.Table, rows: list[Row]) -> list[Row]:
    """The rows without the keys that give access."""
    if table.name != "meta":
        return rows
    place = table.columns.index("name")
    return [row for row in rows if row[place] not in meta.SECRETS]


def _write_packs(writer: ArchiveWriter, links: _PackLinks, report: Report) -> None:
    for done, name in enumerate(links.names, 1):
        writer.add_file(f"packs/{name}", links.folder / name)
        report("packs", done, len(links.names))


def _with_members(manifest: BackupManifest, writer: ArchiveWriter) -> BackupManifest:
    return BackupManifest(**{**{name: getattr(manifest, name) for name in manifest.__struct_fields__},
                       "members": tuple(writer.members)})  # fmt: skip

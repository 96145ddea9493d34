"""``headwater verify``: checks the log, its records, its counters and the content, or a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.cli import installation, options
from headwater.cli.installation import Installation
from headwater.cli.output import say_note, show_rows
from headwater.cli.progress import bars
from headwater.contracts.files import checksums, damage_paths
from headwater.installation import archive, connect
from headwater.installation.pack_audit import PackInspection
from headwater.installation.progress import Report, adding
from headwater.store import integrity
from headwater.store.database import Transaction
from headwater.store.integrity import Finding
from headwater.store.packs import check as pack_check
from headwater.store.packs.check import Damage, Verified
from headwater.store.packs.format import pack_name

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog=options.examples("headwater verify --data /srv/headwater", "headwater verify --backup monday.tar.zst")
)
def verify(
    *,
    backup: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check this backup instead.", show_default=False)
    ] = None,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Read everything and say what does not agree.

    Every record must have its change, every counter its count, every change the values of its row, every chunk of
    content its hash, every version its checksum. It may run while the server runs. A damaged chunk is marked, so that
    the same bytes uploaded again replace it; a mark of a chunk that is whole again is removed; a wrong checksum of a
    version is replaced. The exit code is 1 when something was found.
    """
    if backup is not None:
        _verify_backup(backup, as_json=as_json)
        return
    with installation.opened(data, database, config) as here, bars(quiet=as_json) as report:
        findings, total = here.database.read_now(lambda tx: _check(tx, report))
        damages, verified = _check_packs(here, report)
        wrong = _check_checksums(here, report)
    found = [*findings, *damages, *wrong]
    none = f"all {total} changes and {verified.chunks} chunks of content are as they should be"
    show_rows([finding._asdict() for finding in found], as_json=as_json, none=none)
    if verified.whole_again and not as_json:
        say_note(f"{verified.whole_again} chunks that were marked as damaged are whole again")
    if found:
        raise typer.Exit(1)


def _check(tx: Transaction, report: Report) -> tuple[list[Finding], int]:
    total = integrity.changes_to_check(tx)
    return list(integrity.check(tx, adding(report, "changes", total))), total


def _check_packs(here: Installation, report: Report) -> tuple[list[Finding], Verified]:
    def progress(so_far: pack_check.Verified) -> None:
        report("bytes of content", so_far.content_bytes, so_far.total_bytes)

    verified = pack_check.verify(here.database, connect.open_packs(here.settings), progress)
    return [_finding(here, damage) for damage in verified.damages], verified


def _finding(here: Installation, damage: Damage) -> Finding:
    """A damaged chunk with some of the files that it is in."""
    detail = f"pack {pack_name(damage.pack)}: {damage.reason}"
    chunk = damage.chunk
    if chunk is not None:
        files = here.database.read_now(lambda tx: damage_paths.named(tx, damage.organisation, chunk))
        detail += f"; in {', '.join(files)}" if files else "; in no file"
    return Finding("content", damage.organisation, detail)


def _check_checksums(here: Installation, report: Report) -> list[Finding]:
    """Compares the stored checksums of versions with their bytes; a wrong one is replaced."""
    progress = adding(report, "bytes with a checksum", here.database.read_now(checksums.total_bytes))
    mended = checksums.mend(here.database, connect.open_packs(here.settings), progress)
    detail = "its stored SHA-256 was not that of its bytes; the right one is stored now"
    return [Finding("checksum", each.share_id, f"version {each.version_id}: {detail}") for each in mended]


def _verify_backup(path: Path, *, as_json: bool) -> None:
    with bars(quiet=as_json) as report:
        inspection = PackInspection()
        manifest = archive.check(path, adding(report, "bytes", path.stat().st_size), inspection.add)
    found = inspection.findings(manifest)
    rows = sum(table.rows for table in manifest.tables.values())
    none = f"{path} is whole: {rows} rows in {len(manifest.members)} parts, made {manifest.made_at}"
    show_rows([finding._asdict() for finding in found], as_json=as_json, none=none)
    if found:
        raise typer.Exit(1)
    if not as_json:
        say_note(f"it can be put back with: headwater restore {path} --data DIR")

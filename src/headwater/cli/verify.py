"""``headwater verify``: whether the log, its records and its counters agree, or whether a backup is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.cli import installation, options
from headwater.cli.progress import bars
from headwater.cli.screen import say_note, show_rows
from headwater.server import archive
from headwater.store import integrity
from headwater.store.database import Transaction
from headwater.store.integrity import Finding

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

    Every record must have its change, every counter its count, every change say what its row says. It may run
    while the server runs. The exit code is 1 when something was found.
    """
    if backup is not None:
        _verify_backup(backup, as_json=as_json)
        return
    with installation.opened(data, database, config) as here, bars(quiet=as_json) as report:

        def work(tx: Transaction) -> tuple[list[Finding], int]:
            total = integrity.changes_to_check(tx)
            seen = 0

            def looked(count: int) -> None:
                nonlocal seen
                seen += count
                report("changes", seen, total)

            return list(integrity.check(tx, looked)), total

        findings, total = here.database.read_now(work)
    show_rows(
        [finding._asdict() for finding in findings], as_json=as_json, none=f"all {total} changes are as they should be"
    )
    if findings:
        raise typer.Exit(1)


def _verify_backup(path: Path, *, as_json: bool) -> None:
    size_bytes = path.stat().st_size
    with bars(quiet=as_json) as report:
        seen = 0

        def read(piece_bytes: int) -> None:
            nonlocal seen
            seen += piece_bytes
            report("bytes", seen, size_bytes)

        manifest = archive.check(path, read)
    rows = sum(table.rows for table in manifest.tables.values())
    show_rows(
        [],
        as_json=as_json,
        none=f"{path} is whole: {rows} rows in {len(manifest.members)} parts, made {manifest.made_at}",
    )
    if not as_json:
        say_note(f"it can be put back with: headwater restore {path} --data DIR")

"""``headwater share get``: writes the tree of a share, or a part of it, into a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.base.errors import StateConflict
from headwater.cli import installation, options, run_as
from headwater.cli.commands.content.share_put import show_failures
from headwater.cli.output import Row, as_json_text, show_one
from headwater.cli.progress import bars
from headwater.installation import connect
from headwater.transfer import get_folder
from headwater.transfer.get_folder import FolderDownload


def get(
    id: Annotated[str, typer.Argument(metavar="ID", help="The share's id, shr_..., as 'share list' shows it.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    *,
    source: Annotated[
        str, typer.Option("--from", metavar="/PATH", help="Only this folder, or this file, of the share.")
    ] = "/",
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """Write what is in a share into a folder, as it is at this moment.

    Every chunk is checked against its hash. Files get their names when all contents are on disk, and their times of
    modification. A file that is damaged, or that this system cannot name, is listed with the reason, and the exit
    code is 1; the others are written.
    """
    with (
        installation.opened(data, database, config, sets) as here,
        bars(quiet=as_json, sizes=True) as report,
    ):
        with options.as_typed():
            found = here.database.read_now(lambda tx: get_folder.listing(tx, run_as.share(tx, id), source))
        _expect_empty(folder)
        download = FolderDownload(
            here.database, connect.open_content(here.database, here.settings), found, folder, report
        )
        download.write()
    failed = download.counts["failed"]
    counts: Row = {
        "share": found.row.id,
        "from": source,
        "to": str(folder),
        "files": download.counts["files"],
        "folders": download.counts["folders"],
        "written_bytes": download.written_bytes,
        "failed": failed,
    }
    if as_json:
        print(as_json_text({**counts, "failures": [failure._asdict() for failure in download.failures]}))
    else:
        show_one(counts, as_json=False)
        show_failures(download.failures, failed)
    if failed:
        raise typer.Exit(1)


def _expect_empty(folder: Path) -> None:
    """Creates the folder unless it exists. Raises: StateConflict (it is no folder, or not empty), OSError."""
    if folder.exists() and not folder.is_dir():
        raise StateConflict(f"{folder} is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StateConflict(f"{folder} is not empty; name a new or an empty folder")

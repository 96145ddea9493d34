"""``headwater share put``: brings a local folder, or one file, into a share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from headwater.base.errors import StateConflict
from headwater.cli import installation, options, run_as
from headwater.cli.output import Row, as_json_text, say_note, show_one, show_rows
from headwater.cli.progress import bars, watched
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import join_path, split_path, stored_path
from headwater.contracts.files.paths import PathIndex
from headwater.installation import connect
from headwater.store.database import Transaction
from headwater.transfer import local_files
from headwater.transfer.put_folder import FolderUpload, PutTarget, Tally
from headwater.transfer.results import Failure

FAILURES_SHOWN = 20


def put(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder, or one file.")],
    id: Annotated[str, typer.Argument(metavar="ID", help="The share's id, shr_..., as 'share list' shows it.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="/PATH", help="The folder of the share that gets it.")] = "/",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """Bring what is in a folder, or one file, into a share.

    The same again changes nothing, another content becomes a new version of its file, and nothing is deleted.
    Symbolic links and special files are left out. What cannot come is listed with the reason, and the exit code
    is 1; the rest came. A dry run does not check quotas.
    """
    source = folder.resolve(strict=True)
    with installation.opened(data, database, config, sets) as here, bars(quiet=as_json, sizes=True) as report:
        with options.as_typed():
            row, prefix = here.database.read_now(lambda tx: _place(tx, id, to))
        principal = here.database.read_now(run_as.operator)
        target = PutTarget(
            here.database, connect.open_content(here.database, here.settings), here.settings.files, principal, row
        )
        names = row.policy
        total_bytes = local_files.size_bytes(source, prefix, names) if watched() and not as_json else 0
        upload = FolderUpload(target, report, total_bytes, dry_run=dry_run)
        upload.run(local_files.walk(source, prefix, names))
    tally = upload.tally
    counts: Row = {
        "from": str(source).encode(errors="replace").decode(),
        "share": row.id,
        "to": prefix or "/",
        "dry_run": dry_run,
        **{name: tally.counts[name] for name in ("created", "updated", "unchanged", "folders_made", "left_out")},
        "failed": tally.counts["failed"],
        "sent_bytes": tally.sent_bytes,
    }
    _show(counts, tally, dry_run=dry_run, as_json=as_json)
    if tally.counts["failed"]:
        raise typer.Exit(1)


def _place(tx: Transaction, share_id: str, to: str) -> tuple[ShareRow, str]:
    """The share, and the stored path of the target folder; empty for its root. Raises: Invalid, StateConflict."""
    row = run_as.share(tx, share_id)
    path = stored_path(to, row.policy, field="--to")
    parts = split_path(path)
    index = PathIndex(tx, row)
    for end in range(1, len(parts) + 1):
        node = index.find_node(join_path(parts[:end]))
        if node is not None and node.type != "folder":
            raise StateConflict(f"{join_path(parts[:end])} is a file in the share, not a folder")
    return row, "" if path == "/" else path


def _show(counts: Row, tally: Tally, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        more = {"examples": [sent._asdict() for sent in tally.examples]} if dry_run else {}
        print(as_json_text({**counts, **more, "failures": [failure._asdict() for failure in tally.failures]}))
        return
    show_one(counts, as_json=False)
    if dry_run and tally.examples:
        say_note("\nWhat would be sent, for example:")
        show_rows([sent._asdict() for sent in tally.examples], as_json=False, none="")
    show_failures(tally.failures, tally.counts["failed"])


def show_failures(failures: Sequence[Failure], count: int) -> None:
    """Lists the first failures, with their reasons."""
    if failures:
        say_note("\nWhat failed:")
        show_rows([failure._asdict() for failure in failures[:FAILURES_SHOWN]], as_json=False, none="")
    if count > FAILURES_SHOWN:
        say_note(f"and {count - FAILURES_SHOWN} more; --json lists up to 1000")

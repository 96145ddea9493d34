"""``headwater share empty-trash`` and ``prune-versions``: remove for good what takes room in a share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from headwater.cli import installation, options, run_as
from headwater.cli.output import Row, say_note, show_one
from headwater.cli.progress import bars
from headwater.cli.values import parse_length
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.retention import empty_trash, prune_versions
from headwater.contracts.files.retention.empty_trash import Emptied
from headwater.contracts.files.retention.prune_versions import KeepRule, Pruned
from headwater.installation.progress import Report
from headwater.store.database import Database, Transaction
from headwater.store.tree import versions

ShareId = Annotated[str, typer.Argument(metavar="ID", help="The share's id, shr_..., as 'share list' shows it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

_IN_TRASH = "SELECT count(*) FROM nodes WHERE feed = ? AND trashed_us IS NOT NULL"


def empty(
    id: ShareId,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what has been in the trash for longer: 30d, 12h.", show_default=False),
    ] = None,
    yes: Yes = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove for good what is in the trash of a share, with all its versions.

    The room counts as free at once; 'headwater gc' frees the disk later. What a conflict that waits for a person needs
    stays. A server may run meanwhile.
    """
    with options.as_typed():
        older_seconds = parse_length(older_than) if older_than is not None else 0
    with installation.opened(data, database, config) as here:
        row, in_trash = here.database.read_now(lambda tx: _share_and_trash(tx, id))
        _ask(f"Remove for good what is in the trash of {row.name!r}?", yes=yes)
        with bars(quiet=as_json) as report:

            def progress(so_far: Emptied) -> None:
                report("files and folders", so_far.removed, max(in_trash, so_far.removed))

            done = empty_trash.empty(here.database, row.feed, older_seconds, breathe=progress)
        used_bytes = _used_bytes(here.database, row)
    shown: Row = {
        "share": row.id,
        "removed": done.removed,
        "kept_for_conflicts": done.kept,
        "freed_bytes": done.freed_bytes,
        "used_bytes": used_bytes,
    }
    show_one(shown, as_json=as_json)


def prune(
    id: ShareId,
    *,
    keep_last: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Keep the last N versions of each file.", show_default=False),
    ] = None,
    keep_younger: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Keep versions younger than this: 90d, 12h.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and change nothing.")] = False,
    yes: Yes = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove old versions of the files of a share for good.

    With both options a version stays that either of them keeps. The current version of a file always stays, and so does
    one that is a side of a conflict that waits for a person. A server may run meanwhile.
    """
    if keep_last is None and keep_younger is None:
        raise typer.BadParameter("give --keep-last, --keep-younger, or both")
    with options.as_typed():
        rule = KeepRule.asked(keep_last, parse_length(keep_younger) if keep_younger is not None else None)
    with installation.opened(data, database, config) as here:
        row = here.database.read_now(lambda tx: run_as.share(tx, id))
        doomed = list(prune_versions.plan(here.database, row.feed, rule))
        done = Pruned(len(doomed), sum(version.size_bytes for version in doomed), complete=True)
        if not dry_run and doomed:
            _ask(f"Remove {done.versions} old versions of {row.name!r} for good?", yes=yes)
            with bars(quiet=as_json) as report:
                done = prune_versions.prune(here.database, row.feed, rule, breathe=_reporting(report, done.versions))
        used_bytes = _used_bytes(here.database, row)
    shown: Row = {
        "share": row.id,
        "removed": done.versions,
        "freed_bytes": done.freed_bytes,
        "used_bytes": used_bytes,
        **({"dry_run": True} if dry_run else {}),
    }
    show_one(shown, as_json=as_json)


def _reporting(report: Report, total: int) -> Callable[[Pruned], None]:
    return lambda so_far: report("versions", so_far.versions, max(total, so_far.versions))


def _share_and_trash(tx: Transaction, id: str) -> tuple[ShareRow, int]:
    row = run_as.share(tx, id)
    return row, int(tx.value(_IN_TRASH, row.feed))


def _used_bytes(database: Database, row: ShareRow) -> int:
    return database.read_now(lambda tx: tx.counter(row.feed, versions.BYTES))


def _ask(question: str, *, yes: bool) -> None:
    """Asks on the terminal; ends with 1 when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on; give --yes")
    if not typer.confirm(question, err=True):
        say_note("nothing was removed")
        raise typer.Exit(1)

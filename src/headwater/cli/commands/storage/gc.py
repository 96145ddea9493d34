"""``headwater gc``: frees the content that nothing refers to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headwater.cli import installation, options
from headwater.cli.output import show_one
from headwater.contracts.files.retention import gc as retention_gc
from headwater.contracts.files.retention.gc import Cleaned
from headwater.contracts.files.retention.plan import plan
from headwater.installation import connect

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog=options.examples(
        "headwater gc --data /srv/headwater",
        "headwater gc --data /srv/headwater --dry-run",
        "headwater gc --data /srv/headwater --set files.gc_grace_seconds=3600",
    )
)
def gc(
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be freed, and change nothing.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Free the content that no version and no upload refers to any more.

    Shares that were deleted longer ago than files.keep_deleted_shares_seconds are removed first, for good; so is what
    lay in the trash longer than files.keep_trash_seconds, if that is set, and so are old versions, if
    files.keep_versions or files.keep_versions_seconds is set.
    It may run while the server runs. What is younger than files.gc_grace_seconds stays, and a file of packed
    content is removed an hour after it was emptied, for downloads under way: its bytes are freed by the next run.
    With --dry-run the counts are what such a run would do now.
    """
    with installation.opened(data, database, config, sets) as here:
        packs, settings = connect.open_content(here.database, here.settings), here.settings.files
        cleaned = (
            plan(here.database, packs, settings) if dry_run else retention_gc.clean(here.database, packs, settings)
        )
    show_one(_row(cleaned) | ({"dry_run": True} if dry_run else {}), as_json=as_json)
    if cleaned.swept.damaged:
        raise typer.Exit(1)


def _row(cleaned: Cleaned) -> dict[str, Any]:
    swept = cleaned.swept
    return {
        "purged_shares": cleaned.purged_shares,
        "purged_files_and_folders": cleaned.purged_nodes,
        "pruned_versions": cleaned.pruned_versions,
        "expired_uploads_and_versions": cleaned.expired,
        "freed_bytes": swept.freed_bytes,
        "dropped_chunks": swept.dropped_chunks,
        "dropped_bytes": swept.dropped_bytes,
        "rewritten_packs": swept.rewritten_packs,
        "retired_packs": swept.retired_packs,
        "deleted_packs": swept.deleted_packs + swept.deleted_orphans,
        "damaged": ", ".join(swept.damaged) or None,
    }

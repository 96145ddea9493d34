"""``headwater restore``: restores a backup into a folder, so that every client notices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.base import log
from headwater.cli import options
from headwater.cli.output import say_note, show_one
from headwater.cli.progress import bars
from headwater.installation import restore as restoring

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog=options.examples(
        "headwater restore monday.tar.zst --data /srv/headwater",
        "headwater restore monday.tar.zst --data /srv/headwater --force",
    )
)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup, as 'headwater backup' made it.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Move the data that is there aside first.")] = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Put a backup into an empty data folder, or an empty PostgreSQL database.

    The whole backup is checked before anything is touched. The log gets a new epoch: every cursor from before
    answers that the server was restored, so that clients read everything again and miss nothing. No id, number or
    position of before is given out again: with --force the data that is moved aside tells how far they went. No
    server may run meanwhile.
    """
    settings = options.load(data, database, config)
    log.configure(settings.log)
    options.keep_files_private()
    with bars(quiet=as_json) as report:
        done = restoring.restore(file, settings, replace=force, report=report)
    rows = sum(table.rows for table in done.manifest.tables.values())
    shown: dict[str, object] = {
        "folder": settings.database.data_folder,
        "made": done.manifest.made_at,
        "rows": rows,
        "old epoch": done.manifest.epoch,
        "new epoch": done.epoch,
    }
    if as_json:
        shown = {name.replace(" ", "_"): value for name, value in shown.items()}
        shown |= {"replaced": done.replaced, "heads": done.manifest.heads, "known_gap": done.is_exact}
        shown["findings"] = [finding._asdict() for finding in done.findings]
    show_one(shown, as_json=as_json)
    if done.replaced is not None:
        say_note(f"what was there before is in {done.replaced}; remove it when you are sure")
    if not done.is_exact:
        say_note(
            "what was given out after this backup is not known, so ids and positions continue after a wide gap;"
            " with --force in the folder of the data that is replaced, they continue exactly"
        )
    say_note(f"the admin token is in {settings.database.data_folder}/admin.token; short-lived JWTs have ended")
    say_note("tokens that were revoked after this backup are good again: see 'headwater token list'")
    if done.findings:
        say_note(f"{len(done.findings)} things in this backup do not agree: see 'headwater verify'")
        raise typer.Exit(1)

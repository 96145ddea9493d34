"""``headwater backup``: writes everything into one file, while the server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.cli import installation, options
from headwater.cli.output import say_note, show_one, show_rows
from headwater.cli.progress import bars
from headwater.installation import backup as making

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog=options.examples(
        "headwater backup monday.tar.zst",
        "headwater backup /mnt/safe/headwater.tar --data /srv/headwater --force",
    )
)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup: .tar, or .tar.zst for a compressed one.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write everything into one file, while the server runs.

    The backup holds one moment of the database and the packs of that moment, with a hash of each part. It also
    holds the keys of the installation: keep it as safe as the data folder. When content that the database names is
    missing or cut short, the backup is made without it, says so, and the exit code is 1.
    """
    with installation.opened(data, database, config) as here, bars(quiet=as_json) as report:
        manifest, findings = making.make(
            here.database,
            here.folder,
            file,
            packs_elsewhere=here.settings.files.pack_store,
            replace=force,
            report=report,
        )
    rows = sum(table.rows for table in manifest.tables.values())
    packs = sum(member.name.startswith("packs/") for member in manifest.members)
    shown = {"file": str(file), "bytes": file.stat().st_size, "rows": rows, "packs": packs, "epoch": manifest.epoch}
    more = {"made": manifest.made_at, "heads": manifest.heads, "findings": [found._asdict() for found in findings]}
    show_one(shown | more if as_json else shown, as_json=as_json)
    if here.settings.files.pack_store:
        say_note(
            f"the packs are in {here.settings.files.pack_store} and not in this file: keep versions of that bucket"
        )
    if findings:
        say_note("\nWhat the database names and the backup lacks; 'headwater verify' says more:")
        if not as_json:
            show_rows([found._asdict() for found in findings], as_json=False, none="")
        raise typer.Exit(1)

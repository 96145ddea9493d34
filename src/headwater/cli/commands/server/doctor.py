"""``headwater doctor``: checks the installation, and advises on each fault."""

from __future__ import annotations

import typer

from headwater.base import log
from headwater.cli import options
from headwater.cli.output import show_rows
from headwater.installation import doctor as installation_doctor

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=options.examples("headwater doctor", "headwater doctor --data /srv/headwater --json"))
def doctor(
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """Look the installation over.

    It checks the machine, the data folder, the database and what the settings let in, and changes nothing. It may
    run while the server runs. The exit code is 1 when something is bad.
    """
    settings = options.load(data, database, config, sets)
    log.configure(settings.log)
    checks = list(installation_doctor.examine(settings))
    rows = [
        {"check": check.name, "state": check.state, "detail": check.detail, "advice": check.advice} for check in checks
    ]
    show_rows(rows, as_json=as_json, none="")
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(1)

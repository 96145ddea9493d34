"""``headwater config``: shows each setting and the origin of its value."""

from __future__ import annotations

import typer

from headwater.base.settings.load import explain
from headwater.cli import options
from headwater.cli.output import show_rows

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def config_() -> None:
    """Show the settings."""


@app.command(
    epilog=options.examples(
        "headwater config show",
        "headwater config show --data /srv/headwater --json",
        "HEADWATER_SERVER_PORT=9000 headwater config show",
    )
)
def show(
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """Show every setting and where its value came from.

    Secrets are masked.
    """
    rows = explain(options.flags(data, database, sets), config=config)
    if as_json:
        shown = [
            {"name": row.name, "value": row.value, "origin": row.origin, "default": row.default, "unit": row.unit,
             "range": row.range, "sentence": row.sentence, "secret": row.secret}
            for row in rows
        ]  # fmt: skip
    else:
        shown = [{"setting": row.name, "value": f"{row.value} {row.unit}".strip(), "from": row.origin} for row in rows]
    show_rows(shown, as_json=as_json, none="")

"""``headwater openapi``: prints the description of the API, for tools that generate clients."""

from __future__ import annotations

import json

import typer

from headwater.cli import options

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=options.examples("headwater openapi > openapi.json"))
def openapi(
    data: options.DataFolder = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
) -> None:
    """Print the OpenAPI 3.1 document of a server with these settings."""
    from headwater.server.scratch import throwaway
    from headwater.web.docs.openapi import describe

    settings = options.load(data, None, config, sets)
    with throwaway(settings) as server:
        document = describe(server.contracts, settings)
    print(json.dumps(document, indent=2, ensure_ascii=False))

"""``headwater device``: list devices with their lag, and stop waiting for one."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.cli import installation, options
from headwater.cli.output import Row, show_rows
from headwater.feed import devices
from headwater.feed.devices import DeviceLag

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.command("list", epilog=options.examples("headwater device list", "headwater device list --org default --all"))
def list_(
    org: Annotated[
        str | None, typer.Option(metavar="ORG", help="Only this organisation's.", show_default=False)
    ] = None,
    inactive: Annotated[bool, typer.Option("--all", help="Inactive devices too.")] = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the devices with their lag.

    The lag is how many positions the feed's head is ahead of what a device holds.
    """
    with installation.opened(data, database, config) as here:
        found = here.database.read_now(lambda tx: devices.read_all(tx, org, inactive=inactive))
    show_rows([_row(standing) for standing in found], as_json=as_json, none="there are no devices")


@app.command(epilog=options.examples("headwater device deactivate dev_7d1fd2kcxj8rw0mq"))
def deactivate(
    id: Annotated[
        str,
        typer.Argument(metavar="ID", help="The device's id, dev_..., as 'device list' shows it, or the client's own."),
    ],
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Stop waiting for a device that is gone.

    It no longer keeps old changes from being forgotten. If it comes again, it is active again.
    """
    with installation.opened(data, database, config) as here:
        found = here.database.write_now(lambda tx: devices.deactivate(tx, id))
    show_rows([_row(standing) for standing in found], as_json=as_json, none="")


def _row(standing: DeviceLag) -> Row:
    return {
        "id": standing.id,
        "org": standing.organisation,
        "door": standing.door,
        "device": standing.device_id,
        "name": standing.device_name,
        "active": standing.is_active,
        "feed": standing.feed,
        "position": standing.position,
        "head": standing.head,
        "lag": standing.lag,
        "last_seen_at": standing.last_seen_us,
    }

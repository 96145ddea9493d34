"""``headwater device``: lists devices with their lag, and deactivates one."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.base.errors import NotFound
from headwater.cli import installation, options
from headwater.cli.output import Row, show_rows
from headwater.feed import devices
from headwater.feed.devices import DeviceLag
from headwater.identity import organisations
from headwater.store.database import Transaction

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
        found = here.database.read_now(lambda tx: _listed(tx, org, inactive=inactive))
    none = "there are no devices" if inactive else "there are no active devices; --all lists inactive ones too"
    show_rows([_row(device) for device in found], as_json=as_json, none=none)


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

    Old changes are no longer stored for it. It becomes active again with its next request.
    """
    with installation.opened(data, database, config) as here:
        found = here.database.write_now(lambda tx: devices.deactivate(tx, id))
    show_rows([_row(device) for device in found], as_json=as_json, none="")


def _listed(tx: Transaction, org: str | None, *, inactive: bool) -> list[DeviceLag]:
    if org is not None and organisations.find(tx, org) is None:
        raise NotFound(f"no organisation {org!r}; 'headwater org list' lists them")
    return devices.read_all(tx, org, inactive=inactive)


def _row(device: DeviceLag) -> Row:
    return {
        "id": device.id,
        "org": device.organisation,
        "door": device.door,
        "device": device.device_id,
        "name": device.device_name,
        "active": device.is_active,
        "feed": device.feed,
        "position": device.position,
        "head": device.head,
        "lag": device.lag,
        "last_seen_at": device.last_seen_us,
    }

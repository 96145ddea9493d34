"""``headwater org``: creates and lists organisations."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.base.errors import StateConflict
from headwater.cli import installation, options
from headwater.cli.output import Row, show_one, show_rows
from headwater.identity import organisations
from headwater.identity.organisations import Organisation
from headwater.store.database import Transaction
from headwater.store.log import feeds, records

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.command(epilog=options.examples("headwater org create org_hlf --name 'Norwegian association'"))
def create(
    id: Annotated[str, typer.Argument(metavar="ID", help="The organisation's id, as callers will name it.")],
    name: Annotated[str, typer.Option(metavar="TEXT", help="Its name, for people; the id when left out.")] = "",
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Make an organisation with its feed."""

    def transaction(tx: Transaction) -> Row:
        if organisations.find(tx, id) is not None:
            raise StateConflict(f"there already is an organisation {id!r}", code="ORGANISATION_EXISTS")
        return _row(tx, organisations.create(tx, id, name))

    with installation.opened(data, database, config) as here:
        row = here.database.write_now(transaction)
    show_one(row, as_json=as_json)


@app.command("list", epilog=options.examples("headwater org list", "headwater org list --json"))
def list_(
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the organisations with what they hold."""

    def transaction(tx: Transaction) -> list[Row]:
        return [_row(tx, found) for found in organisations.read_all(tx)]

    with installation.opened(data, database, config) as here:
        rows = here.database.read_now(transaction)
    show_rows(rows, as_json=as_json, none="there are no organisations")


def _row(tx: Transaction, found: Organisation) -> Row:
    feed = organisations.feed_of(tx, found.id)
    return {
        "id": found.id,
        "name": found.name,
        "contacts": records.live_count(tx, feed, "contact"),
        "cached_contacts": records.live_count(tx, feed, "cached_contact"),
        "notes": records.live_count(tx, feed, "note"),
        "head": feeds.head(tx, feed),
        "created_at": found.created_us,
    }

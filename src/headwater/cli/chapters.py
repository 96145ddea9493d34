"""``headwater chapter``: make, list and rename an organisation's chapters."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.base.errors import NotFound
from headwater.cli import installation, options
from headwater.cli.screen import Row, show_one, show_rows
from headwater.identity import chapters, organisations
from headwater.identity.chapters import Chapter
from headwater.store.database import Transaction

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Organisation = Annotated[str, typer.Option("--org", metavar="ORG", help="Organisation that it belongs to.")]


@app.command(
    epilog=options.examples(
        "headwater chapter create Oslo --org org_hlf --id osl", "headwater chapter create Bergen --org org_hlf"
    )
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The chapter's name.")],
    org: Organisation,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="Its id; one is made when left out.", show_default=False)
    ] = None,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a chapter."""

    def work(tx: Transaction) -> Chapter:
        _expect_organisation(tx, org)
        return chapters.create(tx, org, name, id)

    with installation.opened(data, database, config) as here:
        made = here.database.write_now(work)
    show_one(_row(made), as_json=as_json)


@app.command("list", epilog=options.examples("headwater chapter list --org org_hlf"))
def list_(
    org: Organisation,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List an organisation's chapters."""

    def work(tx: Transaction) -> list[Row]:
        _expect_organisation(tx, org)
        return [_row(found) for found in chapters.read_all(tx, org)]

    with installation.opened(data, database, config) as here:
        rows = here.database.read_now(work)
    show_rows(rows, as_json=as_json, none=f"{org} has no chapters")


@app.command(epilog=options.examples("headwater chapter rename osl 'Oslo vest' --org org_hlf"))
def rename(
    id: Annotated[str, typer.Argument(metavar="ID", help="The chapter's id, which stays.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    org: Organisation,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Give a chapter another name."""
    with installation.opened(data, database, config) as here:
        renamed = here.database.write_now(lambda tx: chapters.rename(tx, org, id, name))
    show_one(_row(renamed), as_json=as_json)


def _expect_organisation(tx: Transaction, org: str) -> None:
    if organisations.find(tx, org) is None:
        raise NotFound(f"no organisation {org!r}; make it with 'headwater org create {org}'")


def _row(chapter: Chapter) -> Row:
    return {
        "id": chapter.id,
        "name": chapter.name,
        "created_at": chapter.created_us,
        "updated_at": chapter.updated_us,
    }

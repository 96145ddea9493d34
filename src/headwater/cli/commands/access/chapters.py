"""``headwater chapter``: creates, lists and renames chapters, and sets the users in them."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.base.errors import NotFound
from headwater.cli import installation, options
from headwater.cli.output import Row, show_one, show_rows
from headwater.identity import chapter_users, chapters, organisations
from headwater.identity.chapter_users import ChapterUser
from headwater.identity.chapters import Chapter
from headwater.store.database import Transaction

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Organisation = Annotated[str, typer.Option("--org", metavar="ORG", help="Organisation that it belongs to.")]
ChapterId = Annotated[str, typer.Argument(metavar="ID", help="The chapter's id.")]
UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id, usr_..., as 'token list' shows it.")]


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

    def transaction(tx: Transaction) -> Chapter:
        _expect_organisation(tx, org)
        return chapters.create(tx, org, name, id)

    with installation.opened(data, database, config) as here:
        made = here.database.write_now(transaction)
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

    def transaction(tx: Transaction) -> list[Row]:
        _expect_organisation(tx, org)
        return [_row(found) for found in chapters.read_all(tx, org)]

    with installation.opened(data, database, config) as here:
        rows = here.database.read_now(transaction)
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


@app.command("add-user", epilog=options.examples("headwater chapter add-user osl usr_7d1fd2kcxj8rw0mq --org org_hlf"))
def add_user(
    id: ChapterId,
    user: UserId,
    org: Organisation,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Put a user into a chapter.

    The user gets the chapter's access to each share. Lists the users who are in it now.
    """
    with installation.opened(data, database, config) as here:
        users = here.database.write_now(lambda tx: chapter_users.add(tx, org, id, user))
    _show_users(users, id, as_json=as_json)


@app.command(
    "remove-user", epilog=options.examples("headwater chapter remove-user osl usr_7d1fd2kcxj8rw0mq --org org_hlf")
)
def remove_user(
    id: ChapterId,
    user: UserId,
    org: Organisation,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Take a user out of a chapter.

    Access to shares that the user had by the chapter alone ends at once. Lists the users who are in it now.
    """
    with installation.opened(data, database, config) as here:
        users = here.database.write_now(lambda tx: chapter_users.remove(tx, org, id, user))
    _show_users(users, id, as_json=as_json)


@app.command("users", epilog=options.examples("headwater chapter users osl --org org_hlf"))
def users_(
    id: ChapterId,
    org: Organisation,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the users in a chapter."""
    with installation.opened(data, database, config) as here:
        users = here.database.read_now(lambda tx: chapter_users.read_all(tx, org, id))
    _show_users(users, id, as_json=as_json)


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


def _show_users(users: list[ChapterUser], chapter: str, *, as_json: bool) -> None:
    show_rows([user._asdict() for user in users], as_json=as_json, none=f"no user is in {chapter}")

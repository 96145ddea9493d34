"""``headwater token``: creates, lists and revokes tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.base.clock import now_us
from headwater.base.errors import NotFound
from headwater.cli import installation, options
from headwater.cli.output import Row, say_note, show_one, show_rows
from headwater.cli.values import parse_end
from headwater.identity import organisations, tokens
from headwater.identity.roles import SCOPES, Role, known_scope, role_of
from headwater.identity.tokens import Token
from headwater.store.database import Transaction

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_ROLES = ", ".join(role.wire for role in Role)


def _roles(incomplete: str) -> list[str]:
    return [role.wire for role in Role if role.wire.startswith(incomplete)]


def _scopes(incomplete: str) -> list[str]:
    return [name for scope in SCOPES for name in (scope, scope + ":read") if name.startswith(incomplete)]


@app.command(
    epilog=options.examples(
        "headwater token create --org default --role coordinator --scope contacts --scope cache",
        "headwater token create --org org_hlf --role org_admin --scope sync,terminology:read --expires 90d",
        "headwater token create --org default --role coordinator --scope files --user anna",
        "TOKEN=$(headwater token create --org default --role coordinator --scope sync)",
    )
)
def create(
    *,
    org: Annotated[str, typer.Option(metavar="ORG", help="Organisation that the token belongs to.")],
    role: Annotated[str, typer.Option(metavar="ROLE", help=f"One of {_ROLES}.", autocompletion=_roles)],
    scope: Annotated[
        list[str],
        typer.Option(metavar="SCOPE", autocompletion=_scopes,
                     help=f"What it is good for; may be repeated: {', '.join(SCOPES)}, each with :read to read only."),
    ],
    label: Annotated[str, typer.Option(metavar="TEXT", help="What it is for, shown in lists.")] = "",
    user: Annotated[
        str, typer.Option(metavar="USER", show_default=False,
                     help="Its user: an id, or a name; a name that no user of the organisation has makes a user."),
    ] = "",
    expires: Annotated[str, typer.Option(metavar="TIME", help="When it ends: 90d, 12h, a time, or never.")] = "never",
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:  # fmt: skip
    """Make a token; it is shown only this once.

    With --user it is one more token of that user, who keeps the role; without, or with a new name, a user is made.
    """
    wanted = role_of(role.lower())
    if wanted is None:
        raise typer.BadParameter(f"there is no role {role!r}; there are {_ROLES}")
    scopes = [name for text in scope for name in text.replace(",", " ").split()]
    unknown = [name for name in scopes if not known_scope(name)]
    if unknown or not scopes:
        named = f"there is no scope {unknown[0]!r}" if unknown else "a token needs a scope"
        raise typer.BadParameter(f"{named}; there are {', '.join(SCOPES)}, each with :read to read only")

    with options.as_typed():
        expires_us = parse_end(expires, now_us())

    def transaction(tx: Transaction) -> tuple[str, Token]:
        if organisations.find(tx, org) is None:
            raise NotFound(f"no organisation {org!r}; make it with 'headwater org create {org}'")
        user_id = tokens.user_named(tx, org, user, wanted) if user else None
        return tokens.create(
            tx, org, wanted, scopes, label=label, user_name=user, user_id=user_id, expires_us=expires_us
        )

    with installation.opened(data, database, config) as here:
        text, token = here.database.write_now(transaction)
    if as_json:
        show_one({"token": text, **_row(token, token.created_us)}, as_json=True)
        return
    print(text)
    say_note(f"made {token.id} for the user {token.user_id}, {token.role} of {token.organisation};"
             " this is the only time that it is shown")  # fmt: skip


@app.command("list", epilog=options.examples("headwater token list", "headwater token list --org org_hlf --json"))
def list_(
    org: Annotated[
        str | None, typer.Option(metavar="ORG", help="Only this organisation's.", show_default=False)
    ] = None,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the tokens.

    A token itself is kept nowhere and cannot be shown again.
    """

    def transaction(tx: Transaction) -> list[Row]:
        return [_row(token, tx.now_us) for token in tokens.read_all(tx, org)]

    with installation.opened(data, database, config) as here:
        rows = here.database.read_now(transaction)
    show_rows(rows, as_json=as_json, none="there are no tokens")


@app.command(epilog=options.examples("headwater token revoke tok_7d1fd2kcxj8rw0mq"))
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="The token's id, tok_..., as 'token list' shows it.")],
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """End a token.

    Requests with it are refused at once; open sockets end within seconds.
    """
    with installation.opened(data, database, config) as here:
        token = here.database.write_now(lambda tx: tokens.revoke(tx, id))
    show_one(_row(token, token.revoked_us or 0), as_json=as_json)


def _row(token: Token, now_us: int) -> Row:
    ended = token.expires_us is not None and token.expires_us <= now_us
    return {
        "id": token.id,
        "org": token.organisation,
        "user": token.user_name,
        "user_id": token.user_id,
        "role": token.role,
        "scopes": token.scopes.split(),
        "label": token.label,
        "state": "revoked" if token.revoked_us is not None else "expired" if ended else "good",
        "created_at": token.created_us,
        "expires_at": token.expires_us,
    }

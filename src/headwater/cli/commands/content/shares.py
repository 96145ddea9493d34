"""``headwater share``: creates shares, sets their members, and copies files in and out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
import typer

from headwater.base.errors import NotFound
from headwater.base.wire import convert, decode, encode
from headwater.cli import installation, options, run_as
from headwater.cli.commands.content import share_get, share_put, share_room
from headwater.cli.output import Row, say_note, show_one, show_rows
from headwater.cli.values import parse_size
from headwater.contracts.files import access
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.apply import conflicts
from headwater.contracts.files.apply.conflicts import ConflictFilter
from headwater.contracts.files.apply.rows import Rows as FileRows
from headwater.contracts.files.paths import PathIndex
from headwater.contracts.files.shares import rules as share_rules
from headwater.contracts.files.shares.shapes import Member, SharePatch, read_share
from headwater.identity import organisations
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

CONFLICTS_AT_ONCE = 1000
_FORM = "user:ID, role:NAME or chapter:ID"

ShareId = Annotated[str, typer.Argument(metavar="ID", help="The share's id, shr_..., as 'share list' shows it.")]
Who = Annotated[str, typer.Argument(metavar="WHO", help=f"{_FORM}.")]


@app.command(
    epilog=options.examples(
        "headwater share create 'Team documents' --org default",
        "headwater share create Archive --org org_hlf --quota 10GiB --case-sensitive",
    )
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The share's name.")],
    *,
    org: Annotated[str, typer.Option("--org", metavar="ORG", help="Organisation that it belongs to.")],
    owner: Annotated[
        str | None,
        typer.Option(metavar="USER", show_default=False,
                     help="Id of the user who owns it [the user of the first start's admin token]."),
    ] = None,
    quota: Annotated[str, typer.Option(metavar="SIZE", help="Most bytes that it may keep: 10GiB, or none.")] = "none",
    case_sensitive: Annotated[
        bool, typer.Option("--case-sensitive", help="Let A.txt and a.txt be two files; it cannot be changed later.")
    ] = False,
    any_names: Annotated[
        bool, typer.Option("--any-names", help="Take names that Windows cannot hold; it cannot be changed later.")
    ] = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:  # fmt: skip
    """Make a share."""
    with options.as_typed():
        wanted = {
            "name": name, "case_sensitive": case_sensitive, "portable_names": not any_names,
            "quota_bytes": parse_size(quota),
        }  # fmt: skip
        fields = decode(read_share, encode(wanted))

    def transaction(tx: Transaction) -> Row:
        _expect_organisation(tx, org)
        made = share_rules.create(tx, run_as.operator(tx, org, owner), fields)
        return _whole(tx, run_as.share(tx, made.id))

    with installation.opened(data, database, config) as here, options.as_typed():
        row = here.database.write_now(transaction)
    show_one(_shown(row, as_json=as_json), as_json=as_json)


@app.command("list", epilog=options.examples("headwater share list", "headwater share list --org org_hlf --json"))
def list_(
    org: Annotated[
        str | None, typer.Option("--org", metavar="ORG", help="Only this organisation's.", show_default=False)
    ] = None,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the shares with what is in them.

    The bytes are those of all versions, also of older ones and of what is in the trash: what the quota counts.
    """

    def transaction(tx: Transaction) -> list[Row]:
        if org is not None:
            _expect_organisation(tx, org)
        found = access.readable(tx, run_as.operator(tx))
        return [_row(tx, row) for row in found if org in (None, row.organisation)]

    with installation.opened(data, database, config) as here:
        rows = here.database.read_now(transaction)
    show_rows(rows, as_json=as_json, none="there are no shares; make one with 'headwater share create'")


@app.command(epilog=options.examples("headwater share show shr_7d1fd2kcxj8rw0mq"))
def show(
    id: ShareId,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Show one share and who may use it."""
    with installation.opened(data, database, config) as here:
        row = here.database.read_now(lambda tx: _whole(tx, run_as.share(tx, id)))
    show_one(_shown(row, as_json=as_json), as_json=as_json)


@app.command(
    epilog=options.examples(
        "headwater share grant shr_7d1fd2kcxj8rw0mq role:coordinator write",
        "headwater share grant shr_7d1fd2kcxj8rw0mq chapter:chp_2kcxj8rw0mq7 read",
        "headwater share grant shr_7d1fd2kcxj8rw0mq user:usr_3k9d0c2mfx7tqhwe manage",
    )
)
def grant(
    id: ShareId,
    who: Who,
    level: Annotated[
        Literal["read", "write", "manage"],
        typer.Argument(metavar="read|write|manage", help="What they may do; each includes those before it."),
    ],
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Let a user, all users of a role or higher, or the users of a chapter into a share.

    A present member gets the new level. The owner and the organisation's admins may manage it anyhow.
    """
    kind, member_id = _member(who)
    wanted = convert({"kind": kind, "id": member_id, "access": level.upper()}, Member)

    def transaction(tx: Transaction) -> Row:
        share, others = _others(tx, id, kind, member_id)
        share_rules.set_members(tx, share, [*others, wanted])
        return _whole(tx, share)

    _change(transaction, options.InstallationOptions(data, database, config), as_json=as_json)


@app.command(epilog=options.examples("headwater share revoke shr_7d1fd2kcxj8rw0mq role:coordinator"))
def revoke(
    id: ShareId,
    who: Who,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Take a member out of a share."""
    kind, member_id = _member(who)

    def transaction(tx: Transaction) -> Row:
        share, others = _others(tx, id, kind, member_id)
        if len(others) == len(share_rules.members(tx, share)):
            raise NotFound(f"{who} is no member of {share.id}; 'headwater share show {share.id}' lists them")
        share_rules.set_members(tx, share, others)
        return _whole(tx, share)

    _change(transaction, options.InstallationOptions(data, database, config), as_json=as_json)


@app.command(
    epilog=options.examples(
        "headwater share quota shr_7d1fd2kcxj8rw0mq 10GiB", "headwater share quota shr_7d1fd2kcxj8rw0mq none"
    )
)
def quota(
    id: ShareId,
    size: Annotated[str, typer.Argument(metavar="SIZE", help="10GiB, 500MiB, a number of bytes, or none.")],
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Set how much a share may keep.

    With none only files.quota_share_bytes and the organisation's quota bind it. What is in it stays in any case.
    """
    with options.as_typed():
        patch = SharePatch(quota_bytes=parse_size(size))

    def transaction(tx: Transaction) -> Row:
        share_rules.change(tx, run_as.operator(tx), id, patch)
        return _whole(tx, run_as.share(tx, id))

    _change(transaction, options.InstallationOptions(data, database, config), as_json=as_json)


@app.command(epilog=options.examples("headwater share delete shr_7d1fd2kcxj8rw0mq --yes"))
def delete(
    id: ShareId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete a share with everything in it: no user can find it any more."""
    with installation.opened(data, database, config) as here:
        row = here.database.read_now(lambda tx: _row(tx, run_as.share(tx, id)))
        if not yes:
            if not sys.stdin.isatty():
                raise typer.BadParameter("there is no terminal to ask on; give --yes")
            question = f"Delete {row['name']!r} with {row['files']} files?"
            if not typer.confirm(question, err=True):
                say_note("nothing was deleted")
                raise typer.Exit(1)
        here.database.write_now(lambda tx: share_rules.delete(tx, run_as.operator(tx), id))
    show_one({**row, "deleted": True}, as_json=as_json)


app.command(
    epilog=options.examples(
        "headwater share put ./handbook shr_7d1fd2kcxj8rw0mq --dry-run",
        "headwater share put ./handbook shr_7d1fd2kcxj8rw0mq --to /Handbook",
        "headwater share put minutes.pdf shr_7d1fd2kcxj8rw0mq --to /Minutes/2026",
    )
)(share_put.put)
app.command(
    epilog=options.examples(
        "headwater share get shr_7d1fd2kcxj8rw0mq ./copy",
        "headwater share get shr_7d1fd2kcxj8rw0mq ./minutes --from /Minutes/2026",
    )
)(share_get.get)


app.command(
    "empty-trash",
    epilog=options.examples(
        "headwater share empty-trash shr_7d1fd2kcxj8rw0mq",
        "headwater share empty-trash shr_7d1fd2kcxj8rw0mq --older-than 30d --yes",
    ),
)(share_room.empty)
app.command(
    "prune-versions",
    epilog=options.examples(
        "headwater share prune-versions shr_7d1fd2kcxj8rw0mq --keep-last 10 --dry-run",
        "headwater share prune-versions shr_7d1fd2kcxj8rw0mq --keep-last 10 --keep-younger 90d --yes",
    ),
)(share_room.prune)


@app.command("conflicts", epilog=options.examples("headwater share conflicts shr_7d1fd2kcxj8rw0mq --json"))
def list_conflicts(
    id: ShareId,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the conflicts of a share that wait for a person, the newest first.

    Each side's bytes are kept. It is settled with POST /api/v1/sync/conflicts/CONFLICT/resolve, or by the app.
    """
    with installation.opened(data, database, config) as here:
        rows = here.database.read_now(lambda tx: _conflicts(tx, run_as.share(tx, id)))
    show_rows(rows, as_json=as_json, none=f"{id} has no open conflicts")


def _change(function: Callable[[Transaction], Row], place: options.InstallationOptions, *, as_json: bool) -> None:
    """Runs a transaction function that changes a share, and shows the share."""
    with installation.opened(*place) as here:
        row = here.database.write_now(function)
    show_one(_shown(row, as_json=as_json), as_json=as_json)


def _expect_organisation(tx: Transaction, org: str) -> None:
    if organisations.find(tx, org) is None:
        raise NotFound(f"no organisation {org!r}; make it with 'headwater org create {org}'")


def _member(text: str) -> tuple[str, str]:
    kind, colon, member_id = text.partition(":")
    if kind not in ("user", "role", "chapter") or not colon or not member_id:
        raise typer.BadParameter(f"{text!r} names no member: write {_FORM}")
    return kind, member_id


def _others(tx: Transaction, share_id: str, kind: str, member_id: str) -> tuple[ShareRow, list[Member]]:
    """The share and its members but this one; locks them until the commit."""
    share = run_as.share(tx, share_id)
    tx.lock(share.feed)
    return share, [member for member in share_rules.members(tx, share) if (member.kind, member.id) != (kind, member_id)]


def _row(tx: Transaction, row: ShareRow) -> Row:
    return {
        "id": row.id,
        "name": row.name,
        "organisation": row.organisation,
        "owner": row.owner,
        "files": nodes.count_files(tx, row.feed),
        "bytes": tx.counter(row.feed, versions.BYTES),
        "quota_bytes": row.quota_bytes,
        "created_at": row.created_us,
    }


def _whole(tx: Transaction, row: ShareRow) -> Row:
    members = [msgspec.to_builtins(member) for member in share_rules.members(tx, row)]
    names = {"case_sensitive": bool(row.case_sensitive), "any_names": not row.portable}
    return {**_row(tx, row), **names, "members": members}


def _shown(row: Row, *, as_json: bool) -> Row:
    """A share for the output: without ``--json`` each member as a user types it."""
    members = row["members"]
    if as_json or not isinstance(members, list):
        return row
    return {**row, "members": [f"{each['kind']}:{each['id']}={each['access'].lower()}" for each in members]}


def _conflicts(tx: Transaction, row: ShareRow) -> list[Row]:
    rows: list[Row] = []
    before: int | None = None
    paths = PathIndex(tx, row)
    while found := conflicts.of_share(tx, row.feed, ConflictFilter(before=before, limit=CONFLICTS_AT_ONCE)):
        for each in found:
            shown = conflicts.shown(paths, FileRows(tx, row.feed), each)
            rows.append(
                {
                    "id": each.id,
                    "kind": each.kind,
                    "path": shown.path,
                    "device": each.device_id,
                    "device_version": each.local_version_id,
                    "server_version": each.server_version_id,
                    "since_at": each.created_us,
                }
            )
        before = found[-1].number
    return rows

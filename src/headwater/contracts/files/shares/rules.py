"""The decisions about shares: how one is created, changed and deleted, and its members."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from headwater.base.errors import FieldError, Invalid
from headwater.base.ids import random_id
from headwater.base.wire import format_seconds
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.shares.shapes import Member, ShareAnswer, ShareFields, SharePatch
from headwater.identity.principal import Principal
from headwater.identity.roles import Role, role_of
from headwater.store.database import Transaction
from headwater.store.log import feeds
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor, Node, Paths
from headwater.store.tree.writer import TreeWriter


def create(tx: Transaction, principal: Principal, fields: ShareFields) -> ShareAnswer:
    """Creates a share of the caller's organisation; the caller owns it."""
    share_id = random_id("shr", 16)
    feed = feeds.create(tx, "share:" + share_id, principal.organisation, history=True)
    tx.run(
        "INSERT INTO shares (feed, id, organisation, name, owner, case_sensitive, portable, quota_bytes, created_us,"
        " updated_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        feed, share_id, principal.organisation, _named(fields.name), principal.user_id, int(fields.case_sensitive),
        int(fields.portable_names), fields.quota_bytes, tx.at_us, tx.at_us,
    )  # fmt: skip
    tx.notify(feeds.ACCESS)
    return show(tx, principal, access.require(tx, principal, share_id, Access.READ))


def change(tx: Transaction, principal: Principal, share_id: str, patch: SharePatch) -> ShareAnswer:
    """Changes a share's name or quota. Raises: NotFound, Forbidden."""
    row = access.require(tx, principal, share_id, Access.MANAGE)
    name = row.name if patch.name is UNSET else _named(patch.name)
    quota = row.quota_bytes if patch.quota_bytes is UNSET else patch.quota_bytes
    if (name, quota) != (row.name, row.quota_bytes):
        tx.run(
            "UPDATE shares SET name = ?, quota_bytes = ?, updated_us = ? WHERE feed = ?",
            name,
            quota,
            max(tx.at_us, row.updated_us),
            row.feed,
        )
    if name != row.name:
        _note(tx, row, principal, "renamed", Paths("/", "/"), name)
    return show(tx, principal, access.require(tx, principal, share_id, Access.MANAGE))


def delete(tx: Transaction, principal: Principal, share_id: str) -> ShareRow:
    """Deletes a share: from now on it is unknown to every caller. Raises: NotFound, Forbidden."""
    row = access.require(tx, principal, share_id, Access.MANAGE)
    tx.frees_room()
    _note(tx, row, principal, "deleted", Paths("/", None), row.name)
    tx.run("UPDATE shares SET deleted_us = ? WHERE feed = ?", tx.now_us, row.feed)
    tx.notify(feeds.ACCESS)
    return row


def members(tx: Transaction, row: ShareRow) -> list[Member]:
    """The members of a share beside its owner."""
    rows = tx.rows("SELECT kind, member, access FROM share_members WHERE feed = ? ORDER BY kind, member", row.feed)
    return [msgspec.convert({"kind": row[0], "id": row[1], "access": Access(row[2]).name}, Member) for row in rows]


def set_members(tx: Transaction, row: ShareRow, wanted: list[Member]) -> list[Member]:
    """Replaces a share's members. Raises: Invalid naming every member that does not exist."""
    wrong = tuple(
        FieldError(f"members[{index}].id", "unknown", _absent(member))
        for index, member in enumerate(wanted)
        if not _exists(tx, row.organisation, member)
    )
    if wrong:
        raise Invalid("; ".join(error.detail for error in wrong), fields=wrong)
    chosen = {(member.kind, member.id): Access[member.access] for member in wanted}
    tx.notify(feeds.ACCESS)
    tx.frees_room()  # on a full disk too, a member is removed at once
    tx.run("DELETE FROM share_members WHERE feed = ?", row.feed)
    tx.run_many(
        "INSERT INTO share_members (feed, kind, member, access, at_us) VALUES (?, ?, ?, ?, ?)",
        [(row.feed, kind, member, int(level), tx.now_us) for (kind, member), level in chosen.items()],
    )
    return members(tx, row)


def show(tx: Transaction, principal: Principal, row: ShareRow) -> ShareAnswer:
    """A share as this caller sees it."""
    return ShareAnswer(
        row.id,
        row.name,
        row.organisation,
        row.owner,
        bool(row.case_sensitive),
        bool(row.portable),
        row.quota_bytes,
        tx.counter(row.feed, versions.BYTES),
        access.access_of(tx, principal, row).name,
        format_seconds(row.created_us),
        format_seconds(row.updated_us),
    )


def _named(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise Invalid.of("name", "incorrect_value", "a share's name has printable characters, not only spaces")
    return name


def _absent(member: Member) -> str:
    """The sentence about a member that does not exist."""
    choices = f"; there are {', '.join(role.wire for role in Role)}" if member.kind == "role" else " here"
    return f"there is no {member.kind} {member.id!r}{choices}"


def _exists(tx: Transaction, organisation: str, member: Member) -> bool:
    if member.kind == "role":
        return role_of(member.id) is not None
    table = "users" if member.kind == "user" else "chapters"
    found = tx.row(f"SELECT 1 FROM {table} WHERE organisation = ? AND id = ?", organisation, member.id)
    return found is not None


def _note(tx: Transaction, row: ShareRow, principal: Principal, change_type: str, paths: Paths, name: str) -> None:
    """Appends a change about the share itself."""
    node = Node(row.id, 0, "share", nodes.ROOT, name, "", None, 0, None, None, row.created_us, tx.now_us, tx.now_us)
    TreeWriter(tx, row.share, Actor(principal.user_id)).append_change(node, change_type, paths, {"name": name})

"""The access to a share: READ, WRITE, MANAGE for users, roles and chapters."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from headwater.base.errors import Forbidden, NotFound
from headwater.contracts.files.names import NamePolicy
from headwater.identity.principal import Principal
from headwater.identity.roles import Role, role_of
from headwater.store.database import Transaction
from headwater.store.tree.nodes import Share

_COLUMNS = (
    "feed, id, organisation, name, owner, case_sensitive, portable, quota_bytes, created_us, updated_us, deleted_us"
)


class Access(IntEnum):
    """The access of a member of a share; a higher one includes the lower ones."""

    NONE = 0
    READ = 1
    WRITE = 2
    MANAGE = 3


class ShareRow(NamedTuple):
    """A share; times in microseconds UTC since 1970."""

    feed: int
    id: str
    organisation: str
    name: str
    owner: str
    case_sensitive: int
    portable: int
    quota_bytes: int | None
    created_us: int
    updated_us: int
    deleted_us: int | None

    @property
    def share(self) -> Share:
        """The parts of the share that the tree needs."""
        return Share(self.feed, self.id, self.organisation)

    @property
    def policy(self) -> NamePolicy:
        """The rules by which it compares and limits names."""
        return NamePolicy(case_sensitive=bool(self.case_sensitive), portable=bool(self.portable))


def access_of(tx: Transaction, principal: Principal, row: ShareRow) -> Access:
    """The access of a caller to a share: the most that owner, role, membership or chapter grants."""
    if not principal.sees(row.organisation) or principal.anonymous:
        return Access.NONE
    if row.owner == principal.user_id or principal.role >= Role.ORG_ADMIN:
        return Access.MANAGE
    best = Access.NONE
    for kind, member, access in tx.rows("SELECT kind, member, access FROM share_members WHERE feed = ?", row.feed):
        if is_meant(tx, principal, kind, member):
            best = max(best, Access(access))
    return best


def is_meant(tx: Transaction, principal: Principal, kind: str, member: str) -> bool:
    """True when a member of a share, a user, role or chapter, includes the caller."""
    role = role_of(member) if kind == "role" else None
    return (
        (kind == "user" and member == principal.user_id)
        or (role is not None and principal.role >= role)
        or (kind == "chapter" and _in_chapter(tx, principal.user_id, member))
    )


def require(tx: Transaction, principal: Principal, share_id: str, least: Access) -> ShareRow:
    """The live share with this id, to which the caller has at least this access.

    Raises: NotFound (unknown, deleted, or not even READ), Forbidden (may see it, but not do this).
    """
    row = tx.row(f"SELECT {_COLUMNS} FROM shares WHERE id = ?", share_id)
    found = None if row is None else ShareRow(*row)
    if found is None or found.deleted_us is not None:
        raise NotFound(f"no share {share_id!r}")
    return _judge(found, access_of(tx, principal, found), least)


def require_feed(tx: Transaction, principal: Principal, feed: int, least: Access) -> ShareRow:
    """As ``require``, for a share named by its feed."""
    share_id = tx.value("SELECT id FROM shares WHERE feed = ?", feed)
    if share_id is None:
        raise NotFound("no such share")
    return require(tx, principal, share_id, least)


def row_of(tx: Transaction, feed: int) -> ShareRow:
    """The share with this feed, which exists."""
    return ShareRow(*tx.rows(f"SELECT {_COLUMNS} FROM shares WHERE feed = ?", feed)[0])


def readable(tx: Transaction, principal: Principal) -> list[ShareRow]:
    """Every live share that the caller may read, by id."""
    where, params = _where_readable(principal)
    columns = ", ".join("s." + name for name in ShareRow._fields)
    return [ShareRow(*row) for row in tx.rows(f"SELECT {columns} FROM shares s{where} ORDER BY s.id", *params)]


class ShareState(NamedTuple):
    """A share with the head of its log and its floor."""

    feed: int
    id: str
    head: int
    floor: int


def readable_states(tx: Transaction, principal: Principal, most: int | None = None) -> list[ShareState]:
    """As ``readable``, by feed, in one query: the states of at most so many shares."""
    where, params = _where_readable(principal)
    limit = "" if most is None else f" LIMIT {most:d}"
    rows = tx.rows(
        "SELECT s.feed, s.id, coalesce(c.value, 0), f.floor FROM shares s JOIN feeds f ON f.feed = s.feed"
        f" LEFT JOIN counters c ON c.feed = s.feed AND c.name = 'head'{where} ORDER BY s.feed{limit}",
        *params,
    )
    return [ShareState(*row) for row in rows]


def _where_readable(principal: Principal) -> tuple[str, tuple[str, ...]]:
    """The condition of the shares ``s`` that a caller may read, as ``access_of`` decides, with its parameters."""
    if principal.anonymous:
        return " WHERE 1 = 0", ()
    where = " WHERE s.deleted_us IS NULL"
    params: tuple[str, ...] = ()
    if not principal.sees_all:
        where, params = where + " AND s.organisation = ?", (principal.organisation,)
    if principal.role >= Role.ORG_ADMIN:
        return where, params
    roles = [role.wire for role in Role if role <= principal.role]
    marks = ", ".join("?" * len(roles))
    where += (
        " AND (s.owner = ? OR EXISTS (SELECT 1 FROM share_members m WHERE m.feed = s.feed"
        f" AND ((m.kind = 'user' AND m.member = ?) OR (m.kind = 'role' AND m.member IN ({marks}))"
        " OR (m.kind = 'chapter' AND m.member IN (SELECT chapter_id FROM user_chapters WHERE user_id = ?)))))"
    )
    return where, (*params, principal.user_id, principal.user_id, *roles, principal.user_id)


def _judge(row: ShareRow, access: Access, least: Access) -> ShareRow:
    if access is Access.NONE:
        raise NotFound(f"no share {row.id!r}")
    if access < least:
        raise Forbidden(f"this needs {least.name} on the share; you have {access.name}")
    return row


def _in_chapter(tx: Transaction, user_id: str, chapter_id: str) -> bool:
    return tx.row("SELECT 1 FROM user_chapters WHERE user_id = ? AND chapter_id = ?", user_id, chapter_id) is not None

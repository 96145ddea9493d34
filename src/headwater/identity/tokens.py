"""Opaque tokens: 64 characters with 256 random bits and a checksum. A token is shown once and stored as a hash."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from headwater.base.errors import FieldError, Invalid, NotFound, StateConflict
from headwater.base.ids import random_id
from headwater.identity.principal import Principal
from headwater.identity.roles import Role, known_scope, role_of
from headwater.store.database import Transaction

PREFIX = "hwt_"
"""The prefix of tokens, by which scanners of leaked secrets recognise them."""

USER_PREFIX = "usr_"
"""The prefix of user ids."""

LENGTH = 64
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK_LENGTH = 6
_SELECT = (
    "SELECT t.id, t.user_id, t.organisation, u.role, t.scopes, t.label, t.created_us, t.expires_us, t.revoked_us,"
    " u.name, f.feed FROM tokens t JOIN users u ON u.id = t.user_id"
    " JOIN feeds f ON f.name = 'org:' || t.organisation"
)


class Token(NamedTuple):
    """The stored properties of a token, without the token itself. Times in microseconds UTC since 1970."""

    id: str
    user_id: str
    organisation: str
    role: str
    scopes: str
    label: str
    created_us: int
    expires_us: int | None
    revoked_us: int | None
    user_name: str
    feed: int


def make_text() -> str:
    """Returns a new token: prefix, 54 random characters, and a checksum of six."""
    body = PREFIX + "".join(secrets.choice(_DIGITS) for _ in range(LENGTH - len(PREFIX) - _CHECK_LENGTH))
    return body + _check(body)


def well_formed(text: str) -> bool:
    """True when a text has the length, prefix and checksum of a token; other texts are refused without a query."""
    return (
        len(text) == LENGTH
        and text.startswith(PREFIX)
        and text.isascii()
        and _check(text[:-_CHECK_LENGTH]) == text[-_CHECK_LENGTH:]
    )


def digest(text: str) -> bytes:
    """Returns the hash under which a token is stored."""
    return hashlib.sha256(text.encode()).digest()


def create(
    tx: Transaction,
    organisation: str,
    role: Role,
    scopes: Iterable[str],
    *,
    label: str = "",
    user_name: str = "",
    user_id: str | None = None,
    expires_us: int | None = None,
) -> tuple[str, Token]:
    """Creates a token, and its user unless ``user_id`` names one. Only this function returns the token's text.

    Raises: Invalid (unknown scope), NotFound (unknown user in this organisation).
    """
    wanted = sorted(set(scopes))
    for scope in wanted:
        if not known_scope(scope):
            raise Invalid(
                f"unknown scope {scope!r}",
                fields=(FieldError("scopes", "incorrect_value", f"there is no scope {scope!r}"),),
            )
    if user_id is None:
        user_id = random_id(USER_PREFIX.rstrip("_"), 16)
        tx.run(
            "INSERT INTO users (id, organisation, name, role, created_us) VALUES (?, ?, ?, ?, ?)",
            user_id, organisation, user_name or label or user_id, role.wire, tx.now_us,
        )  # fmt: skip
    elif not tx.value("SELECT 1 FROM users WHERE id = ? AND organisation = ?", user_id, organisation):
        raise NotFound(f"no user {user_id!r} in organisation {organisation!r}")
    text, id = make_text(), random_id("tok", 16)
    tx.run(
        "INSERT INTO tokens (id, hash, user_id, organisation, scopes, label, created_us, expires_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        id, digest(text), user_id, organisation, " ".join(wanted), label, tx.now_us, expires_us,
    )  # fmt: skip
    mark_changed(tx)
    return text, read(tx, id)


def user_named(tx: Transaction, organisation: str, text: str, role: Role) -> str | None:
    """Returns the id of the organisation's user with this id or name; None for a new name.

    Raises: NotFound (unknown id), StateConflict (several users have the name, or the user has another role).
    """
    found = tx.rows(
        "SELECT id, role FROM users WHERE organisation = ? AND (id = ? OR name = ?) ORDER BY id = ? DESC, id",
        organisation, text, text, text,
    )  # fmt: skip
    if not found:
        if text.startswith(USER_PREFIX):
            raise NotFound(f"no user {text!r} in organisation {organisation!r}; 'headwater token list' shows users")
        return None
    ids = [str(row[0]) for row in found]
    if ids[0] != text and len(ids) > 1:
        raise StateConflict(
            f"{len(ids)} users of {organisation!r} are named {text!r}: name one by its id: {', '.join(ids)}"
        )
    if found[0][1] != role.wire:
        raise StateConflict(f"the user {ids[0]} has the role {found[0][1]}, and so must their tokens")
    return ids[0]


def read(tx: Transaction, id: str) -> Token:
    """Returns one token's row. Raises: NotFound."""
    row = tx.row(f"{_SELECT} WHERE t.id = ?", id)
    if row is None:
        raise NotFound(f"no token {id!r}")
    return Token(*row)


def read_all(tx: Transaction, organisation: str | None = None) -> list[Token]:
    """Returns the tokens of one organisation, or of all, oldest first."""
    where, params = ("", ()) if organisation is None else (" WHERE t.organisation = ?", (organisation,))
    return [Token(*row) for row in tx.rows(f"{_SELECT}{where} ORDER BY t.created_us, t.id", *params)]


def revoke(tx: Transaction, id: str) -> Token:
    """Revokes a token at once; idempotent. Raises: NotFound."""
    token = read(tx, id)
    if token.revoked_us is None:
        tx.frees_room()
        tx.run("UPDATE tokens SET revoked_us = ? WHERE id = ?", tx.now_us, id)
        mark_changed(tx)
    return read(tx, id)


def principal_of_hash(tx: Transaction, hash: bytes, now_us: int) -> Principal | None:
    """Returns the caller of a token, by the token's hash; None when it is unknown, revoked or expired."""
    row = tx.row(f"{_SELECT} WHERE t.hash = ?", hash)
    return None if row is None else _principal(Token(*row), now_us)


def principal_of_id(tx: Transaction, id: str, now_us: int) -> Principal | None:
    """Returns the caller of a token, by its id (for short-lived JWTs and open sockets); None when the token ended."""
    row = tx.row(f"{_SELECT} WHERE t.id = ?", id)
    return None if row is None else _principal(Token(*row), now_us)


def mark_changed(tx: Transaction) -> None:
    """Raises the identity counter, by which every process detects that its cached callers may be outdated."""
    tx.bump(0, "identity")


def _principal(token: Token, now_us: int) -> Principal | None:
    ended = token.revoked_us is not None or (token.expires_us is not None and token.expires_us <= now_us)
    role = role_of(token.role)
    if ended or role is None:
        return None
    scopes = frozenset(token.scopes.split())
    return Principal(token.id, token.user_id, token.organisation, role, scopes, token.expires_us, token.feed)


def _check(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECK_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(digits)

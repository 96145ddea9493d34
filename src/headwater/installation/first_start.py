"""The first start of an installation: its secrets, its first organisation and its admin token."""

from __future__ import annotations

from pathlib import Path

from headwater.identity import meta, organisations, tokens
from headwater.identity.principal import DEFAULT_ORGANISATION
from headwater.identity.roles import SCOPES, Role
from headwater.store.database import Database, Transaction
from headwater.store.log import unique_numbers

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - a file's name
"""The file of the first admin token, in the data folder; only its owner may read it."""


KEYS = ("cursor_key", "jwt_key", "master_key")
"""The secrets of an installation: the keys that sign cursors, short-lived JWTs and sell sessions."""


def first_start(database: Database, folder: Path) -> str | None:
    """Creates the organisation ``default`` and its admin token unless they exist; the new token's text, or None.

    The token is written to ``admin.token`` before it becomes valid, so that it cannot be lost.
    """

    def transaction(tx: Transaction) -> str | None:
        meta.epoch(tx)
        for name in KEYS:
            meta.secret(tx, name)
        if organisations.find(tx, DEFAULT_ORGANISATION) is not None:
            return None
        organisations.create(tx, DEFAULT_ORGANISATION)
        unique_numbers.reserve_place(tx, organisations.feed_of(tx, DEFAULT_ORGANISATION), "contact")
        return _make_admin_token(tx, folder, "admin (first start)")

    return database.write_now(transaction)


def renew_admin_token(database: Database, folder: Path) -> None:
    """Writes a new admin token into the folder of a restored installation; those of before stay as they were."""

    def transaction(tx: Transaction) -> None:
        if organisations.find(tx, DEFAULT_ORGANISATION) is None:
            organisations.create(tx, DEFAULT_ORGANISATION)
        _make_admin_token(tx, folder, "admin (restore)")

    database.write_now(transaction)


def _make_admin_token(tx: Transaction, folder: Path, label: str) -> str:
    admin = tx.value(
        "SELECT id FROM users WHERE organisation = ? AND role = ? ORDER BY created_us, id LIMIT 1",
        DEFAULT_ORGANISATION, Role.GLOBAL_ADMIN.wire,
    )  # fmt: skip
    text, _ = tokens.create(
        tx, DEFAULT_ORGANISATION, Role.GLOBAL_ADMIN, SCOPES, label=label, user_name="admin", user_id=admin
    )
    path = folder / ADMIN_TOKEN_FILE
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text + "\n", "ascii")
    return text

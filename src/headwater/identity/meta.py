"""Facts that the first start stores: the log's epoch and the keys that sign cursors and short tokens."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import MappingProxyType

from headwater.store.database import Transaction
from headwater.store.renewal import EPOCH_BYTES

_PAST = "past_epochs"
_MAX_PAST = 32


def value(tx: Transaction, name: str) -> bytes | None:
    """Returns a stored fact, or None."""
    found = tx.value("SELECT value FROM meta WHERE name = ?", name)
    return None if found is None else bytes(found)


def keep(tx: Transaction, name: str, value: bytes) -> None:
    """Stores a fact in place of an older one."""
    tx.run(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name, value,
    )  # fmt: skip


def secret(tx: Transaction, name: str) -> bytes:
    """Returns a random key of 32 bytes; creates it on first use, which needs a writing transaction."""
    found = value(tx, name)
    if found is None:
        found = secrets.token_bytes(32)
        keep(tx, name, found)
    return found


SECRETS = ("jwt_key", "master_key")
"""Keys that give access. No backup has them, and a restore replaces those of older backups.

The key of the cursors gives none: a backup has it, so that after a restore the cursors of before are recognised.
"""


def renew_secrets(tx: Transaction) -> None:
    """Replaces the keys that give access: what they signed before is good no more."""
    for name in SECRETS:
        keep(tx, name, secrets.token_bytes(32))


def epoch(tx: Transaction) -> int:
    """Returns the log's epoch: a random number that a restore replaces, so that older cursors are recognised."""
    found = value(tx, "epoch")
    return renew_epoch(tx) if found is None else int.from_bytes(found, "big")


def had_first_start(tx: Transaction) -> bool:
    """True when the installation has an epoch, and therefore keys."""
    return value(tx, "epoch") is not None


def renew_epoch(tx: Transaction, replaced: Mapping[str, bytes] = MappingProxyType({})) -> int:
    """Stores and returns a new epoch, which invalidates every older cursor and session.

    The present epoch becomes a past one, as do those of ``replaced``, the facts of the state that a restore replaces.
    """
    ended: dict[bytes, None] = {}
    for facts in (replaced, {name: value(tx, name) or b"" for name in ("epoch", _PAST)}):
        known = facts.get(_PAST, b"") + facts.get("epoch", b"")
        ended |= dict.fromkeys(known[at : at + EPOCH_BYTES] for at in range(0, len(known), EPOCH_BYTES))
    fresh = secrets.token_bytes(EPOCH_BYTES)
    keep(tx, "epoch", fresh)
    keep(tx, _PAST, b"".join(list(ended)[-_MAX_PAST:]))
    return int.from_bytes(fresh, "big")


def past_epochs(tx: Transaction) -> tuple[int, ...]:
    """Returns the epochs that restores have ended, as far as they are known, the oldest first."""
    known = value(tx, _PAST) or b""
    return tuple(int.from_bytes(known[at : at + EPOCH_BYTES], "big") for at in range(0, len(known), EPOCH_BYTES))

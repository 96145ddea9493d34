"""Facts that the first start stores: the log's epoch and the keys that sign cursors and short tokens."""

from __future__ import annotations

import secrets

from headwater.store.database import Transaction


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


def epoch(tx: Transaction) -> int:
    """Returns the log's epoch: a random number that a restore replaces, so that older cursors are recognised."""
    found = value(tx, "epoch")
    return renew_epoch(tx) if found is None else int.from_bytes(found, "big")


def had_first_start(tx: Transaction) -> bool:
    """True when the installation has an epoch, and therefore keys."""
    return value(tx, "epoch") is not None


def renew_epoch(tx: Transaction) -> int:
    """Stores and returns a new epoch, which invalidates every older cursor and session."""
    fresh = secrets.token_bytes(6)
    keep(tx, "epoch", fresh)
    return int.from_bytes(fresh, "big")

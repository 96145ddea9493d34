"""Facts that the first start makes: the log's epoch and the keys that sign cursors and short tokens."""

from __future__ import annotations

import secrets

from headwater.store.database import Transaction


def value(tx: Transaction, name: str) -> bytes | None:
    """A stored fact, or None."""
    found = tx.value("SELECT value FROM meta WHERE name = ?", name)
    return None if found is None else bytes(found)


def keep(tx: Transaction, name: str, value: bytes) -> None:
    """Store a fact in place of an older one."""
    tx.run(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name, value,
    )  # fmt: skip


def secret(tx: Transaction, name: str) -> bytes:
    """A random key of 32 bytes, made on first use (which needs a writing transaction)."""
    found = value(tx, name)
    if found is None:
        found = secrets.token_bytes(32)
        keep(tx, name, found)
    return found


def epoch(tx: Transaction) -> int:
    """The log's epoch: a random number that a restore replaces, so that old cursors are known as such."""
    found = value(tx, "epoch")
    return renew_epoch(tx) if found is None else int.from_bytes(found, "big")


def had_first_start(tx: Transaction) -> bool:
    """True when the installation has its epoch, and therefore its keys."""
    return value(tx, "epoch") is not None


def renew_epoch(tx: Transaction) -> int:
    """Give the log a new epoch; every cursor and session from before is invalid afterwards."""
    fresh = secrets.token_bytes(6)
    keep(tx, "epoch", fresh)
    return int.from_bytes(fresh, "big")

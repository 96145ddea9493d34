"""Stored answers, so that a repeated request is applied once: Idempotency-Key and client_change_id."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from headwater.store.database import Transaction


class AnswerKey(NamedTuple):
    """The key of a stored answer, with its owner: the same text from another caller is another key."""

    organisation: str
    caller: str
    key: str


class StoredAnswer(NamedTuple):
    """A stored answer and the hash of the request that it answered."""

    request_hash: bytes
    answer: bytes


def request_hash(*parts: bytes) -> bytes:
    """Returns the hash that distinguishes a repeated request from another one with the same key."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def find(tx: Transaction, key: AnswerKey, oldest_us: int) -> StoredAnswer | None:
    """Returns the answer stored for a key, or None when there is none or it is older than ``oldest_us``."""
    row = tx.row(
        "SELECT request_hash, answer, at_us FROM answers WHERE organisation = ? AND caller = ? AND key = ?",
        *key,
    )
    return None if row is None or row[2] < oldest_us else StoredAnswer(bytes(row[0]), bytes(row[1]))


def keep(tx: Transaction, key: AnswerKey, request_hash: bytes, answer: bytes) -> None:
    """Stores an answer, in the transaction of the change that it reports."""
    tx.run(
        "INSERT INTO answers (organisation, caller, key, request_hash, answer, at_us) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (organisation, caller, key) DO UPDATE SET request_hash = excluded.request_hash,"
        " answer = excluded.answer, at_us = excluded.at_us",
        *key, request_hash, answer, tx.now_us,
    )  # fmt: skip


def delete_expired(tx: Transaction, oldest_us: int, limit: int = 1000) -> int:
    """Deletes at most ``limit`` answers older than ``oldest_us``; returns their number."""
    rows = tx.rows("SELECT organisation, caller, key FROM answers WHERE at_us < ? LIMIT ?", oldest_us, limit)
    tx.run_many("DELETE FROM answers WHERE organisation = ? AND caller = ? AND key = ?", rows)
    return len(rows)

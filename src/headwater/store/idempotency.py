"""Stored answers, so that a repeated request is applied once: Idempotency-Key and client_change_id."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from headwater.store.database import Transaction
from headwater.store.log.copies import ERASED


class AnswerKey(NamedTuple):
    """The key of a stored answer, with its owner: the same text from another caller is another key."""

    organisation: str
    caller: str
    key: str


class RecordName(NamedTuple):
    """A record that a stored answer shows; its deletion erases the answer's content."""

    feed: int
    kind: str
    id: str


class StoredAnswer(NamedTuple):
    """A stored answer and the hash of the request that it answered; ``erased`` when its record was deleted since."""

    request_hash: bytes
    answer: bytes

    @property
    def erased(self) -> bool:
        """True when the record that the answer showed was deleted."""
        return self.answer == ERASED


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


def keep(tx: Transaction, key: AnswerKey, request_hash: bytes, answer: bytes, shows: RecordName | None = None) -> None:
    """Stores an answer, in the transaction of the change that it reports.

    An answer with content of a record names that record in ``shows``, and loses the content with it.
    """
    tx.run(
        "INSERT INTO answers (organisation, caller, key, request_hash, answer, at_us, record_feed, record_kind,"
        " record_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (organisation, caller, key) DO UPDATE SET request_hash = excluded.request_hash,"
        " answer = excluded.answer, at_us = excluded.at_us, record_feed = excluded.record_feed,"
        " record_kind = excluded.record_kind, record_id = excluded.record_id",
        *key, request_hash, answer, tx.now_us, *(shows or (None, None, None)),
    )  # fmt: skip


def delete_expired(tx: Transaction, oldest_us: int, limit: int = 1000) -> int:
    """Deletes at most ``limit`` answers older than ``oldest_us``; returns their number."""
    tx.frees_room()
    rows = tx.rows("SELECT organisation, caller, key FROM answers WHERE at_us < ? LIMIT ?", oldest_us, limit)
    tx.run_many("DELETE FROM answers WHERE organisation = ? AND caller = ? AND key = ?", rows)
    return len(rows)

"""Small works for tests of the store, and ways to have many of them waiting at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from headwater.store.database import Database, Transaction, TransactionFunction
from headwater.store.log import changes, feeds, records

KIND = "contact"


def make_feed(database: Database, name: str = "org:a", *, history: bool = False) -> int:
    """A new feed's number."""
    return database.write_now(lambda tx: feeds.create(tx, name, name.partition(":")[2], history=history))


def draft(id: str, body: bytes = b'{"n":1}', at_us: int = 1, *, parent: str | None = None) -> records.Draft:
    """What a rule would want written."""
    return records.Draft(id, body, records.search_text([id.lower()]), parent, at_us, at_us)


def put(feed: int, id: str, body: bytes = b'{"n":1}') -> Callable[[Transaction], records.Record]:
    """A work that creates the record, or replaces it when it lives."""

    def transaction(tx: Transaction) -> records.Record:
        current = records.find(tx, feed, KIND, id)
        if current is None or current.deleted:
            return records.create(tx, feed, KIND, draft(id, body), current)
        return records.replace(tx, feed, KIND, current, draft(id, body), ["n"])

    return transaction


def bury(feed: int, id: str) -> Callable[[Transaction], records.Record]:
    """A work that deletes a live record."""

    def transaction(tx: Transaction) -> records.Record:
        current = records.find(tx, feed, KIND, id)
        assert current is not None
        return records.delete(tx, feed, KIND, current)

    return transaction


def failing(function: TransactionFunction[Any]) -> TransactionFunction[Any]:
    """A work that does all that ``function`` does and then fails."""

    def fails(tx: Transaction) -> None:
        function(tx)
        raise Refused

    return fails


class Refused(Exception):
    """What a failing work raises."""


def together(database: Database, works: Sequence[TransactionFunction[Any]], feed: int = 0) -> list[Any]:
    """The outcome of each work, its exception included; they reach the writer in one tick, so as one group."""

    async def run() -> list[Any]:
        return await asyncio.gather(
            *(database.write(transaction, feed=feed) for transaction in works), return_exceptions=True
        )

    return asyncio.run(run())


def log_of(database: Database, feed: int) -> list[tuple[int, str, int]]:
    """The feed's changes as (position, id, deleted), in order."""
    sql = "SELECT position, id, deleted FROM changes WHERE feed = ? ORDER BY position"
    return [(row[0], row[1], row[2]) for row in database.read_now(lambda tx: tx.rows(sql, feed))]


def ids_of(database: Database, feed: int) -> set[str]:
    """The ids of the records that live."""
    sql = "SELECT id FROM records WHERE feed = ? AND deleted = 0"
    return {row[0] for row in database.read_now(lambda tx: tx.rows(sql, feed))}


def head_of(database: Database, feed: int) -> int:
    """The feed's head."""
    return database.read_now(lambda tx: feeds.head(tx, feed))


def page_after(database: Database, feed: int, after: int, limit: int = 1000) -> changes.ChangePage:
    """One page of the feed behind a cursor."""
    return database.read_now(lambda tx: changes.page(tx, feed, after, feeds.head(tx, feed), limit))

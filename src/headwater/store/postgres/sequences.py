"""Server-wide integers on PostgreSQL: taken in blocks from the counters of feed 0, as SQLite counts them too.

A sequence of PostgreSQL's own would not be part of a backup. Blocks are taken outside the transactions that use
them, so nobody waits for a commit; what a failed transaction was given is handed out again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import psycopg

from headwater.store.postgres.connection import PostgresLink

BLOCK_MAX = 64
"""Largest block; the first one has a single integer, and each next one is twice as large."""

_TAKE = (
    b"INSERT INTO counters (feed, name, value) VALUES (0, %s, %s)"
    b" ON CONFLICT (feed, name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"
)


class Mint:
    """Hands out the integers of one process; no two processes get the same."""

    def __init__(self, open_link: Callable[[], PostgresLink], link: PostgresLink) -> None:
        self._open_link = open_link
        self._link = link
        self._prepare()
        self._spare: dict[str, list[int]] = {}
        self._blocks: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, name: str, count: int) -> list[int]:
        """The next integers of a sequence, ascending."""
        with self._lock:
            spare = self._spare.setdefault(name, [])
            if len(spare) < count:
                block = self._blocks.get(name, 1)
                self._blocks[name] = min(2 * block, BLOCK_MAX)
                spare += self._more(name, max(block, count - len(spare)))
            found = spare[:count]
            del spare[:count]
            return found

    def give_back(self, name: str, numbers: Iterable[int]) -> None:
        """Take back integers that nobody used and nobody can have seen used."""
        with self._lock:
            self._spare[name] = sorted([*self._spare.get(name, ()), *numbers])

    def close(self) -> None:
        """Close the connection; what is left of the blocks is never handed out."""
        self._link.close()

    def _more(self, name: str, count: int) -> list[int]:
        try:
            last = self._take(name, count)
        except psycopg.Error as failure:
            if not self._link.is_lost(failure):
                raise
            # Once more on a new connection; should the lost one have taken a block, there is a gap.
            last = self._take(name, count)
        return list(range(last - count + 1, last + 1))

    def _take(self, name: str, count: int) -> int:
        if self._link.closed:
            self._link = self._open_link()
            self._prepare()
        last: int = self._link.fetch(_TAKE, (f"mint:{name}", count))[0][0]
        return last

    def _prepare(self) -> None:
        # A commit that uses these integers comes later in PostgreSQL's log, and makes this one durable with it.
        self._link.send(b"SET synchronous_commit = off")

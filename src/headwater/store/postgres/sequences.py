"""Server-wide integers on PostgreSQL, reserved in blocks from the counters of feed 0, which SQLite uses as well.

A PostgreSQL sequence would not be part of a backup. Blocks are reserved outside the transactions that use them, so
that no process waits for another's commit. The integers of a failed transaction are used again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import psycopg

from headwater.store.postgres.connection import PostgresLink

BLOCK_MAX = 64
"""Size of the largest block; the first block has a single integer, and each next one is twice as large."""

_TAKE = (
    b"INSERT INTO counters (feed, name, value) VALUES (0, %s, %s)"
    b" ON CONFLICT (feed, name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"
)


class Mint:
    """Allocates the integers of one process; no two processes receive the same."""

    def __init__(self, open_link: Callable[[], PostgresLink], link: PostgresLink) -> None:
        self._open_link = open_link
        self._link = link
        self._prepare()
        self._spare: dict[str, list[int]] = {}
        self._blocks: dict[str, int] = {}
        self._lock = threading.Lock()

    def allocate(self, name: str, count: int) -> list[int]:
        """Returns the next integers of a sequence, ascending."""
        with self._lock:
            spare = self._spare.setdefault(name, [])
            if len(spare) < count:
                block = self._blocks.get(name, 1)
                self._blocks[name] = min(2 * block, BLOCK_MAX)
                spare += self._more(name, max(block, count - len(spare)))
            found = spare[:count]
            del spare[:count]
            return found

    def release(self, name: str, numbers: Iterable[int]) -> None:
        """Accepts unused integers, which no committed or read data may contain, to allocate them again."""
        with self._lock:
            self._spare[name] = sorted([*self._spare.get(name, ()), *numbers])

    def close(self) -> None:
        """Closes the connection; the rest of the blocks is never allocated."""
        self._link.close()

    def _more(self, name: str, count: int) -> list[int]:
        try:
            last = self._take(name, count)
        except psycopg.Error as failure:
            if not self._link.is_lost(failure):
                raise
            # Repeat on a new connection; if the lost one had reserved a block, a gap remains.
            last = self._take(name, count)
        return list(range(last - count + 1, last + 1))

    def _take(self, name: str, count: int) -> int:
        if not self._link.reusable:
            self._link.close()
            self._link = self._open_link()
            self._prepare()
        last: int = self._link.fetch(_TAKE, (f"mint:{name}", count))[0][0]
        return last

    def _prepare(self) -> None:
        # A commit that uses these integers is later in PostgreSQL's log, and makes this one durable with it.
        self._link.send(b"SET synchronous_commit = off")

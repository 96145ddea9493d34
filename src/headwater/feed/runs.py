"""A memory cache of a feed's present state, in runs, for all devices in their first sync.

A run contains the live changes between two positions. Below the head, a feed without history only loses changes: a
newer change of a record has a new position above, and no stored change is modified. So a run is valid exactly when
the feed has as many live changes between its positions as the run, and each page compares these numbers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

RUN_CHANGES = 1000
"""Changes of a new run. A run that loses some keeps its bounds, so that the next run still follows it."""


class Run(NamedTuple):
    """The live changes after a position up to ``last``: their number, and their wire bytes with a comma before each."""

    last: int
    size: int
    wires: bytes


class Runs:
    """A cache of the most recently used runs, up to a number of bytes; thread-safe."""

    def __init__(self, limit_bytes: int, changes: int = RUN_CHANGES) -> None:
        self.changes = changes
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[int, int], Run] = OrderedDict()
        self._lock = Lock()

    def chain(self, feed: int, after: int, upto: int, limit: int) -> list[Run]:
        """Returns consecutive cached runs from a position on: at most ``limit`` changes, none beyond ``upto``."""
        found: list[Run] = []
        with self._lock:
            while (run := self._kept.get((feed, after))) is not None and run.last <= upto and run.size <= limit:
                self._kept.move_to_end((feed, after))
                found.append(run)
                after, limit = run.last, limit - run.size
        return found

    def keep(self, feed: int, after: int, run: Run) -> None:
        """Caches the run after a position, in place of an older one; evicts the least recently used runs.

        A run that is larger than the whole cache is not cached, and evicts no other.
        """
        with self._lock:
            self._forget((feed, after))
            if len(run.wires) > self._limit_bytes:
                return
            self._kept[feed, after] = run
            self._bytes += len(run.wires)
            while self._bytes > self._limit_bytes:
                self._forget(next(iter(self._kept)))

    def drop(self, feed: int, after: int) -> None:
        """Removes the run after a position from the cache."""
        with self._lock:
            self._forget((feed, after))

    def _forget(self, key: tuple[int, int]) -> None:
        run = self._kept.pop(key, None)
        if run is not None:
            self._bytes -= len(run.wires)


def size_of(runs: Sequence[Run]) -> int:
    """Returns the number of changes in the given runs."""
    return sum(run.size for run in runs)

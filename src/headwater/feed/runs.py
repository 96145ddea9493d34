"""Runs of a feed's present state, joined once and kept in memory for all devices that begin.

A run is what a page holds from one position to another. Below the head a freshest-only feed only ever loses changes:
a fresher one takes a new position above, and no change is altered where it stands. So a run is still what the feed
holds exactly when the feed holds as many changes there as the run, and that is asked anew for each page.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

RUN_CHANGES = 1000
"""Changes of a run when it is read first; it keeps its bounds when it loses some, so that the next run still fits."""


class Run(NamedTuple):
    """The live changes after a position up to ``last``: how many, and their wire bytes, a comma before each."""

    last: int
    size: int
    wires: bytes


class Runs:
    """The runs that were used last, up to so many bytes; safe to use from several threads."""

    def __init__(self, limit_bytes: int, changes: int = RUN_CHANGES) -> None:
        self.changes = changes
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[int, int], Run] = OrderedDict()
        self._lock = Lock()

    def chain(self, feed: int, after: int, upto: int, limit: int) -> list[Run]:
        """The kept runs that follow each other from a position on: at most ``limit`` changes, none beyond ``upto``."""
        found: list[Run] = []
        with self._lock:
            while (run := self._kept.get((feed, after))) is not None and run.last <= upto and run.size <= limit:
                self._kept.move_to_end((feed, after))
                found.append(run)
                after, limit = run.last, limit - run.size
        return found

    def keep(self, feed: int, after: int, run: Run) -> None:
        """Keep what stands after a position, in place of what was kept of it; the longest unused runs go.

        One that is larger than all the memory for them takes no other's place.
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
        """Forget what stands after a position."""
        with self._lock:
            self._forget((feed, after))

    def _forget(self, key: tuple[int, int]) -> None:
        run = self._kept.pop(key, None)
        if run is not None:
            self._bytes -= len(run.wires)


def size_of(runs: Sequence[Run]) -> int:
    """How many changes these runs hold."""
    return sum(run.size for run in runs)

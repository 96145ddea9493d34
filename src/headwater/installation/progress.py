"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Told of each step: what is counted, how much of it is done, and how much there is."""


def silent(_what: str, _done: int, _total: int) -> None:
    """A report that nobody hears."""


def adding(report: Report, what: str, total: int) -> Callable[[int], None]:
    """A function that is told each time how much more was done."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        report(what, done, total)

    return more

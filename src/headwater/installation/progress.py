"""The progress reports of long operations."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Receives each step: what is counted, how much of it is done, and how much exists."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Ignores every report."""


def adding(report: Report, what: str, total: int) -> Callable[[int], None]:
    """A function that adds each count to the sum, and reports the sum."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        report(what, done, total)

    return more

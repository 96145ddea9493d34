"""Progress bars of long operations, on standard error and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from headwater.installation.progress import Report


@contextmanager
def bars(*, quiet: bool = False, sizes: bool = False) -> Iterator[Report]:
    """Shows one bar for each kind of thing that is counted; ``quiet`` shows none.

    With ``sizes`` the numbers are bytes.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    counted = DownloadColumn(binary_units=True) if sizes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counted, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


def watched() -> bool:
    """True when standard error is a terminal."""
    return sys.stderr.isatty()

"""The result of a benchmark: rows of ratios, each against a floor measured in the same run."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Line(NamedTuple):
    """One row: the ``ratio`` of ours to the floor (1 is the floor's speed), and the target ratio."""

    name: str
    ours: str
    floor: str
    ratio: float | None
    aim: str
    note: str = ""


def show(title: str, lines: list[Line]) -> None:
    """Prints the rows as a table."""
    table = Table(title=title, title_justify="left")
    for heading in ("row", "ours", "floor", "ratio", "aim", "note"):
        table.add_column(heading, justify="right" if heading in {"ours", "floor", "ratio", "aim"} else "left")
    for line in lines:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        table.add_row(line.name, line.ours, line.floor, ratio, line.aim, line.note)
    Console(width=150).print(table)

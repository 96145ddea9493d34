"""``make bench``: every row as a ratio to a floor measured in the same run."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from benchmarks.servers import pin_client
from benchmarks.table import show

SUITES = ("records", "trees", "sockets", "files")


def main(
    suites: Annotated[list[str] | None, typer.Argument(help=f"Out of {', '.join(SUITES)}; default: all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the records: a look, not a measurement.")] = False,
) -> None:
    """Measures the product against floors of the same run; the ratios are the result."""
    chosen = suites or list(SUITES)
    unknown = sorted(set(chosen) - set(SUITES))
    if unknown:
        raise typer.BadParameter(f"unknown suite {unknown[0]!r}")
    pin_client()
    for name in chosen:
        suite = importlib.import_module(f"benchmarks.{name}")
        show(f"Headwater: {name}" + (" (quick)" if quick else ""), suite.run(quick=quick))


if __name__ == "__main__":
    typer.run(main)

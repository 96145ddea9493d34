"""``make bench``: every row as a ratio to a floor measured in the same run; ``--quick`` uses fewer records."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.servers import pin_client
from benchmarks.table import show

SUITES = ("records",)


def main() -> None:
    """Run the suites that are named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"out of {', '.join(SUITES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the records: a look, not a measurement")
    arguments = parser.parse_args()
    unknown = set(arguments.suites) - set(SUITES)
    if unknown:
        parser.error(f"unknown suite {min(unknown)!r}")
    pin_client()
    for name in arguments.suites or SUITES:
        suite = importlib.import_module(f"benchmarks.{name}")
        show(f"Headwater: {name}" + (" (quick)" if arguments.quick else ""), suite.run(quick=arguments.quick))


if __name__ == "__main__":
    main()

"""Runs one Headwater command whose clock follows a file, and in which chosen faults are planted.

Usage: ``python -m tests.adversaries.launch CLOCK_FILE PLANTS COMMAND…``. The clock file holds the seconds by which the
clock is wrong; ``PLANTS`` are names of ``tests.adversaries.plants``, separated by commas, or ``-``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from headwater.base import clock
from headwater.base.clock import SECOND_US
from headwater.cli.main import main


class SteppedTime(ModuleType):
    """The module ``time``, with a wall clock that is wrong by what a file says."""

    def __init__(self, file: Path) -> None:
        super().__init__("time")
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time_ns(self) -> int:
        """The wrong time, in nanoseconds since 1970."""
        return time.time_ns() + self._offset_seconds() * SECOND_US * 1000

    def _offset_seconds(self) -> int:
        try:
            return int(self._file.read_text("ascii") or 0)
        except FileNotFoundError:
            return 0


def run(arguments: list[str]) -> None:
    """Plant the faults, set the clock, and run the command."""
    clock_file, plants, *command = arguments
    setattr(clock, "time", SteppedTime(Path(clock_file)))  # noqa: B010 - the module does not export it
    if plants != "-":
        from tests.adversaries import plants as planted

        for name in plants.split(","):
            planted.PLANTS[name]()
    sys.exit(main(command))


if __name__ == "__main__":
    run(sys.argv[1:])

"""One server process in bad weather: kills, restarts, a stepping clock, compaction, backups and restores."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.support.command import START_SECONDS, RunningServer, environment, running
from tests.support.server.wire import Wire

PROGRAM = ("-m", "tests.adversaries.launch")


class Storm:
    """A server with planted faults and a clock of its own; it survives its kills by starting again.

    ``plants`` are names of ``tests.adversaries.plants``; ``settings`` are ``section.name=value``; ``database`` is a
    PostgreSQL URL, empty for SQLite.
    """

    def __init__(
        self, folder: Path, plants: Sequence[str] = (), settings: Sequence[str] = (), database: str = ""
    ) -> None:
        self.data = folder / "data"
        self._folder = folder
        self._clock = folder / "clock"
        self._plants = ",".join(plants) or "-"
        self._settings = [word for setting in settings for word in ("--set", setting)]
        self._database = ("--database", database) if database else ()
        self._stack = ExitStack()
        self.server: RunningServer

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def wire(self) -> Wire:
        """A new connection as the admin."""
        return Wire(self.server.url, self.server.admin_token)

    def kill(self) -> None:
        """kill -9, and a start on what is left."""
        self.server.process.send_signal(signal.SIGKILL)
        self._stack.close()
        self._start()

    def restart(self) -> None:
        """An orderly stop, and a start."""
        self.server.stop()
        self._stack.close()
        self._start()

    def step_clock(self, offset_seconds: int) -> None:
        """Sets how far the server's clock is from the true one."""
        unfinished = self._clock.with_suffix(".new")
        unfinished.write_text(str(offset_seconds), "ascii")
        unfinished.replace(self._clock)

    def backup(self, name: str) -> None:
        """A backup beside the running server."""
        self._command("backup", self._folder / f"{name}.tar.zst", "--data", self.data, *self._database)

    def restore(self, name: str) -> None:
        """kill -9, a restore in place, and a start."""
        self.server.process.send_signal(signal.SIGKILL)
        self._stack.close()
        self._command("restore", self._folder / f"{name}.tar.zst", "--data", self.data, *self._database, "--force")
        self._start()

    def _start(self) -> None:
        program = (*PROGRAM, str(self._clock), self._plants)
        self.server = self._stack.enter_context(running(self.data, *self._database, *self._settings, program=program))

    def _command(self, *arguments: str | Path) -> None:
        command = [sys.executable, *PROGRAM, self._clock, self._plants, *arguments]
        done = subprocess.run(
            [*map(str, command)], env=environment(), capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr

"""Starts the product and the floor as processes of their own, pinned to one core where there are two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_WAIT_SECONDS = 30.0
SERVER_CORE = 0
CLIENT_CORE = 1


def pin_client() -> None:
    """Keeps this process off the servers' core."""
    if len(os.sched_getaffinity(0)) >= 2:
        os.sched_setaffinity(0, {CLIENT_CORE})


def unpin() -> None:
    """Lets this process and its children run on every core: threads cannot be measured on one core."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


class Served:
    """A server process on loopback; ``pinned`` to one core, unless its threads are measured."""

    def __init__(self, arguments: list[str], port: int, *, pinned: bool = True) -> None:
        self.port = port
        self._process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if pinned and len(os.sched_getaffinity(0)) >= 1 and (os.cpu_count() or 1) >= 2:
            os.sched_setaffinity(self._process.pid, {SERVER_CORE})

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def peak_mib(self) -> float:
        """The peak memory of the process, in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def resident_mib(self) -> float:
        """The present memory of the process, in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_seconds(self) -> float:
        """The processor time that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends the process and waits for its end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def failed(self) -> str | None:
        """The output of a process that ended, or None while it runs."""
        if self._process.poll() is None:
            return None
        return self._process.stderr.read().decode(errors="replace") if self._process.stderr else "ended"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Floor(Served):
    """The bare ASGI app."""

    def __init__(self, *, pinned: bool = True) -> None:
        port = _free_port()
        super().__init__([sys.executable, "-m", "benchmarks.floor_app", str(port)], port, pinned=pinned)
        ends = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < ends:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the floor did not start: {self.failed()}")


class Product(Served):
    """Headwater as a user starts it, in a new folder, with rate limits that a load test does not reach."""

    def __init__(self, *, pinned: bool = True, **settings: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-bench-"))
        ready = self.folder / "ready.json"
        wanted = {
            "limits.rate_token_per_second": 1_000_000,
            "limits.rate_token_burst": 1_000_000,
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        sets = [part for name, value in wanted.items() for part in ("--set", f"{name}={value}")]
        port_and_files = ["--port", "0", "--ready-file", str(ready), "--data", str(self.folder / "state")]
        super().__init__([sys.executable, "-m", "headwater", "serve", *port_and_files, *sets], 0, pinned=pinned)
        ends = time.monotonic() + _WAIT_SECONDS
        while not ready.exists():
            if self.failed() is not None or time.monotonic() > ends:
                raise RuntimeError(f"the server did not start: {self.failed()}")
            time.sleep(0.05)
        self.port = int(json.loads(ready.read_text("utf-8"))["url"].rsplit(":", 1)[1].strip("/"))
        self.token = (self.folder / "state" / "admin.token").read_text("ascii").strip()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request of the admin."""
        return {"authorization": "Bearer " + self.token}

    def stop(self) -> None:
        """Ends the server, and removes its folder."""
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

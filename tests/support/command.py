"""The command line as a person runs it: a process of its own, with its exit code and what it wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOG_BYTES = 1024 * 1024
"""A server's log that no test reads before its end; a server whose log is full waits for its reader."""

START_SECONDS = 60.0
"""How long a start may take before a test fails; no assertion rests on it."""


def environment() -> dict[str, str]:
    """This process's environment without our settings, with our sources on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    return kept | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "NO_COLOR": "1", "COLUMNS": "120"}


def headwater(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "headwater", *map(str, arguments)]
    return subprocess.run(
        command, env=environment(), cwd=folder, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )


class RunningServer:
    """A ``headwater serve`` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str, data: Path) -> None:
        self.process = process
        self.url = url
        self.data = data

    @property
    def admin_token(self) -> str:
        """The first start's token."""
        return (self.data / "admin.token").read_text("ascii").strip()

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = "", headers: Mapping[str, str] = {}
    ) -> Any:
        """The JSON answer of one request; ``token`` None sends none, empty sends the admin's."""
        headers = {"Content-Type": "application/json", **headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.admin_token}"
        content = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data=content, headers=headers, method=method)
        with urllib.request.urlopen(asked, timeout=START_SECONDS) as answer:
            return json.loads(answer.read() or b"null")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal and wait: the exit code, what it wrote, and its log."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=START_SECONDS)
        return self.process.returncode, out, err


@contextmanager
def running(
    data: Path, *arguments: str | Path, program: Sequence[str] = ("-m", "headwater")
) -> Iterator[RunningServer]:
    """A server on a free port, killed at the end of the block if it still runs; ``program`` is what Python runs."""
    ready = data.parent / f"{data.name}.ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, *program, "serve", "--data", data, "--port", "0", "--ready-file", ready]
    process = subprocess.Popen(
        [*map(str, command), *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pipesize=LOG_BYTES,
    )
    try:
        yield RunningServer(process, str(_wait(process, ready)["url"]), data)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _wait(process: subprocess.Popen[str], ready: Path) -> dict[str, Any]:
    until = monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or monotonic() > until:
            process.kill()
            raise AssertionError(f"the server did not start: {process.communicate()}")
        sleep(0.02)
    found: dict[str, Any] = json.loads(ready.read_text("utf-8"))
    return found

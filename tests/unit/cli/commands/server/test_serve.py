"""``headwater serve`` as a person runs it: the first start, the ready file, the end, and what is refused."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.command import RunningServer, environment, headwater, running
from tests.unit.cli.conftest import Command


@pytest.fixture
def served(tmp_path: Path) -> Iterator[RunningServer]:
    with running(tmp_path / "a folder") as server:
        yield server


def test_the_ready_file_names_the_url_that_answers_and_the_process(served: RunningServer) -> None:
    ready = json.loads((served.data.parent / "a folder.ready.json").read_text("utf-8"))
    assert ready == {"url": served.url, "pid": served.process.pid}
    assert served.call("GET", "/healthz", token=None) == {"status": "ok"}


def test_the_start_shows_two_calls_that_work_and_no_token_where_no_terminal_is(served: RunningServer) -> None:
    code, out, err = _calls_printed(served)
    assert code == 0
    assert not re.findall(r"hwt_", out + err)
    assert f"stored in {served.data / 'admin.token'}" in out


def test_the_first_start_shows_the_token_on_a_terminal_once(tmp_path: Path) -> None:
    shown = [_on_a_terminal(tmp_path / "data"), _on_a_terminal(tmp_path / "data")]
    token = (tmp_path / "data/admin.token").read_text("ascii").strip()
    assert [re.findall(r"hwt_\w{60}", text) for text in shown] == [[token], []]
    assert "stored in" in shown[1]


def _on_a_terminal(data: Path) -> str:
    """What a start writes to a terminal, until the server answers."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "headwater", "serve", "--data", str(data), "--port", "0"]
    with subprocess.Popen(command, env=environment(), stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        text = b""
        while b"  curl " not in text:
            text += os.read(terminal, 65_536)
        process.terminate()
        with suppress(OSError):  # a terminal that no process writes to ends with an error
            while piece := os.read(terminal, 65_536):
                text += piece
    os.close(terminal)
    return text.decode()


def _calls_printed(served: RunningServer) -> tuple[int, str, str]:
    """Run what the start printed while the server still answers, then stop it."""
    lines: list[str] = []
    assert served.process.stdout is not None
    while not lines or not lines[-1].startswith(f"  curl {served.url}"):
        lines.append(served.process.stdout.readline())
    create, show = [line.strip() for line in lines if line.startswith("  curl ")]
    made = json.loads(_shell(create))
    assert made["last_name"] == "Lovelace"
    assert [row["contact_id"] for row in json.loads(_shell(show))["data"]] == [made["contact_id"]]
    code, _, err = served.stop()
    return code, "".join(lines), err


def _shell(line: str) -> str:
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_data_folder_and_what_is_in_it_belong_to_their_owner_alone(served: RunningServer) -> None:
    assert stat.S_IMODE(served.data.stat().st_mode) == 0o700
    for path in served.data.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_what_was_written_is_there_after_the_next_start(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running(tmp_path / "data") as first:
        made = first.call("POST", "/api/v1/contacts", {"first_name": "Ada"})
        code, out, err = first.stop(number)
    assert code == 0
    assert "Traceback" not in out + err
    assert not (tmp_path / "data/headwater.sqlite-wal").exists()
    with running(tmp_path / "data") as second:
        found = second.call("GET", f"/api/v1/contacts/{made['contact_id']}")
        assert found == made
        _, out, _ = second.stop()
    assert "hwt_" not in out
    assert "admin.token" in out


def test_a_second_server_on_the_same_folder_is_refused(served: RunningServer) -> None:
    second = headwater("serve", "--data", served.data, "--port", "0")
    assert second.returncode == 1
    assert f"process {served.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert served.call("GET", "/healthz", token=None) == {"status": "ok"}


def test_a_taken_port_is_a_plain_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = headwater("serve", "--data", tmp_path / "data", "--port", str(port))
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["serve", "--port", "nine"], 2, "--port"),
        (["serve", "--port", "70000"], 2, "server.port"),
        (["serve", "--host", "no such host"], 2, "server.host"),
        (["serve", "--host", "host.invalid"], 1, "host.invalid"),
        (["serve", "--set", "limits.body_bytes"], 2, "section.name=value"),
        (["serve", "--set", "limits.body_byte=1"], 2, "limits.body_bytes"),
        (["serve", "--config", "missing.toml"], 2, "missing.toml"),
        (["serve", "--data", "/dev/null/x"], 1, "/dev/null/x"),
        (["serve", "--data", "/proc"], 1, "/proc"),
        (["serve", "--database", "postgresql://a:secret@db/x"], 2, "holds a password"),
        (["serve", "--database", "mysql://db/x"], 2, "database.url"),
        (["sevre"], 2, "serve"),
        (["serve", "--no-such-option"], 2, "--no-such-option"),
        ([], 2, "Usage"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_with_a_message_and_a_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(*arguments)
    assert done.code == code
    assert says in done.err + done.out
    assert "secret@" not in done.err


def test_a_database_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "headwater.sqlite").write_text("this is no database, and long enough to be looked at as one\n" * 40)
    refused = headwater("serve", "--data", tmp_path, "--port", "0")
    assert refused.returncode == 1
    assert "headwater.sqlite" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_version_and_the_help_are_shown() -> None:
    from headwater import __version__

    assert headwater("--version").stdout == f"headwater {__version__}\n"
    assert "serve" in headwater("--help").stdout
    assert "--ready-file" in headwater("serve", "--help").stdout


def test_a_stop_answers_whoever_waits_for_changes(served: RunningServer) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as waiting:
        asked = (
            f"GET /api/v1/feed?wait=60 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {served.admin_token}\r\n\r\n"
        )
        waiting.sendall(asked.encode())
        for _ in range(3):  # what came before these has been taken up when they are answered
            served.call("GET", "/healthz", token=None)
        code, _, _ = served.stop()
        got = b"".join(iter(lambda: waiting.recv(65536), b""))
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b'"changes":[]' in got
    assert code == 0

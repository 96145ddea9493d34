"""The command itself: names, help, completion, and how every kind of failure is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.base.errors import Fatal
from headwater.cli import main as main_module
from headwater.cli.main import COMMANDS
from tests.support.command import environment, headwater
from tests.unit.cli.conftest import Command, Installed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_helped_with_examples_that_name_it(command: Command, name: str) -> None:
    made = COMMANDS[name].load()
    subs = [[name, sub] for sub in getattr(made, "commands", {})] or [[name]]
    for words in subs:
        shown = command(*words, "--help")
        assert shown.code == 0
        assert "Examples:" in shown.out
        assert f"headwater {' '.join(words)}" in shown.out.split("Examples:")[1]


def test_the_help_loads_no_command() -> None:
    code = (
        "import sys; from headwater.cli.main import main; main(['--help']);"
        "sys.exit(str([m for m in sys.modules if m.startswith(('headwater.server', 'headwater.store', 'uvicorn'))]) )"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.strip() == "[]"


def test_a_shell_completes_commands_and_roles() -> None:
    for words, expected in (
        ("headwater tok", "token"),
        ("headwater share co", "conflicts"),
        ("headwater token create --role co", "coordinator"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "headwater"],
            env=environment() | {
                "_HEADWATER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
            },
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert expected in done.stdout.split()


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (Fatal("the disk is gone"), 70, "the disk is gone"),
        (OSError(28, "No space left on device", "/srv/x"), 1, "/srv/x: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "fault of Headwater"),
    ],
)
def test_every_failure_is_a_message_and_a_code(
    command: Command,
    installed: Installed,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    code: int,
    says: str,
) -> None:
    from headwater.cli import installation

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(installation, "opened", fail)
    done = command("org", "list", "--data", installed.folder)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_a_postgresql_that_is_not_there_is_told_apart_from_a_damaged_database(command: Command, tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    done = command("org", "list", "--data", str(tmp_path), "--database", url, "--json")
    assert (done.code, done.problem["code"]) == (1, "DATABASE_OUT_OF_REACH")
    assert "database.url" in done.problem["hint"]
    assert "restore" not in done.problem["hint"]


def test_usage_errors_are_json_when_json_is_asked_for(command: Command) -> None:
    wrong = command("token", "create", "--json")
    assert (wrong.code, wrong.problem["code"]) == (2, "USAGE")
    assert "--org" in wrong.problem["detail"]


def test_a_reader_that_goes_away_is_no_failure_to_speak_of(installed: Installed) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "config", "show", "--data", str(installed.folder)],
            env=environment(), stdout=gone, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


def test_settings_are_shown_with_where_they_came_from(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADWATER_DATABASE_URL", "postgresql://hw:hidden@db/x")
    (tmp_path / "headwater.toml").write_text("[server]\nport = 9001\n")
    shown = command("config", "show", "--data", tmp_path, "--set", "log.level=debug", "--json")
    origins = {row["name"]: (row["value"], row["origin"]) for row in shown.json}
    assert origins["server.port"] == ("9001", f"file {tmp_path / 'headwater.toml'}")
    assert origins["log.level"] == ("debug", "flag --set log.level")
    assert origins["database.url"] == ("***", "environment HEADWATER_DATABASE_URL")
    assert origins["server.host"] == ("127.0.0.1", "default")
    assert "hidden" not in shown.out + command("config", "show", "--data", tmp_path).out


def test_python_dash_m_is_the_same_command() -> None:
    assert headwater("--help").stdout.startswith("Usage: headwater [OPTIONS] COMMAND")
    assert main_module.app is not None

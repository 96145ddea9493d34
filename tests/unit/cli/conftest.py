"""An installation in a folder, and the command line in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from headwater.base.settings.table import DatabaseSettings, Settings
from headwater.cli.main import main
from headwater.installation.connect import open_database
from headwater.installation.first_start import first_start
from headwater.store.database import Database


class Done(NamedTuple):
    """The end of a command: its exit code and its output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def problem(self) -> dict[str, str]:
        """The error that ``--json`` writes to standard error."""
        found: dict[str, str] = json.loads(self.err)["error"]
        return found


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """A command that makes its files private does so for its own process; here that is the process of all tests."""
    mask = os.umask(0o022)
    yield
    os.umask(mask)


Command = Callable[..., Done]


class Installed(NamedTuple):
    """A data folder that had its first start."""

    folder: Path
    settings: Settings
    admin_token: str

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database, opened beside any other process that has it open."""
        opened = open_database(self.settings)
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's own shell reaches a command."""
    for name in list(os.environ):
        if name.startswith("HEADWATER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one command line in this process."""

    def run(*arguments: str | Path) -> Done:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Done(code, out, err)

    return run


def install(folder: Path) -> Installed:
    """Make the first start in a folder, as a server would."""
    database = DatabaseSettings(data_folder=str(folder), reserve_file_bytes=0, read_threads=1)
    settings = msgspec.structs.replace(Settings(), database=database)
    opened = open_database(settings)
    token = first_start(opened, folder)
    opened.close()
    assert token is not None
    return Installed(folder, settings, token)


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return install(tmp_path / "installed")


class Shares:
    """The command line on one installation."""

    def __init__(self, command: Command, installed: Installed) -> None:
        self._command = command
        self.installed = installed

    def __call__(self, *arguments: Any) -> Done:
        """Run ``headwater share ...``."""
        return self._command("share", *arguments, "--data", self.installed.folder)

    def create(self, *options: str, name: str = "Team documents") -> dict[str, Any]:
        """A new share of the organisation ``default``."""
        made: dict[str, Any] = self("create", name, "--org", "default", *options, "--json").json
        return made

    def members(self, share: str) -> list[tuple[str, str, str]]:
        """The members of a share, in the order of their names."""
        found = self("show", share, "--json").json["members"]
        return sorted((each["kind"], each["id"], each["access"]) for each in found)

    def user(self, org: str = "default") -> str:
        """The id of a new user."""
        made = self._command(
            "token", "create", "--org", org, "--role", "coordinator", "--scope", "files", "--json",
            "--data", self.installed.folder,
        )  # fmt: skip
        user_id: str = made.json["user_id"]
        return user_id

    def run(self, *arguments: Any) -> Done:
        """Run another command."""
        return self._command(*arguments, "--data", self.installed.folder)


@pytest.fixture
def share(command: Command, installed: Installed) -> Shares:
    return Shares(command, installed)

"""The lines of a start: what is public, where the token is, and two calls that work as printed."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from headwater.base.settings.table import AccessSettings, DatabaseSettings, ServerSettings, Settings
from headwater.cli.commands.server.serve import _write_ready, greeting

URL = "http://127.0.0.1:8484"


def lines(settings: Settings, folder: Path, token: str | None = None) -> dict[str, str]:
    """The labelled lines, by label."""
    found = greeting(settings, URL, folder, token)
    return {line[2:16].strip(): line[16:] for line in found if line.startswith("  ") and "curl" not in line}


def test_the_token_is_shown_once_and_later_only_its_file(tmp_path: Path) -> None:
    first = greeting(Settings(), URL, tmp_path, "hwt_secret")
    assert sum("hwt_secret" in line for line in first) == 1
    assert not any("admin token" in line for line in greeting(Settings(), URL, tmp_path, None))
    (tmp_path / "admin.token").write_text("hwt_secret\n")
    later = greeting(Settings(), URL, tmp_path, None)
    assert not any("hwt_secret" in line for line in later)
    assert any(f"stored in {tmp_path / 'admin.token'}" in line for line in later)


@pytest.mark.parametrize("name", ["plain", "a folder", "it's $HOME; rm -rf *"])
def test_the_calls_read_the_token_from_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    call = next(line for line in greeting(Settings(), URL, folder, None) if line.startswith("  curl -H"))
    inside = call.partition("$(")[2].partition(')" http')[0]
    assert shlex.split(inside) == ["cat", str(folder / "admin.token")]


@pytest.mark.parametrize(
    ("settings", "public", "provisioning", "open_call"),
    [
        (Settings(), "answer people of this machine without a token", "open;", True),
        (Settings(access=AccessSettings(public_access="off")), "nothing;", "open;", False),
        (Settings(server=ServerSettings(host="0.0.0.0")), "nothing;", "closed;", False),
        (Settings(server=ServerSettings(public_url="https://a.example")), "names a proxy", "open;", False),
        (Settings(server=ServerSettings(trusted_proxies=("127.0.0.1",))), "names a proxy", "open;", False),
        (
            Settings(server=ServerSettings(host="0.0.0.0"), access=AccessSettings(public_access="on")),
            "access.public_access is on", "closed;", True,
        ),
        (Settings(access=AccessSettings(provisioning="closed")), "people of this machine", "closed;", True),
    ],
)  # fmt: skip
def test_what_is_public_is_said_with_the_reason_and_the_second_call_fits_it(
    tmp_path: Path, settings: Settings, public: str, provisioning: str, open_call: bool
) -> None:
    found = lines(settings, tmp_path)
    assert public in found["public"]
    assert found["provisioning"].startswith(provisioning)
    last = greeting(settings, URL, tmp_path, None)[-1]
    assert ("Authorization" in last) is not open_call


def test_the_database_is_named_without_its_url(tmp_path: Path) -> None:
    own = Settings(database=DatabaseSettings(url="postgresql://user@db.example/x"))
    assert lines(own, tmp_path)["data folder"].endswith("(database: PostgreSQL)")
    assert lines(Settings(), tmp_path)["data folder"].endswith("(database: SQLite)")
    assert not any("db.example" in line for line in greeting(own, URL, tmp_path, None))


def test_a_ready_file_replaces_an_older_one_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("older " * 100)
    _write_ready(path, URL)
    assert json.loads(path.read_text()) == {"url": URL, "pid": os.getpid()}
    assert [each.name for each in tmp_path.iterdir()] == ["ready.json"]

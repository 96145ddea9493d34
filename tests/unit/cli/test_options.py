"""The options that every command shares: what they set, in which order, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from headwater.base.errors import Invalid, NotFound
from headwater.base.settings.load import SettingsInvalid
from headwater.cli import options
from tests.unit.cli.conftest import Command, Installed


def test_a_set_is_cut_at_its_first_equals_sign_and_its_name_is_trimmed() -> None:
    given = options.flags(None, None, [" files.pack_store =s3://b/x?a=b", "server.public_url="])
    assert given == {"files.pack_store": "s3://b/x?a=b", "server.public_url": ""}


def test_the_last_of_two_sets_of_one_name_counts() -> None:
    assert options.flags(None, None, ["log.level=info", "log.level=debug"]) == {"log.level": "debug"}


@pytest.mark.parametrize("text", ["", "log.level", "log.level:debug"])
def test_a_set_without_an_equals_sign_is_refused(text: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"section\.name=value"):
        options.flags(None, None, [text])


def test_an_option_of_its_own_wins_over_a_set_and_none_leaves_the_default() -> None:
    given = options.flags(Path("/x"), None, ["database.data_folder=/y"], {"server.port": 0, "server.host": None})
    assert given == {"database.data_folder": "/x", "server.port": "0"}


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "headwater.toml").write_text("[server]\nport = 1001\nhost = '127.0.0.3'\n[log]\nlevel = 'error'\n")
    monkeypatch.setenv("HEADWATER_SERVER_PORT", "1002")
    monkeypatch.setenv("HEADWATER_SERVER_HOST", "127.0.0.2")
    settings = options.load(tmp_path, None, None, ["server.port=1003"])
    assert (settings.server.port, settings.server.host, settings.log.level) == (1003, "127.0.0.2", "error")


def test_a_settings_file_that_is_named_replaces_the_one_in_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text("[server]\nport = 1001\n")
    (tmp_path / "other.toml").write_text("[log]\nlevel = 'error'\n")
    settings = options.load(tmp_path, None, tmp_path / "other.toml")
    assert (settings.server.port, settings.log.level) == (8484, "error")


@pytest.mark.parametrize(
    "text", ["[server]\nport = 'nine'\n", "[server]\nport = 70000\n", "[serve]\n", "not toml", "x = 1\n"]
)
def test_a_settings_file_that_is_wrong_ends_every_command_with_exit_code_2(
    command: Command, installed: Installed, text: str
) -> None:
    (installed.folder / "headwater.toml").write_text(text)
    for words in (["org", "list"], ["doctor"], ["gc"], ["backup", "b.tar"], ["config", "show"]):
        done = command(*words, "--data", installed.folder, "--json")
        assert (done.code, done.out, done.problem["code"]) == (2, "", "SETTINGS_INVALID")
        assert "headwater.toml" in done.problem["detail"]


def test_a_refused_value_of_the_command_line_is_wrong_usage_and_other_failures_stay_what_they_are() -> None:
    with pytest.raises(typer.BadParameter, match="too long"), options.as_typed():
        raise Invalid("too long")
    with pytest.raises(NotFound), options.as_typed():
        raise NotFound("none")


def test_files_of_a_private_command_are_closed_to_others(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        options.keep_files_private()
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "folder")] == [0o600, 0o700]


def test_examples_stay_on_lines_of_their_own() -> None:
    assert options.examples("headwater a", "headwater b") == "\b\nExamples:\n  headwater a\n  headwater b"

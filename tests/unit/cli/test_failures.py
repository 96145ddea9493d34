"""Failures of every command: an exit code, one line of JSON where that is asked for, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from headwater.base.errors import (
    Damaged,
    Fatal,
    HeadwaterError,
    NotFound,
    QuotaExceeded,
    StateConflict,
    Unavailable,
    VersionStale,
)
from headwater.base.settings.load import SettingsInvalid
from headwater.cli import main as main_module
from headwater.cli.main import COMMANDS, exit_code_of
from headwater.installation.connect import NotInstalled
from headwater.store.migrate import steps
from tests.support.command import environment
from tests.unit.cli.conftest import Command, Installed

NOT_UTF8 = os.fsdecode(b"\xff")

ON_DATA = [
    ["token", "list"],
    ["token", "create", "--org", "default", "--role", "coordinator", "--scope", "sync"],
    ["token", "revoke", "tok_x"],
    ["org", "list"],
    ["org", "create", "x"],
    ["chapter", "list", "--org", "default"],
    ["chapter", "create", "Oslo", "--org", "default"],
    ["chapter", "rename", "osl", "Oslo", "--org", "default"],
    ["chapter", "users", "osl", "--org", "default"],
    ["chapter", "add-user", "osl", "usr_x", "--org", "default"],
    ["chapter", "remove-user", "osl", "usr_x", "--org", "default"],
    ["device", "list"],
    ["device", "deactivate", "dev_x"],
    ["share", "list"],
    ["share", "create", "x", "--org", "default"],
    ["share", "show", "shr_x"],
    ["share", "grant", "shr_x", "role:coordinator", "read"],
    ["share", "revoke", "shr_x", "role:coordinator"],
    ["share", "quota", "shr_x", "1GiB"],
    ["share", "delete", "shr_x", "--yes"],
    ["share", "conflicts", "shr_x"],
    ["share", "empty-trash", "shr_x", "--yes"],
    ["share", "prune-versions", "shr_x", "--keep-last", "1", "--yes"],
    ["share", "put", ".", "shr_x"],
    ["share", "get", "shr_x", "out"],
    ["backup", "b.tar"],
    ["verify"],
    ["gc"],
    ["terminology", "source", "default"],
    ["import", "contacts", "c.csv", "--org", "default"],
    ["export", "contacts", "out.csv"],
]
"""Every command that opens an installation, with arguments that are well formed."""

ABSENT = [words for words in ON_DATA if any(word.endswith("_x") or word == "osl" for word in words)]
"""Those of them that name something that a new installation does not have."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the commands, with a contacts file in it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "c.csv").write_text("first_name\nAda\n")
    return work


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_list_of_these_tests_names_every_command_on_data() -> None:
    apart = {"serve", "restore", "doctor", "openapi", "config"}
    assert {words[0] for words in ON_DATA} == set(COMMANDS) - apart
    for name in COMMANDS:
        subs: Any = getattr(COMMANDS[name].load(), "commands", {})
        if name not in apart:
            assert {words[1] for words in ON_DATA if words[0] == name and subs} == set(subs), name


@pytest.mark.parametrize("words", ON_DATA, ids=" ".join)
def test_a_command_on_a_folder_without_data_says_so_in_one_json_object_and_makes_nothing(
    command: Command, folder: Path, words: list[str]
) -> None:
    done = command(*words, "--data", folder / "none", "--json")
    assert (done.code, done.out, done.problem["code"]) == (1, "", "NOT_INSTALLED")
    assert done.err.count("\n") == 1
    assert set(done.problem) == {"code", "detail", "hint"}
    assert listed(folder) == ["c.csv"]


@pytest.mark.parametrize("words", ON_DATA, ids=" ".join)
def test_a_command_on_a_damaged_database_says_so_and_leaves_the_file_as_it_is(
    command: Command, installed: Installed, folder: Path, words: list[str]
) -> None:
    database = installed.folder / "headwater.sqlite"
    damaged = b"nothing that SQLite knows" * 1000
    database.write_bytes(damaged)
    done = command(*words, "--data", installed.folder, "--json")
    assert (done.code, done.out, done.problem["code"]) == (1, "", "DATABASE_UNUSABLE")
    assert database.read_bytes() == damaged
    assert listed(folder) == ["c.csv"]


@pytest.mark.parametrize("words", ABSENT, ids=" ".join)
def test_a_command_on_something_that_does_not_exist_names_it(
    command: Command, installed: Installed, words: list[str]
) -> None:
    done = command(*words, "--data", installed.folder, "--json")
    assert (done.code, done.out, done.problem["code"]) == (1, "", "NOT_FOUND")
    named = [word for word in words if word.endswith("_x") or word == "osl"]
    assert any(word in done.problem["detail"] for word in named)


@pytest.mark.parametrize("words", ON_DATA, ids=" ".join)
def test_a_wrong_option_is_wrong_usage_and_touches_nothing(
    command: Command, installed: Installed, folder: Path, words: list[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in installed.folder.iterdir()}
    done = command(*words, "--no-such-option", "--data", installed.folder, "--json")
    assert (done.code, done.out, done.problem["code"]) == (2, "", "USAGE")
    assert "--no-such-option" in done.problem["detail"]
    assert {path: path.stat().st_mtime_ns for path in installed.folder.iterdir()} == before
    assert listed(folder) == ["c.csv"]


@pytest.mark.parametrize(
    "words", [["token", "create"], ["share", "grant", "shr_x"], ["backup"], ["import", "contacts"]]
)
def test_a_missing_argument_is_wrong_usage_with_and_without_json(command: Command, words: list[str]) -> None:
    shown = command(*words)
    assert (shown.code, shown.out, "Usage: headwater " + words[0] in shown.err) == (2, "", True)
    assert command(*words, "--json").problem["code"] == "USAGE"


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["import", "contacts", "x.csv", "--org", "default", "--dates", "ymd"], ["dmy", "mdy"]),
        (["share", "grant", "shr_1", "user:x", "all"], ["read", "write", "manage"]),
        (
            ["token", "create", "--org", "default", "--scope", "sync", "--role", "boss"],
            ["peer_mentor", "coordinator", "org_admin"],
        ),
        (
            ["token", "create", "--org", "default", "--scope", "syn", "--role", "org_admin"],
            ["sync", "contacts", "cache", "files"],
        ),
        (["share", "prune-versions", "shr_1", "--yes"], ["--keep-last", "--keep-younger"]),
        (["share", "prune-versions", "shr_1", "--keep-last", "0"], ["must be at least 1"]),
        (["share", "prune-versions", "shr_1", "--keep-last", "many"], ["must be a whole number"]),
    ],
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_wrong_choice_lists_the_choices_and_speaks_of_no_parser(
    command: Command, words: list[str], choices: list[str], more: list[str]
) -> None:
    refused = command(*words, *more)
    assert refused.code == 2
    assert all(choice in refused.err for choice in choices)
    assert not [words for words in ("Value error", "Input should", "parse", "keep_last") if words in refused.err]


def test_an_older_schema_is_reported_to_each_reader_and_writer(command: Command, installed: Installed) -> None:
    newest = steps()[-1][0]
    connection = apsw.Connection(str(installed.folder / "headwater.sqlite"))
    connection.execute("DELETE FROM schema_steps WHERE name = ?", (newest,))
    connection.close()
    for words in (["org", "list"], ["backup", "b.tar"], ["verify"], ["gc"], ["org", "create", "x"]):
        done = command(*words, "--data", installed.folder, "--json")
        assert (done.code, done.problem["code"]) == (1, "SCHEMA_OUTDATED")
        assert newest in done.problem["detail"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Fatal("the disk failed"), 70),
        (SettingsInvalid("wrong"), 2),
        (NotFound("none"), 1),
        (NotInstalled("nothing"), 1),
        (HeadwaterError("failed"), 1),
    ],
)
def test_the_exit_code_names_the_kind_of_failure(failure: HeadwaterError, code: int) -> None:
    assert exit_code_of(failure) == code


@pytest.mark.parametrize(
    ("failure", "hinted"),
    [
        (NotFound("none"), False),
        (StateConflict("twice"), False),
        (VersionStale("old"), False),
        (Damaged("bytes"), False),
        (Fatal("the disk failed"), True),
        (QuotaExceeded("full"), True),
        (Unavailable("later"), True),
        (NotInstalled("nothing"), True),
    ],
)
def test_a_hint_about_requests_is_not_given_to_a_person_at_a_command_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, failure: HeadwaterError, hinted: bool
) -> None:
    from headwater.cli import installation

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(installation, "opened", fail)
    found = command("org", "list", "--json").problem
    assert (found["detail"], found["hint"]) == (failure.detail, failure.hint if hinted else "")
    assert failure.hint != ""


def test_a_bug_names_the_line_of_the_program_and_not_of_a_library(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.cli import options

    monkeypatch.setattr(options, "load_settings", lambda *_, **__: json.loads("{"))
    done = command("org", "list", "--json")
    assert (done.code, done.problem["code"]) == (1, "INTERNAL")
    assert "JSONDecodeError" in done.problem["detail"]
    assert " at headwater.cli.options:" in done.problem["detail"]
    assert "report it" in done.problem["hint"]


def test_a_system_error_without_a_file_is_its_reason_alone(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.cli import options

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(options, "load_settings", fail)
    done = command("org", "list", "--json")
    assert (done.code, done.problem) == (1, {"code": "SYSTEM", "detail": "No space left on device", "hint": ""})
    monkeypatch.setattr(options, "load_settings", lambda *_, **__: (_ for _ in ()).throw(TimeoutError()))
    assert command("org", "list").err == "headwater: TimeoutError\n"


def test_an_interrupt_is_json_with_json_and_has_exit_code_130(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.cli import options

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(options, "load_settings", interrupt)
    done = command("org", "list", "--json")
    assert (done.code, done.problem["code"]) == (130, "INTERRUPTED")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        ["org", "create", NOT_UTF8],
        ["org", "create", "x", f"--name={NOT_UTF8}"],
        ["share", "create", NOT_UTF8, "--org", "default"],
        ["token", "create", "--org", "default", "--role", "coordinator", "--scope", "sync", "--label", NOT_UTF8],
        ["token", "revoke", NOT_UTF8],
        ["terminology", "source", "default", "--file", NOT_UTF8],
    ],
    ids=lambda words: ascii(" ".join(words)),
)
def test_a_text_that_is_no_utf8_is_wrong_usage_and_changes_nothing(
    command: Command, installed: Installed, words: list[str], *, as_json: bool
) -> None:
    before = [command(name, "list", "--data", installed.folder, "--json").json for name in ("org", "token", "share")]
    done = command(*words, "--data", installed.folder, *(["--json"] if as_json else []))
    assert (done.code, done.out) == (2, "")
    assert "is not valid UTF-8" in (done.problem["detail"] if as_json else done.err)
    assert [command(name, "list", "--data", installed.folder, "--json").json for name in ("org", "token", "share")] == (
        before
    )


@pytest.mark.parametrize("as_json", [True, False])
def test_a_file_may_have_a_name_that_is_no_utf8(
    command: Command, installed: Installed, folder: Path, *, as_json: bool
) -> None:
    more = ["--json"] if as_json else []
    backup, contacts = folder / f"{NOT_UTF8}.tar", folder / f"{NOT_UTF8}.csv"
    for words in (
        ["backup", backup, "--data", installed.folder],
        ["verify", "--backup", backup],
        ["restore", backup, "--data", folder / "new"],
        ["export", "contacts", contacts, "--data", installed.folder],
        ["import", "contacts", contacts, "--org", "default", "--data", installed.folder],
    ):
        done = command(*words, *more)
        assert (done.code, NOT_UTF8 in done.out) == (0, False), words
    missing = command("restore", folder / f"{NOT_UTF8}2.tar", "--data", folder / "other", *more)
    assert (missing.code, missing.out, "?2.tar: No such file" in missing.err) == (1, "", True)


def test_a_data_folder_must_have_a_name_that_the_database_can_open(
    command: Command, installed: Installed, folder: Path
) -> None:
    moved = folder / NOT_UTF8
    installed.folder.rename(moved)
    done = command("org", "list", "--data", moved, "--json")
    assert (done.code, "is not valid UTF-8" in done.problem["detail"]) == (2, True)


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["org", "list", "--data", "none"], 1), (["x"], 2)])
def test_the_process_ends_with_the_exit_code(folder: Path, words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", *words],
        env=environment(), cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_a_closed_pipe_ends_the_process_quietly_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_to_nobody(_: object) -> int:
        raise BrokenPipeError

    turned: list[tuple[int, int]] = []
    monkeypatch.setattr(main_module, "main", write_to_nobody)
    monkeypatch.setattr(os, "dup2", lambda new, old: turned.append((new, old)))
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    with pytest.raises(SystemExit) as ended:
        main_module.run()
    assert ended.value.code == 1
    assert [old for _, old in turned] == [1]


def test_the_help_of_every_command_on_data_names_the_shared_options(command: Command) -> None:
    for words in ON_DATA:
        count = next((place for place, word in enumerate(words) if place and word[0] in "-.x"), 2)
        name = words[:1] if words[0] in ("backup", "verify", "gc") else words[: min(count, 2)]
        shown = command(*name, "--help").out
        assert all(option in shown for option in ("--data", "--database", "--config", "--json")), name

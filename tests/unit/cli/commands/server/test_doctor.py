"""``headwater doctor`` finds each thing that is not well, and changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from headwater.installation import doctor
from headwater.installation.data_folder import locked
from tests.unit.cli.conftest import Command, Installed


def states(command: Command, installed: Installed, *more: str) -> dict[str, str]:
    done = command("doctor", "--data", installed.folder, "--json", *more)
    found = {row["check"]: row["state"] for row in done.json}
    assert done.code == int("bad" in found.values())
    assert all(row["advice"] for row in done.json if row["state"] != "ok" and row["check"] != "exposure")
    return found


def test_a_fresh_installation_is_well(command: Command, installed: Installed) -> None:
    before = {path: path.stat().st_mtime_ns for path in installed.folder.iterdir()}
    found = states(command, installed)
    assert set(found.values()) <= {"ok"} or found["disk"] == "warn"
    assert {"SQLite library", "permissions", "schema", "journal", "durability", "file", "contents"} <= found.keys()
    assert {path: path.stat().st_mtime_ns for path in installed.folder.iterdir()} == before


def test_a_folder_that_is_not_there_is_bad(command: Command, tmp_path: Path) -> None:
    done = command("doctor", "--data", tmp_path / "none", "--json")
    assert (done.code, done.json[-1]["check"], done.json[-1]["state"]) == (1, "data folder", "bad")
    assert not (tmp_path / "none").exists()


def _open_folder(folder: Path) -> None:
    folder.chmod(0o755)


def _open_token(folder: Path) -> None:
    (folder / "admin.token").chmod(0o644)


def _leftover(folder: Path) -> None:
    (folder / "restoring").mkdir()


def _no_database(folder: Path) -> None:
    (folder / "headwater.sqlite").unlink()


def _broken_database(folder: Path) -> None:
    (folder / "headwater.sqlite").write_bytes(b"nothing that SQLite knows" * 1000)


def _run(folder: Path, sql: str) -> None:
    connection = apsw.Connection(str(folder / "headwater.sqlite"))
    connection.execute(sql)
    connection.close()


def _wrong_counter(folder: Path) -> None:
    _run(folder, "INSERT INTO counters (feed, name, value) VALUES (1, 'live:note', 3)")


def _no_admin(folder: Path) -> None:
    _run(folder, "UPDATE tokens SET revoked_us = 1")


def _future(folder: Path) -> None:
    _run(
        folder,
        "INSERT INTO changes (feed, position, kind, id, number, deleted, at_us, wire)"
        " VALUES (1, 1, 'x', 'x', 0, 0, 99999999999999999, '')",
    )


@pytest.mark.parametrize(
    ("spoil", "check", "state"),
    [
        (_open_folder, "permissions", "bad"),
        (_open_token, "permissions", "bad"),
        (_leftover, "leftovers", "warn"),
        (_no_database, "database", "bad"),
        (_broken_database, "database", "bad"),
        (_wrong_counter, "contents", "bad"),
        (_no_admin, "tokens", "warn"),
        (_future, "clock", "warn"),
    ],
)
def test_each_thing_that_is_not_well_is_found(
    command: Command, installed: Installed, spoil: Callable[[Path], None], check: str, state: str
) -> None:
    spoil(installed.folder)
    assert states(command, installed)[check] == state


def test_the_advice_for_a_damaged_database_is_not_to_ask_again(command: Command, installed: Installed) -> None:
    (installed.folder / "headwater.sqlite").write_bytes(b"nothing that SQLite knows" * 1000)
    told = command("doctor", "--data", installed.folder).out
    assert ("headwater restore" in told, "headwater doctor" in told) == (True, False)


def test_settings_that_give_up_a_promise_are_found(command: Command, installed: Installed) -> None:
    found = states(command, installed, "--set", "database.synchronous=normal", "--set", "server.host=0.0.0.0")
    assert (found["durability"], found["exposure"]) == ("warn", "warn")


def test_a_full_disk_is_found(command: Command, installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((2**29, "warn"), (2**20, "bad")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, free=free: shutil._ntuple_diskusage(2**40, 0, free))
        assert states(command, installed)["disk"] == state


def test_a_clock_of_the_past_is_found(command: Command, installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "now_us", lambda: 0)
    assert states(command, installed)["clock"] == "bad"


def test_a_server_that_runs_is_named(command: Command, installed: Installed) -> None:
    with locked(installed.folder):
        assert "already runs" in command("doctor", "--data", installed.folder).out


def test_the_openapi_document_is_printed(command: Command, tmp_path: Path) -> None:
    done = command("openapi", "--data", tmp_path)
    assert (done.json["openapi"], "/api/v1/contacts" in done.json["paths"]) == ("3.1.0", True)
    assert list(tmp_path.iterdir()) == []

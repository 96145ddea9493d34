"""Each check of the doctor in each of its states, and the warnings of a start."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import apsw
import msgspec
import pytest

from headwater.base.clock import now_us
from headwater.base.settings.field import MIB
from headwater.base.settings.table import AccessSettings, DatabaseSettings, ServerSettings, Settings
from headwater.installation import connect, doctor
from headwater.installation.data_folder import LOCK_FILE, locked
from headwater.installation.doctor import Check, examine, warnings_of
from headwater.installation.first_start import first_start
from tests.support.store.postgres import postgres_server
from tests.unit.cli.conftest import Installed


def found(settings: Settings) -> dict[str, list[Check]]:
    """The checks by name; whatever is not ok and has an answer says what to do."""
    checks: dict[str, list[Check]] = {}
    for check in examine(settings):
        checks.setdefault(check.name, []).append(check)
        assert bool(check.advice) is (check.state != "ok" and check.name != "exposure")
    return checks


def states(settings: Settings, name: str) -> list[str]:
    return [check.state for check in found(settings).get(name, [])]


def run(folder: Path, *statements: str) -> None:
    connection = apsw.Connection(str(folder / "headwater.sqlite"))
    for sql in statements:
        connection.execute(sql)
    connection.close()


def test_a_fresh_installation_has_no_fault(installed: Installed) -> None:
    checks = found(installed.settings)
    assert {check.state for name, each in checks.items() if name != "disk" for check in each} == {"ok"}
    assert set(checks) >= {
        "SQLite library", "open files", "clock", "exposure", "permissions", "schema", "journal", "durability",
        "file", "contents",
    }  # fmt: skip


@pytest.mark.parametrize(("version", "state"), [("3.51.2", "bad"), ("3.51.3", "ok"), ("3.60.0", "ok"), ("4.0.0", "ok")])
def test_an_sqlite_that_can_corrupt_its_wal_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, state: str
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    check = next(examine(Settings(database=DatabaseSettings(data_folder=str(tmp_path)))))
    assert (check.name, check.state, check.detail) == ("SQLite library", state, version)


@pytest.mark.parametrize(
    ("hard", "state", "detail"),
    [(4095, "warn", "at most 4095"), (4096, "ok", "at most 4096"), (0, "warn", "at most 0"), (-1, "ok", "no limit")],
)
def test_few_open_files_are_a_warning(
    installed: Installed, monkeypatch: pytest.MonkeyPatch, hard: int, state: str, detail: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1, hard))
    (check,) = found(installed.settings)["open files"]
    assert (check.state, check.detail) == (state, detail)


def test_a_folder_that_does_not_exist_ends_the_checks_with_the_way_to_make_one(tmp_path: Path) -> None:
    last = list(examine(Settings(database=DatabaseSettings(data_folder=str(tmp_path / "none")))))[-1]
    assert (last.name, last.state, "headwater serve" in last.advice) == ("data folder", "bad", True)


@pytest.mark.parametrize("name", ["admin.token", "headwater.toml"])
def test_a_secret_that_others_may_read_is_bad_in_a_closed_folder_too(installed: Installed, name: str) -> None:
    (installed.folder / name).touch()
    (installed.folder / name).chmod(0o640)
    (check,) = found(installed.settings)["permissions"]
    assert (check.state, check.detail) == ("bad", f"other users may read {name}")
    assert check.advice == f"chmod -R go-rwx {installed.folder}"


def test_an_open_folder_names_each_file_of_data_that_is_open_too(installed: Installed) -> None:
    (installed.folder / "packs").mkdir(mode=0o755)
    (installed.folder / "headwater.sqlite").chmod(0o644)
    (installed.folder / "unrelated").touch()
    closed = found(installed.settings)["permissions"][0].detail
    installed.folder.chmod(0o755)
    opened = found(installed.settings)["permissions"][0].detail
    assert closed == "the data folder belongs to its owner alone"
    assert opened == f"other users may read {installed.folder.name}, headwater.sqlite, packs"


def test_a_file_of_another_user_is_a_warning(installed: Installed) -> None:
    token = installed.folder / "admin.token"
    if os.geteuid() == 0:
        os.chown(token, 61234, -1)
    else:
        token.unlink()
        token.symlink_to("/etc/passwd")  # a file of root
    (check,) = found(installed.settings)["owner"]
    assert (check.state, "admin.token belong to another user" in check.detail) == ("warn", True)


def test_a_folder_without_the_right_to_write_is_bad(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, wanted: (path, wanted) != (installed.folder, os.W_OK))
    assert states(installed.settings, "owner") == ["bad"]


@pytest.mark.parametrize("names", [["backup-17"], ["restoring"], ["backup-2", "backup-1", "restoring"]])
def test_what_a_killed_backup_or_restore_left_is_a_warning_with_its_names(
    installed: Installed, names: list[str]
) -> None:
    for name in names:
        (installed.folder / name).mkdir()
    (check,) = found(installed.settings)["leftovers"]
    assert (check.state, check.detail) == ("warn", f"{', '.join(sorted(names))} was left behind")


def test_a_reserve_that_no_longer_fits_is_bad(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    large = msgspec.structs.replace(installed.settings.database, reserve_file_bytes=10 * MIB)
    settings = msgspec.structs.replace(installed.settings, database=large)
    for free, state in ((10 * MIB - 1, "bad"), (10 * MIB, "warn"), (2**30 - 1, "warn"), (2**30, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, free=free: shutil._ntuple_diskusage(2**40, 0, free))
        (check,) = [check for check in doctor._space(installed.folder, settings) if check.name == "disk"]
        assert (check.state, check.detail) == (state, f"{free // MIB} MiB free")


def test_a_reserve_that_was_given_up_is_bad_until_it_is_back(installed: Installed) -> None:
    assert states(installed.settings, "reserve") == []
    marker = installed.folder / "headwater.full"
    marker.write_text("67108864\n", "ascii")
    assert states(installed.settings, "reserve") == ["bad"]
    assert marker.exists(), "the check changes nothing"
    marker.unlink()
    assert states(installed.settings, "reserve") == []


def test_a_wal_of_more_than_four_times_its_limit_is_a_warning(installed: Installed) -> None:
    limit = installed.settings.database.wal_limit_bytes
    wal = installed.folder / "headwater.sqlite-wal"
    for size_bytes, states_ in ((4 * limit, []), (4 * limit + 1, ["warn"])):
        wal.touch()
        os.truncate(wal, size_bytes)
        checks = doctor._space(installed.folder, installed.settings)
        assert [check.state for check in checks if check.name == "WAL"] == states_


def test_a_server_is_named_only_where_one_ever_ran(installed: Installed) -> None:
    assert "server" not in found(installed.settings)
    with locked(installed.folder):
        assert f"process {os.getpid()}" in found(installed.settings)["server"][0].detail
    assert (installed.folder / LOCK_FILE).exists()
    assert found(installed.settings)["server"][0].detail == "none runs on this folder"


def test_a_first_start_that_did_not_end_is_bad_and_says_what_to_run(tmp_path: Path) -> None:
    settings = Settings(database=DatabaseSettings(data_folder=str(tmp_path), reserve_file_bytes=0, read_threads=1))
    connect.open_database(settings).close()
    (check,) = found(settings)["database"]
    assert (check.state, "did not end" in check.detail, "headwater serve" in check.advice) == ("bad", True, True)


def test_a_damaged_page_is_found_and_the_advice_is_to_restore(installed: Installed) -> None:
    run(
        installed.folder,
        "PRAGMA writable_schema = ON",
        "CREATE TABLE broken (a)",
        "INSERT INTO broken VALUES (NULL)",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE broken (a NOT NULL)' WHERE name = 'broken'",
    )
    (check,) = found(installed.settings)["file"]
    assert (check.state, "NULL value in broken.a" in check.detail) == ("bad", True)
    assert check.advice == "stop the server and restore a backup"


@pytest.mark.parametrize(("synchronous", "state"), [("full", "ok"), ("normal", "warn")])
def test_less_than_a_sync_for_each_commit_is_a_warning(installed: Installed, synchronous: str, state: str) -> None:
    own = msgspec.structs.replace(installed.settings.database, synchronous=synchronous)
    assert states(msgspec.structs.replace(installed.settings, database=own), "durability") == [state]


def test_of_many_faults_of_the_contents_five_are_shown(installed: Installed) -> None:
    run(
        installed.folder,
        *(f"INSERT INTO counters (feed, name, value) VALUES (1, 'live:kind{number}', 3)" for number in range(7)),
    )
    checks = found(installed.settings)["contents"]
    assert [check.state for check in checks] == ["bad"] * 5
    assert all("headwater verify" in check.advice for check in checks)


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("UPDATE tokens SET revoked_us = 1", True),
        ("UPDATE tokens SET expires_us = 1", True),
        ("UPDATE tokens SET expires_us = 9000000000000000", False),
        ("UPDATE users SET role = 'org_admin'", True),
    ],
)
def test_an_installation_without_a_good_token_of_a_global_admin_is_a_warning(
    installed: Installed, sql: str, shown: bool
) -> None:
    run(installed.folder, sql)
    assert states(installed.settings, "tokens") == (["warn"] if shown else [])


@pytest.mark.parametrize(("ahead_seconds", "shown"), [(-10, False), (30, False), (120, True)])
def test_a_change_of_the_future_is_a_warning_beyond_a_minute(
    installed: Installed, ahead_seconds: int, shown: bool
) -> None:
    at_us = now_us() + ahead_seconds * 1_000_000
    run(
        installed.folder,
        "INSERT INTO changes (feed, position, kind, id, number, deleted, at_us, wire)"
        f" VALUES (1, 1, 'x', 'x', 0, 0, {at_us}, '')",
    )
    assert states(installed.settings, "clock") == (["ok", "warn"] if shown else ["ok"])


def exposed(
    host: str,
    *,
    public_access: Literal["loopback", "on", "off"] = "loopback",
    url: str | None = None,
    proxies: tuple[str, ...] = (),
) -> Settings:
    return Settings(
        server=ServerSettings(host=host, public_url=url, trusted_proxies=proxies),
        access=AccessSettings(public_access=public_access),
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (exposed("127.0.0.1"), []),
        (exposed("127.0.0.1", public_access="on"), []),
        (exposed("127.0.0.1", public_access="on", url="https://hw.example"), ["access.public_access=on"]),
        (exposed("127.0.0.1", public_access="on", proxies=("127.0.0.1",)), ["access.public_access=on"]),
        (exposed("127.0.0.1", url="https://hw.example"), []),
        (exposed("::1"), []),
        (exposed("0.0.0.0"), ["without TLS"]),
        (exposed("0.0.0.0", url="https://hw.example"), []),
        (exposed("0.0.0.0", proxies=("10.0.0.1",)), []),
        (exposed("0.0.0.0", public_access="on"), ["without TLS", "access.public_access=on"]),
        (exposed("0.0.0.0", public_access="on", url="https://hw.example"), ["access.public_access=on"]),
    ],
)
def test_a_server_is_warned_about_what_other_machines_reach(settings: Settings, words: list[str]) -> None:
    warnings = warnings_of(settings)
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))
    checks = [check for check in examine(settings) if check.name == "exposure"]
    assert [check.state for check in checks] == (["warn"] * len(words) or ["ok"])


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Settings]:
    """An installation on a PostgreSQL database of its own, named ``headwater_doctor``."""
    server = postgres_server()
    server.run("CREATE DATABASE headwater_doctor")
    own = DatabaseSettings(data_folder=str(tmp_path / "data"), url=server.url("headwater_doctor"))
    settings = Settings(database=own)
    try:
        opened = connect.open_database(settings)
        first_start(opened, tmp_path / "data")
        opened.close()
        yield settings
    finally:
        server.run("DROP DATABASE headwater_doctor WITH (FORCE)")


@pytest.mark.postgres
@pytest.mark.parametrize(("value", "shown"), [("on", "on"), ("local", "local"), ("off", "on")])
def test_a_postgresql_that_would_not_wait_for_its_disk_is_made_to_and_the_rest_is_judged_by_its_value(
    on_postgres: Settings, value: str, shown: str
) -> None:
    postgres_server().run(f"ALTER DATABASE headwater_doctor SET synchronous_commit = {value}")
    checks = found(on_postgres)
    assert [(check.state, check.detail) for check in checks["synchronous_commit"]] == [("ok", shown)]
    for name in ("fsync", "full_page_writes"):
        (check,) = checks[name]
        assert check.state == ("ok" if check.detail == "on" else "bad")
    assert "journal" not in checks


def test_damaged_content_is_bad_and_the_advice_says_how_it_is_healed(installed: Installed) -> None:
    assert found(installed.settings)["content"][0].state == "ok"
    run(
        installed.folder,
        "INSERT INTO chunks VALUES ('default', x'ab', 7, 16, 5, 0)",
        "INSERT INTO damaged_chunks VALUES ('default', x'ab', 7, 16, 'it fails its hash', 1)",
        "INSERT INTO damaged_chunks VALUES ('default', x'cd', 7, 21, 'dropped since', 1)",
    )
    (check,) = found(installed.settings)["content"]
    first = "the first in pack 00/0000000000000007: it fails its hash"
    assert (check.state, check.detail) == ("bad", f"1 chunks are damaged, {first}")
    assert "upload the same files again" in check.advice

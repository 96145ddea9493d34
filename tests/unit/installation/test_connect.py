"""Commands that open an installation beside its server."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import apsw
import pytest

from headwater.base.settings.table import DatabaseSettings, FileSettings, Settings
from headwater.identity import meta
from headwater.installation import connect
from headwater.installation.data_folder import DATABASE_FILE
from headwater.installation.first_start import first_start
from headwater.store.database import Transaction
from headwater.store.migrate import steps
from headwater.store.packs.bucket import PackBucket
from headwater.store.packs.folder import PackFolder
from headwater.store.sqlite.database import SqliteDatabase

LONG = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000) SELECT count(*) FROM n"


def test_a_command_may_read_longer_than_a_request(tmp_path: Path) -> None:
    settings = Settings(database=DatabaseSettings(data_folder=str(tmp_path), statement_seconds=1, reserve_file_bytes=0))
    made = connect.open_database(settings)
    first_start(made, tmp_path)
    made.close()

    def transaction(tx: Transaction) -> int:
        threading.Event().wait(1.1)
        count: int = tx.value(LONG)
        return count

    database = connect.open_existing(settings)
    try:
        assert database.read_now(transaction) == 100_000
    finally:
        database.close()


@pytest.mark.parametrize("url", [None, "postgresql://nobody@127.0.0.1:1/none"])
def test_root_is_held_back_from_the_data_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    settings = Settings(database=DatabaseSettings(data_folder=str(tmp_path), url=url, reserve_file_bytes=0))
    made = tmp_path / (DATABASE_FILE if url is None else connect.PACKS_FOLDER)
    made.touch()
    if os.geteuid() == 0:
        os.chown(made, 61234, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(connect.OwnerDiffers, match=r"belongs to the user .*: sudo -u '[^ ]+' headwater"):
        connect.open_existing(settings)
    assert list(tmp_path.iterdir()) == [made]
    assert made.stat().st_size == 0


def test_whoever_made_the_data_may_open_it_in_a_folder_of_another_user(tmp_path: Path) -> None:
    settings = Settings(database=DatabaseSettings(data_folder=str(tmp_path), reserve_file_bytes=0))
    made = connect.open_database(settings)
    first_start(made, tmp_path)
    made.close()
    if os.geteuid() == 0:
        os.chown(tmp_path, 61234, -1)
    opened = connect.open_existing(settings)
    try:
        assert opened.read_now(meta.had_first_start)
    finally:
        opened.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings for a folder in which nothing was installed."""
    return Settings(database=DatabaseSettings(data_folder=str(tmp_path / "data"), reserve_file_bytes=0, read_threads=1))


def test_a_folder_without_a_database_is_not_made_by_a_command(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(connect.NotInstalled, match=f"no Headwater data in {tmp_path / 'data'}$"):
        connect.open_existing(settings)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [b"", None])
def test_an_empty_file_and_a_database_of_another_program_are_no_installation(
    settings: Settings, tmp_path: Path, content: bytes | None
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / DATABASE_FILE
    if content is None:
        connection = apsw.Connection(str(path))
        connection.execute("CREATE TABLE other (id)")
        connection.close()
    else:
        path.write_bytes(content)
    with pytest.raises(connect.NotInstalled):
        connect.open_existing(settings)


def test_a_schema_without_a_first_start_is_no_installation(settings: Settings) -> None:
    connect.open_database(settings).close()
    with pytest.raises(connect.NotInstalled, match="the first start did not end"):
        connect.open_existing(settings)


def test_a_lacking_schema_step_is_named_and_not_applied_by_a_command(settings: Settings, tmp_path: Path) -> None:
    made = connect.open_database(settings)
    first_start(made, tmp_path / "data")
    made.write_now(lambda tx: tx.run("DELETE FROM schema_steps WHERE name = ?", steps()[-1][0]))
    made.close()
    for _ in range(2):
        with pytest.raises(connect.SchemaOutdated, match=rf"lacks 1 schema steps of this version \({steps()[-1][0]}"):
            connect.open_existing(settings)


@pytest.mark.parametrize("content", [b"x" * 4096, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_named(settings: Settings, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / DATABASE_FILE).write_bytes(content)
    for opening in (connect.open_existing, connect.open_database, connect.open_bare):
        with pytest.raises(connect.DatabaseUnusable, match=DATABASE_FILE):
            opening(settings)


def test_a_migration_that_fails_closes_the_database(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    really_close = SqliteDatabase.close

    def close(self: SqliteDatabase) -> None:
        closed.append(True)
        really_close(self)

    def fail(_: object) -> None:
        raise KeyError

    monkeypatch.setattr(SqliteDatabase, "close", close)
    monkeypatch.setattr(connect, "migrate", fail)
    with pytest.raises(KeyError):
        connect.open_database(settings)
    assert closed == [True]


def test_the_packs_are_in_the_data_folder_or_in_the_bucket_that_the_settings_name(settings: Settings) -> None:
    assert isinstance(connect.open_packs(settings), PackFolder)
    elsewhere = Settings(database=settings.database, files=FileSettings(pack_store="memory:///packs"))
    assert isinstance(connect.open_packs(elsewhere), PackBucket)


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("postgresql://user:pa%20ss@127.0.0.1:1/x", "pa%20ss"),
        ("postgresql://user:hidden@[::1/x", "hidden"),
        ("postgresql://user:hidden@127.0.0.1:port/x", "hidden"),
    ],
)
def test_no_message_of_the_driver_shows_the_password(settings: Settings, url: str, secret: str) -> None:
    own = Settings(database=DatabaseSettings(data_folder=settings.database.data_folder, url=url))
    with pytest.raises(connect.DatabaseOutOfReach) as refused:
        connect.open_bare(own)
    assert secret not in refused.value.detail
    assert refused.value.detail


def test_a_text_without_a_password_is_left_as_it_is() -> None:
    assert connect._without_password("cannot reach user@host", "postgresql://user@host/x") == "cannot reach user@host"
    assert connect._without_password("bad: u:s3cret@host", "postgresql://u:s3cret@host/x") == "bad: u:***@host"

"""Commands that open an installation beside its server."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from headwater.base.settings.table import DatabaseSettings, Settings
from headwater.installation import connect
from headwater.installation.data_folder import DATABASE_FILE
from headwater.installation.first_start import first_start
from headwater.store.database import Transaction

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
    connect.open_existing(settings).close()

"""How commands open an installation beside its server."""

from __future__ import annotations

import threading
from pathlib import Path

from headwater.base.settings_tree import DatabaseSettings, Settings
from headwater.server import opening
from headwater.server.app import first_start
from headwater.store.database import Transaction

LONG = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000) SELECT count(*) FROM n"


def test_a_command_may_read_longer_than_a_request(tmp_path: Path) -> None:
    settings = Settings(database=DatabaseSettings(data_folder=str(tmp_path), statement_seconds=1, reserve_file_bytes=0))
    made = opening.open_database(settings)
    first_start(made, tmp_path)
    made.close()

    def work(tx: Transaction) -> int:
        threading.Event().wait(1.1)
        count: int = tx.value(LONG)
        return count

    database = opening.open_existing(settings)
    try:
        assert database.read_now(work) == 100_000
    finally:
        database.close()

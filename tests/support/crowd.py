"""A process of its own that writes to a database; tests start several and kill some.

Run as ``python -m tests.support.crowd ADDRESS FEED NAME THREADS WRITES``. It writes records ``NAME-thread-n`` and
prints each id once its write was acknowledged.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from headwater.base.log import configure
from headwater.base.settings.table import DatabaseSettings, LogSettings
from headwater.store.database import Database
from tests.support.store.databases import open_at
from tests.support.store.transactions import put

ROOT = Path(__file__).resolve().parents[2]
DURABLE = DatabaseSettings(reserve_file_bytes=0)


def start(address: str, feed: int, name: str, threads: int, writes: int) -> subprocess.Popen[str]:
    """Start such a process; its standard output gives the acknowledged ids, one a line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    arguments = [sys.executable, "-m", "tests.support.crowd", address, str(feed), name, str(threads), str(writes)]
    return subprocess.Popen(arguments, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _write(database: Database, feed: int, name: str, writes: int) -> None:
    for n in range(writes):
        id = f"{name}-{n}"
        database.write_now(put(feed, id), feed=feed)
        # One write each, so that lines of several threads do not mix.
        os.write(1, f"{id}\n".encode())


def main(address: str, feed: int, name: str, threads: int, writes: int) -> None:
    """Write from several threads until all is written."""
    configure(LogSettings(level="error"))
    database = open_at(address, DURABLE)
    writers = [
        threading.Thread(target=_write, args=(database, feed, f"{name}-{thread}", writes)) for thread in range(threads)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))

"""A process that stops in the middle of a transaction holds the other processes' writes for a bounded time only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from headwater.base.settings.table import DatabaseSettings
from headwater.store.postgres import connection
from headwater.store.postgres.database import PostgresDatabase
from tests.support.clock import MovableClock
from tests.support.command import environment
from tests.support.store.databases import SMALL, fresh_postgres, shared_postgres
from tests.support.store.transactions import ids_of, log_of, make_feed, put

pytestmark = pytest.mark.postgres

QUICK = msgspec.structs.replace(SMALL, transaction_seconds=1)
"""The other process gives up a lock only after 30 s: a write that succeeds did not wait for that."""

STOPPING = """
import os, signal, sys, time
from headwater.base.errors import Unavailable
from headwater.store.postgres import connection, session
from tests.support.store.databases import SMALL, open_at
from tests.support.store.transactions import put
import msgspec

url, feed, where, version = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
session.TRANSACTION_TIMEOUT_VERSION = version
database = open_at(url, msgspec.structs.replace(SMALL, transaction_seconds=1))
stopped = []

def stopping(tx):
    put(feed, "a" + str(len(stopped)))(tx)
    if where == "between":
        tx.value("SELECT 1")
    else:
        # Its result is not read, so the server waits inside the pipeline.
        tx.put("INSERT INTO counters (feed, name, value) VALUES (-1, ?, 0)", f"n{len(stopped)}")
    if not stopped:
        stopped.append(True)
        print("stops", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.2)  # the signal stops this thread a little later
    put(feed, "b")(tx)

try:
    database.write_now(stopping, feed=feed)
    print("written", flush=True)
except Unavailable:
    print("refused", flush=True)
database.write_now(put(feed, "c"), feed=feed)
print("again", flush=True)
database.close()
"""


@contextmanager
def stopped(feed: int, where: str, version: int) -> Iterator[subprocess.Popen[str]]:
    """A process that has stopped itself in the middle of a writing transaction."""
    command = [sys.executable, "-c", STOPPING, shared_postgres(), str(feed), where, str(version)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "stops\n" in iter(process.stdout.readline, "")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def settings() -> DatabaseSettings:
    return QUICK


@pytest.mark.parametrize(
    ("where", "version"),
    [
        ("between", connection.TRANSACTION_TIMEOUT_VERSION),
        ("in the pipeline", connection.TRANSACTION_TIMEOUT_VERSION),
        # Before PostgreSQL 17 the server has a limit only for the time between two statements.
        ("between", 10**9),
    ],
)
def test_another_process_writes_while_one_is_stopped_and_the_stopped_one_recovers(
    tmp_path: Path, clock: MovableClock, where: str, version: int
) -> None:
    with fresh_postgres(tmp_path, clock, QUICK) as database:
        assert isinstance(database, PostgresDatabase)
        feed = make_feed(database)
        with stopped(feed, where, version) as process:
            assert database.write_now(put(feed, "meanwhile"), feed=feed).position == 1
            os.kill(process.pid, signal.SIGCONT)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
        assert out.endswith("again\n")
        written = {"a1", "b"} if "written" in out else set()
        assert ids_of(database, feed) == {"meanwhile", "c"} | written
        positions = [position for position, _, _ in log_of(database, feed)]
        assert positions == list(range(1, len(positions) + 1))

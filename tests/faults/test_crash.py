"""A process that is killed in the middle of its writes: what it acknowledged is there, and nothing by halves."""

from __future__ import annotations

import signal
import subprocess

from headwater.store.database import Database
from tests.support import crowd
from tests.support.store.databases import address_of, open_at
from tests.support.store.transactions import head_of, ids_of, log_of, make_feed, put


def kill_after(writer: subprocess.Popen[str], acknowledgements: int) -> set[str]:
    """Every id that was acknowledged before the kill."""
    assert writer.stdout is not None
    seen = [writer.stdout.readline() for _ in range(acknowledgements)]
    writer.send_signal(signal.SIGKILL)
    seen += writer.stdout.readlines()
    writer.wait(30)
    writer.stdout.close()
    # The last line may be cut off; its write was not acknowledged in full then.
    return {line.strip() for line in seen if line.endswith("\n")}


def test_after_kill_9_everything_acknowledged_is_there_and_nothing_by_halves(database: Database) -> None:
    feed = make_feed(database)
    acknowledged: set[str] = set()
    for round_number in range(4):
        writer = crowd.start(address_of(database), feed, f"r{round_number}", threads=4, writes=100_000)
        acknowledged |= kill_after(writer, 30 + 25 * round_number)
        found = ids_of(database, feed)
        assert acknowledged <= found
        log = log_of(database, feed)
        assert [position for position, _, _ in log] == list(range(1, len(log) + 1))
        assert ({id for _, id, _ in log}, head_of(database, feed)) == (found, len(log))
    database.write_now(put(feed, "after"), feed=feed)
    assert "after" in ids_of(database, feed)


def test_a_killed_writer_keeps_nobody_else_waiting(database: Database) -> None:
    feed = make_feed(database)
    writer = crowd.start(address_of(database), feed, "killed", threads=4, writes=100_000)
    kill_after(writer, 20)
    other = open_at(address_of(database))
    rows = [other.write_now(put(feed, f"c{n}"), feed=feed) for n in range(5)]
    other.close()
    assert [row.position for row in rows] == list(range(rows[0].position, rows[0].position + 5))

"""PostgreSQL under random faults: no acknowledged write is lost or doubled, no integer minted twice; writes go on."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest

from headwater.base.errors import HeadwaterError, Unavailable
from headwater.store.database import Transaction
from headwater.store.migrate import migrate
from headwater.store.postgres.database import WRITERS, PostgresDatabase
from tests.support.clock import MovableClock
from tests.support.store.databases import SMALL
from tests.support.store.postgres import PostgresServer
from tests.support.store.proxy import Proxy, proxied
from tests.support.store.transactions import Refused, head_of, log_of, make_feed, put

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

FAULTS = 30
FEEDS = WRITERS + 2
THREADS = 6
SETTINGS = msgspec.structs.replace(SMALL, statement_seconds=1, transaction_seconds=1)
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'headwater' ORDER BY pid"


Log = list[tuple[int, str, int]]
"""A feed's changes as (position, id, deleted)."""


class Chaos:
    """Writers with a model of what was acknowledged, and faults between them and the server."""

    def __init__(self, server: PostgresServer, proxy: Proxy, seed: int) -> None:
        self.rng = random.Random(seed)
        self.server = server
        self.proxy = proxy
        self.database = PostgresDatabase(proxy.url("chaos"), SETTINGS, clock=MovableClock())
        migrate(self.database)
        self.feeds = [make_feed(self.database, f"org:{n}") for n in range(FEEDS)]
        self.acknowledged: list[tuple[int, str, int]] = []
        """Feed, id and minted integer of each write that was answered."""
        self.strange: list[BaseException] = []
        self.ended = threading.Event()

    def write(self, name: str) -> None:
        """One writer until the end: unique ids, often in one transaction with a part that fails."""
        rng = random.Random(f"{name} {self.rng.random()}")
        number = 0
        while not self.ended.is_set():
            number += 1
            feed, id = rng.choice(self.feeds), f"{name}-{number}"
            try:
                minted = self.database.write_now(self.function(feed, id, rng.randrange(8)), feed=feed)
            except (Unavailable, Refused):
                continue
            except Exception as failure:  # noqa: BLE001 - what a caller must never see
                self.strange.append(failure)
            else:
                self.acknowledged.append((feed, id, minted))

    def function(self, feed: int, id: str, dice: int) -> Callable[[Transaction], int]:
        """A transaction function that writes, and with some dice fails at a part, or wholly."""

        def transaction(tx: Transaction) -> int:
            minted = tx.mint("chaos")[0]
            put(feed, id)(tx)
            if dice == 0:
                with suppress(psycopg.Error), tx.savepoint():
                    tx.put("INSERT INTO no_such_table (a) VALUES (?)", 1)
                    put(feed, id + "-undone")(tx)
            elif dice == 1:
                with suppress(Refused), tx.savepoint():
                    put(feed, id + "-undone")(tx)
                    raise Refused
            elif dice == 2:
                put(feed, id + "-undone")(tx)
                raise Refused
            return minted

        return transaction

    def backends(self) -> list[int]:
        """The server's processes for our connections."""
        with psycopg.connect(self.server.url("chaos")) as connection:
            return [pid for (pid,) in connection.execute(BACKENDS).fetchall()]

    def terminate(self) -> None:
        """The server ends some of our connections."""
        with psycopg.connect(self.server.url("chaos"), autocommit=True) as connection:
            for pid in self.some(self.backends()):
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))

    def crash(self) -> None:
        """A process of the server dies, so that the server recovers from its log."""
        with suppress(ProcessLookupError):
            os.kill(self.rng.choice(self.backends()), signal.SIGKILL)

    def freeze(self) -> None:
        """A process of the server stops for a while."""
        for pid in self.some(self.backends()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.ended.wait(0.3)
                os.kill(pid, signal.SIGCONT)

    def block(self) -> None:
        """Another transaction holds a feed longer than a statement may wait."""
        with psycopg.connect(self.server.url("chaos")) as connection:
            sql = "SELECT 1 FROM counters WHERE feed = ANY(%s) FOR UPDATE"
            connection.execute(sql, (self.some(self.feeds),))
            self.ended.wait(1.3)

    def hold(self) -> None:
        """No byte passes for longer than a transaction may last."""
        self.proxy.hold()
        self.ended.wait(self.rng.choice([0.1, 1.5]))
        self.proxy.go_on()

    def some(self, found: list[int]) -> list[int]:
        """A part of the list, not empty if the list is not."""
        return self.rng.sample(found, self.rng.randint(1, len(found))) if found else []

    def play(self) -> None:
        """Throws every kind of fault, in random order."""
        kinds = [self.terminate, self.crash, self.freeze, self.block, self.hold, self.proxy.cut]
        faults = self.rng.sample(kinds * (FAULTS // len(kinds)), FAULTS)
        for fault in faults:
            self.ended.wait(self.rng.random() * 0.2)
            with suppress(psycopg.Error):  # while the server recovers, it lets no administrator in
                fault()

    def run(self) -> None:
        """Writers and faults together; then the writers alone, until each feed has new writes."""
        threads = [threading.Thread(target=self.write, args=(f"w{n}",)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            self.play()
            before = len(self.acknowledged)
            for _ in range(600):
                if {feed for feed, _, _ in self.acknowledged[before:]} >= set(self.feeds):
                    break
                self.ended.wait(0.1)
            assert {feed for feed, _, _ in self.acknowledged[before:]} >= set(self.feeds), "writes do not go on"
        finally:
            self.ended.set()
            for thread in threads:
                thread.join()


def patient(read: Callable[[], Log]) -> Log:
    """The result of a read, which may meet a server that recovers."""
    for _ in range(100):
        with suppress(HeadwaterError):
            return read()
        threading.Event().wait(0.1)
    return read()


@contextmanager
def chaos(seed: int) -> Iterator[Chaos]:
    # The server of the other tests is left alone; a folder with a short name, for the socket's path.
    server = PostgresServer(autovacuum="on")
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        try:
            server.run("CREATE DATABASE chaos")
            with proxied(Path(folder), server.folder) as proxy:
                played = Chaos(server, proxy, seed)
                try:
                    yield played
                finally:
                    played.database.close()
        finally:
            server.stop()


def test_under_random_faults_no_acknowledged_write_is_lost_and_writes_go_on_afterwards() -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - shown when the test fails, to play it again
    with chaos(seed) as played:
        played.run()
        assert played.strange == []
        assert len(played.acknowledged) > FAULTS
        database = played.database
        for feed in played.feeds:
            log = patient(partial(log_of, database, feed))
            ids = [id for _, id, _ in log]
            assert len(ids) == len(set(ids)), "a write was applied twice"
            assert [position for position, _, _ in log] == list(range(1, len(log) + 1))
            assert head_of(database, feed) == len(log)
            assert {id for its, id, _ in played.acknowledged if its == feed} <= set(ids)
            assert not [id for id in ids if id.endswith("undone")]
        minted = [number for _, _, number in played.acknowledged]
        assert len(minted) == len(set(minted)), "an integer was minted twice"

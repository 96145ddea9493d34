"""Writes to PostgreSQL grouped in the app against a transaction for each request: commits per second and latency.

Run by hand: ``python -m benchmarks.postgres_groups [SECONDS]``. It starts the PostgreSQL of the test environment
with fsync on. Each request creates one record of some 300 bytes. The variants take turns, so that a busy machine
is busy for all of them; the ratios are the result.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable
from statistics import quantiles
from typing import NamedTuple

import msgspec

from headwater.base.clock import now_us
from headwater.base.settings.table import DatabaseSettings
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds, records
from headwater.store.migrate import migrate
from headwater.store.postgres.connection import PostgresLink
from headwater.store.postgres.database import PostgresDatabase
from headwater.store.postgres.sequences import Mint
from headwater.store.postgres.session import PostgresSession
from tests.support.store.postgres import PostgresServer

BODY = b'{"name":"' + b"n" * 280 + b'"}'
ROUNDS = 3
SETTINGS = DatabaseSettings(reserve_file_bytes=0)

_serial = itertools.count()


class Figure(NamedTuple):
    """The result of a variant; latencies in milliseconds."""

    per_second: float
    p50: float
    p99: float


def create(feed: int) -> Callable[[Transaction], None]:
    """A transaction function that creates one record."""
    id = f"c-{next(_serial):09d}"

    def transaction(tx: Transaction) -> None:
        if records.find(tx, feed, "contact", id) is None:
            records.create(tx, feed, "contact", records.Draft(id, BODY, f"\n{id}", None, tx.now_us, tx.now_us))

    return transaction


def in_groups(database: Database, chosen: list[int], seconds: float) -> Figure:
    """Coroutines that write through the group writers, each request when the one before it is answered."""
    taken: list[float] = []

    async def one(feed: int, until: float) -> None:
        while (begun := time.perf_counter()) < until:
            await database.write(create(feed), feed=feed)
            taken.append(time.perf_counter() - begun)

    async def run() -> float:
        begun = time.perf_counter()
        await asyncio.gather(*(one(feed, begun + seconds) for feed in chosen))
        return time.perf_counter() - begun

    return _figure(taken, asyncio.run(run()))


def each_alone(url: str, chosen: list[int], seconds: float) -> Figure:
    """Threads, each with its own connection, with a transaction for each request."""
    taken: list[float] = []
    mint = Mint(lambda: PostgresLink(url, SETTINGS), PostgresLink(url, SETTINGS))
    sessions = [
        PostgresSession(lambda: PostgresLink(url, SETTINGS, pipelined=True), mint, lambda _pid: None) for _ in chosen
    ]
    begun = time.perf_counter()

    def one(feed: int, session: PostgresSession) -> None:
        while (started := time.perf_counter()) < begun + seconds:
            session.begin(now_us(), [feed])
            create(feed)(session.transaction)
            session.transaction.flush_counters()
            session.commit()
            taken.append(time.perf_counter() - started)

    threads = [threading.Thread(target=one, args=pair) for pair in zip(chosen, sessions, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begun
    for session in sessions:
        session.close()
    mint.close()
    return _figure(taken, elapsed)


def _figure(taken: list[float], elapsed: float) -> Figure:
    cuts = quantiles(taken, n=100)
    return Figure(len(taken) / elapsed, cuts[49] * 1000, cuts[98] * 1000)


def main(seconds: float) -> None:
    """Measures the variants in turns and prints the median round of each."""
    server = PostgresServer(fsync="on", full_page_writes="on", autovacuum="on")
    server.run("CREATE DATABASE bench")
    url = server.url("bench")
    grouped = PostgresDatabase(url, SETTINGS)
    single = PostgresDatabase(url, msgspec.structs.replace(SETTINGS, writer_batch_requests=1))
    notified = PostgresDatabase(url, SETTINGS)
    notified.on_commit(lambda _moved: None)
    migrate(grouped)
    made = [grouped.write_now(lambda tx, n=n: feeds.create(tx, f"org:{n}", f"{n}", history=False)) for n in range(64)]
    variants: dict[str, Callable[[list[int]], Figure]] = {
        "a transaction each, on 64 connections": lambda chosen: each_alone(url, chosen, seconds),
        "a transaction each, one after the other": lambda chosen: in_groups(single, chosen, seconds),
        "grouped": lambda chosen: in_groups(grouped, chosen, seconds),
    }
    for title, chosen in (
        ("64 writers, one feed", made[:1] * 64),
        ("64 writers, 64 feeds", made),
        ("1 writer", made[:1]),
    ):
        found: dict[str, list[Figure]] = {name: [] for name in variants}
        for _ in range(ROUNDS):
            for name, variant in variants.items():
                found[name].append(variant(chosen))
        print(title)
        floor = 0.0
        for name, figures in found.items():
            figure = sorted(figures)[ROUNDS // 2]
            floor = floor or figure.per_second
            print(
                f"  {name:42} {figure.per_second:8.0f}/s  x {figure.per_second / floor:5.1f}"
                f"  p50 {figure.p50:6.1f} ms  p99 {figure.p99:6.1f} ms"
            )
    for database in (grouped, single, notified):
        database.close()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)

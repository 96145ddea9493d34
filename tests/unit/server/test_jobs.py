"""Work that nobody asks for: turns, failures, other processes' commits, and answers past their time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headwater.base.clock import SECOND_US
from headwater.base.settings.table import DatabaseSettings
from headwater.feed.wake import Wake
from headwater.identity import organisations
from headwater.server.jobs import (
    FIRST_SECONDS,
    ForeignCommits,
    Job,
    Jobs,
    compact_feeds,
    delete_expired_answers,
    jobs_of,
)
from headwater.store import idempotency
from headwater.store.database import Database
from headwater.store.sqlite.database import SqliteDatabase
from tests.support.clock import MovableClock
from tests.support.server.serving import ServerUnderTest


@pytest.mark.anyio
async def test_a_job_has_its_first_turn_soon_and_then_one_each_period() -> None:
    done: list[int] = []

    async def run() -> None:
        done.append(len(done))

    jobs = Jobs([Job("count", 3600.0, run)])
    turns = []
    for at in (0.0, FIRST_SECONDS - 1, FIRST_SECONDS, FIRST_SECONDS + 3599, FIRST_SECONDS + 3600):
        turns.append(bool(jobs.tick(at)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert turns == [False, False, True, False, True]
    assert done == [0, 1]


@pytest.mark.anyio
async def test_a_job_that_still_runs_is_not_started_again() -> None:
    go = asyncio.Event()
    jobs = Jobs([Job("slow", 1.0, go.wait)])
    assert [bool(jobs.tick(at)) for at in (0.0, 1.0, 2.0, 3.0)] == [False, True, False, False]
    go.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert jobs.tick(4.0) == ["slow"]
    await asyncio.sleep(0)


@pytest.mark.anyio
async def test_a_job_that_fails_comes_again_and_the_others_go_on() -> None:
    turns: list[str] = []

    async def fail() -> None:
        turns.append("bad")
        raise ValueError

    async def transaction() -> None:
        turns.append("good")

    jobs = Jobs([Job("bad", 1.0, fail), Job("good", 1.0, transaction)])
    for at in (0.0, 1.0, 2.0):
        jobs.tick(at)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert turns == ["bad", "good", "bad", "good"]


@pytest.mark.anyio
async def test_leaving_ends_every_job() -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with Jobs([Job("wait", 0.0, wait)]) as jobs:
        jobs.tick(1e9)
        await asyncio.sleep(0)
    assert ended.is_set()


@contextmanager
def another_process(database_file: Path, clock: MovableClock) -> Iterator[Database]:
    """A second opener of the same file, as a command line is beside a server."""
    other = SqliteDatabase(database_file, DatabaseSettings(reserve_file_bytes=0), clock=clock)
    try:
        yield other
    finally:
        other.close()


@pytest.mark.sqlite_only
@pytest.mark.anyio
async def test_commits_of_others_wake_those_who_wait_and_our_own_are_not_told_twice(
    database: Database, clock: MovableClock, tmp_path: Path
) -> None:
    wake = Wake()
    wake.attach(asyncio.get_running_loop())
    told: list[tuple[int, int]] = []
    wake.listen(7, lambda feed, head: told.append((feed, head)))
    foreign = ForeignCommits(database, wake)
    assert [await foreign.check(), await foreign.check()] == [False, False]
    await database.write(lambda tx: organisations.create(tx, "org_ours"))
    assert await foreign.check() is False
    with another_process(tmp_path / "headwater.db", clock) as other:
        other.write_now(lambda tx: organisations.create(tx, "org_theirs"))
        assert await foreign.check() is True
        await database.write(lambda tx: organisations.create(tx, "org_ours_2"))
        other.write_now(lambda tx: organisations.create(tx, "org_theirs_2"))
        assert await foreign.check() is True
        assert await foreign.check() is False
    await asyncio.sleep(0)
    assert told == [(7, 0), (7, 0)]


@pytest.mark.anyio
async def test_answers_are_kept_for_their_time_and_no_longer(server: ServerUnderTest, clock: MovableClock) -> None:
    keep_seconds = server.settings.idempotency.keep_seconds
    old, young = (idempotency.AnswerKey("default", "tok", key) for key in ("old", "young"))
    server.database.write_now(lambda tx: idempotency.keep(tx, old, b"h", b"a"))
    clock.advance(keep_seconds)
    server.database.write_now(lambda tx: idempotency.keep(tx, young, b"h", b"a"))
    assert server.loop.run(delete_expired_answers(server.services)) == 0
    clock.advance(1)
    assert server.loop.run(delete_expired_answers(server.services)) == 1
    kept = server.database.read_now(lambda tx: [idempotency.find(tx, key, -SECOND_US) for key in (old, young)])
    assert [found is not None for found in kept] == [False, True]


def test_the_log_is_compacted_after_the_retention_that_is_set(server: ServerUnderTest, clock: MovableClock) -> None:
    made = server.client.post("/api/v1/contacts", json={"first_name": "Bjørn"}).json()
    server.client.delete(f"/api/v1/contacts/{made['contact_id']}")
    clock.advance(server.settings.feed.retention_seconds)
    assert server.loop.run(compact_feeds(server.services)) == 0
    clock.advance(1)
    assert server.loop.run(compact_feeds(server.services)) == 1
    turns = {job.name: job.every_seconds for job in jobs_of(server.services, server.server.gc_job)}
    assert turns["compact"] == server.settings.feed.compact_every_seconds

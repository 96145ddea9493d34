"""Periodic jobs: they detect commits of other processes, delete expired rows, compact feeds and run gc.

The catch-all of the jobs is here: a job that fails is logged, and runs again at its next turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from headwater.base.clock import SECOND_US, monotonic_seconds
from headwater.base.errors import HeadwaterError
from headwater.base.log import get_log
from headwater.contracts.files.retention import gc
from headwater.feed import cursor_bases, sightings
from headwater.feed.compact import Retention, compact
from headwater.feed.wake import EVERYTHING, Wake
from headwater.server.gc_job import GcJob
from headwater.store import idempotency
from headwater.store.database import Database, Transaction
from headwater.web.services import Services

SCRUB_SECONDS = 2.0
"""The time between two looks for traces of erased content in the database's files."""

TICK_SECONDS = 0.25
"""The time between two checks for due jobs; also the longest delay until another process's commit is noticed."""

SIGHTINGS_SECONDS = 5.0
"""The time between two writes of the devices' last-seen times."""

HOUR_SECONDS = 3600.0
FIRST_SECONDS = 60.0
"""The time until the first turn of each job, so that a server that restarts often also runs its jobs."""

EXPIRED_ROWS = 1000
log = get_log(__name__)


class Job(NamedTuple):
    """A periodic job and the time between two of its turns."""

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[object]]


class Jobs:
    """Runs each job at its turns, never twice at once; a context around serving."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._due: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Jobs:
        self._loop = asyncio.create_task(self._turn())
        return self

    async def __aexit__(self, *failure: object) -> None:
        tasks = [task for task in (self._loop, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def tick(self, at_seconds: float) -> list[str]:
        """Starts the jobs that are due at this monotonic instant; their names."""
        started = []
        for job in self._jobs:
            due = self._due.setdefault(job.name, at_seconds + min(job.every_seconds, FIRST_SECONDS))
            if at_seconds < due or job.name in self._running:
                continue
            self._due[job.name] = at_seconds + job.every_seconds
            self._running[job.name] = asyncio.create_task(self._run(job))
            started.append(job.name)
        return started

    async def _turn(self) -> None:
        while True:
            self.tick(monotonic_seconds())
            await asyncio.sleep(TICK_SECONDS)

    async def _run(self, job: Job) -> None:
        try:
            await job.run()
        except Exception as failure:  # noqa: BLE001 - the job edge: one failed turn must not end the others
            log.failure("job_failed", failure, job=job.name)
        finally:
            self._running.pop(job.name, None)


class ForeignCommits:
    """Detects commits of another process to an embedded database, and wakes every waiter of every feed."""

    def __init__(self, database: Database, wake: Wake) -> None:
        self._database = database
        self._wake = wake
        self._seen: int | None = None
        self._writer_saw: int | None = None

    async def check(self) -> bool:
        """Compares the version with the last check's; True when another process has written since then."""
        seen = self._database.version()
        if seen == self._seen:
            return False
        self._seen = seen
        # A reader's number also moves with our own commits; the writer's moves only with those of others.
        writer_saw = await self._database.write(_data_version)
        foreign = self._writer_saw is not None and writer_saw != self._writer_saw
        self._writer_saw = writer_saw
        if foreign:
            self._wake.moved({EVERYTHING: 0})
        return foreign


def jobs_of(services: Services, gc_job: GcJob) -> list[Job]:
    """The jobs of one server."""
    jobs = [
        Job("sweep_answers", HOUR_SECONDS, lambda: delete_expired_answers(services)),
        Job("drop_uploads", HOUR_SECONDS, lambda: drop_uploads(services)),
        Job("drop_cursors", HOUR_SECONDS, lambda: drop_cursor_bases(services)),
        Job("note_devices", SIGHTINGS_SECONDS, lambda: write_sightings(services)),
        Job("scrub", SCRUB_SECONDS, lambda: asyncio.to_thread(services.database.scrub)),
        Job("compact", services.settings.feed.compact_every_seconds, lambda: compact_feeds(services)),
    ]
    every_seconds = services.settings.files.gc_every_seconds
    if every_seconds:
        # The job runs more often than the sweep is due: another process may have the turn, or a sweep did not finish.
        jobs.append(Job("sweep_content", min(every_seconds, HOUR_SECONDS), gc_job.run))
    if services.database.embedded:
        foreign = ForeignCommits(services.database, services.wake)
        jobs.append(Job("notice_commits", TICK_SECONDS, foreign.check))
    return jobs


async def write_sightings(services: Services) -> int:
    """Writes the last-seen times of the devices that called; the number of devices."""
    seen = services.sightings.drain()
    if seen:
        await services.database.write(lambda tx: sightings.write(tx, seen))
    return len(seen)


async def last_turn(services: Services) -> None:
    """Writes at the stop of a server what its jobs would have written at their next turn."""
    try:
        await write_sightings(services)
    except HeadwaterError as failure:
        log.failure("job_failed", failure, job="note_devices")


async def delete_expired_answers(services: Services) -> int:
    """Deletes the expired answers that are stored for retried requests; the number of deleted answers."""
    oldest_us = services.clock() - services.settings.idempotency.keep_seconds * SECOND_US
    total = 0
    while True:
        deleted = await services.database.write(lambda tx: idempotency.delete_expired(tx, oldest_us, EXPIRED_ROWS))
        total += deleted
        if deleted < EXPIRED_ROWS:
            return total


async def drop_uploads(services: Services) -> int:
    """Deletes expired uploads and staged versions; the number of both. The sweep frees their bytes."""
    total = 0
    while deleted := await services.database.write(gc.drop_expired):
        total += deleted
    return total


async def drop_cursor_bases(services: Services) -> int:
    """Deletes the stored places of cursors that are used no more; their number."""
    keep_us = services.settings.feed.retention_seconds * SECOND_US
    total = 0
    while deleted := await services.database.write(lambda tx: cursor_bases.drop_expired(tx, keep_us)):
        total += deleted
    return total


async def compact_feeds(services: Services) -> int:
    """Compacts every feed by its retention; the number of deleted changes."""
    feed_settings = services.settings.feed
    longest_us = feed_settings.retention_seconds * SECOND_US
    shortest_us = min(longest_us, feed_settings.retention_min_seconds * SECOND_US)
    return await asyncio.to_thread(compact, services.database, Retention(longest_us, shortest_us))


def _data_version(tx: Transaction) -> int:
    return int(tx.rows("PRAGMA data_version")[0][0])

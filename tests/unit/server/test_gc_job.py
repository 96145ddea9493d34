"""The server's own sweep: what it frees, when it is due, whose turn it is, and that it ends with the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.base.clock import SECOND_US
from headwater.base.errors import Unavailable
from headwater.base.log import keep_safe
from headwater.contracts.files.retention import gc
from headwater.server import gc_job as gc_job_module
from headwater.server.gc_job import CLAIM_US, GcJob
from headwater.server.jobs import HOUR_SECONDS, jobs_of
from headwater.store.packs.damage import DamageLedger
from headwater.store.packs.gc import Swept
from headwater.web.edge.metrics import Metrics
from tests.support.clock import MovableClock
from tests.support.content import begin, content_of, make_file, make_share, send
from tests.support.server.serving import ServerUnderTest
from tests.support.store.databases import address_of, open_at

DAY_SECONDS = 86_400


@pytest.fixture
def gc_job(server: ServerUnderTest) -> GcJob:
    return GcJob(server.services, Metrics(), DamageLedger(server.database))


def leave_garbage(server: ServerUnderTest) -> str:
    """An unfinished upload beside a file; the file's id."""
    share = make_share(server.client)
    send(server.client, begin(server.client, share, 5000), content_of(5000, 2))
    return str(make_file(server.client, share, "/a", content_of(9000))["resource_id"])


def chunks_of(server: ServerUnderTest) -> int:
    found: int = server.database.read_now(lambda tx: tx.value("SELECT count(*) FROM chunks"))
    return found


def test_the_job_frees_what_nothing_refers_to_and_shows_what_it_did(
    server: ServerUnderTest, clock: MovableClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(gc_job_module, "log", _Recorder(lines))
    gc_job = server.server.gc_job
    file = leave_garbage(server)
    assert server.loop.run(gc_job.run()) == Swept()
    before, packs = chunks_of(server), {path for path in (tmp_path / "packs").rglob("*") if path.is_file()}
    for _ in range(2):
        clock.advance(server.settings.files.gc_grace_seconds + 3601)
        assert server.loop.run(gc_job.run()) is not None
    assert chunks_of(server) < before
    assert len(packs - {path for path in (tmp_path / "packs").rglob("*") if path.is_file()}) == 1
    assert server.client.get(f"/api/v1/sync/download/{file}").body == content_of(9000)
    metrics = [line.split() for line in server.client.get("/metrics").text.splitlines()]
    shown = {line[0]: float(line[1]) for line in metrics if line[0].startswith("headwater_gc")}
    assert shown["headwater_gc_runs"] == 3
    assert shown["headwater_gc_finished_timestamp_seconds"] == clock() / SECOND_US
    assert shown["headwater_gc_damaged_packs"] == 0
    assert shown["headwater_gc_freed_bytes"] > 5000
    assert len(lines) == 3


@pytest.mark.sqlite_only
def test_all_that_the_log_says_of_a_sweep_passes_its_filter(
    server: ServerUnderTest, gc_job: GcJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the log does not know is left out of the line."""
    swept = Swept(1, 2, 3, 4, 5, 6, 7, 8, ["pack-1: its tail is gone"])
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(gc, "free", lambda *_: swept)
    monkeypatch.setattr(gc_job_module, "log", _Recorder(lines))
    server.loop.run(gc_job.run())
    done, damaged = (keep_safe(None, "info", line) for line in lines)
    assert "dropped" not in done | damaged
    assert (done["event"], done["freed_bytes"], done["dropped_chunks_count"]) == ("content_swept", 8, 1)
    assert done["deleted_packs_count"] == 13
    assert damaged == {"event": "pack_damaged", "pack_id": "pack-1", "reason": "its tail is gone"}


class _Recorder:
    """Takes lines in place of the log."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def info(self, event: str, **fields: Any) -> None:
        self._lines.append({"event": event, **fields})

    warning = info


def test_a_sweep_is_due_once_a_period_over_all_processes(
    server: ServerUnderTest, gc_job: GcJob, clock: MovableClock
) -> None:
    other_database = open_at(address_of(server.database), clock=clock)
    other = GcJob(replace(server.services, database=other_database), Metrics(), DamageLedger(other_database))

    async def both() -> list[Swept | None]:
        return list(await asyncio.gather(gc_job.run(), other.run()))

    for _ in range(2):
        swept = server.loop.run(both())
        assert sorted(one is None for one in swept) == [False, True]
        clock.advance(DAY_SECONDS - 1)
        assert server.loop.run(both()) == [None, None]
        clock.advance(1)
    other_database.close()


def test_a_process_that_starts_anew_knows_when_the_last_sweep_was_finished(
    server: ServerUnderTest, gc_job: GcJob, clock: MovableClock
) -> None:
    server.loop.run(gc_job.run())
    finished_us = clock()
    metrics = Metrics()
    anew = GcJob(server.services, metrics, DamageLedger(server.database))
    clock.advance(3600)
    assert server.loop.run(anew.run()) is None
    assert finished(metrics) == finished_us / SECOND_US


def finished(metrics: Metrics) -> float:
    """What a process shows as the end of the last sweep."""
    return gauge(metrics, "headwater_gc_finished_timestamp_seconds")


def gauge(metrics: Metrics, name: str) -> float:
    lines = [line.split() for line in metrics.render().decode().splitlines()]
    [shown] = [float(line[1]) for line in lines if line[0] == name]
    return shown


def test_what_deleted_shares_hold_beside_every_quota_is_shown_until_it_is_purged(
    server: ServerUnderTest, clock: MovableClock
) -> None:
    metrics = Metrics()
    gc_job = GcJob(server.services, metrics, DamageLedger(server.database))
    shown = []
    shares = [make_share(server.client) for _ in range(3)]
    for share in shares:
        make_file(server.client, share, "/a", content_of(9000))
    for seconds, deleted in ((0, []), (60, shares[:2]), (server.settings.files.keep_deleted_shares_seconds, [])):
        for share in deleted:
            assert server.client.delete(f"/api/v1/shares/{share}").status == 204
        clock.advance(seconds)
        server.loop.run(gc_job.run())
        shown.append(gauge(metrics, "headwater_deleted_shares_bytes"))
    clock.advance(3600)
    server.loop.run(gc_job.run())
    assert [*shown, gauge(metrics, "headwater_deleted_shares_bytes")] == [0, 18000, 18000, 0]


def test_a_sweep_under_way_elsewhere_is_not_shown_as_finished(
    server: ServerUnderTest, gc_job: GcJob, clock: MovableClock
) -> None:
    metrics = Metrics()
    other = GcJob(server.services, metrics, DamageLedger(server.database))
    clock.advance(10 * DAY_SECONDS)
    assert server.database.write_now(gc_job.claim) is not None
    assert server.loop.run(other.run()) is None
    assert finished(metrics) == 0
    clock.advance(CLAIM_US // SECOND_US)
    assert server.loop.run(gc_job.run()) is not None
    ended = clock() / SECOND_US
    clock.advance(DAY_SECONDS)
    assert server.database.write_now(gc_job.claim) is not None
    assert server.loop.run(other.run()) is None
    assert finished(metrics) == ended


def test_a_sweep_that_failed_is_tried_again_soon(
    server: ServerUnderTest, gc_job: GcJob, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Swept:
        raise Unavailable("no disk")

    with monkeypatch.context() as patched:
        patched.setattr(gc, "free", fail)
        with pytest.raises(Unavailable):
            server.loop.run(gc_job.run())
    assert server.loop.run(gc_job.run()) is None
    clock.advance(CLAIM_US // SECOND_US)
    assert server.loop.run(gc_job.run()) is not None


def test_a_long_sweep_keeps_its_turn_and_one_that_lost_it_ends(
    server: ServerUnderTest, gc_job: GcJob, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = GcJob(server.services, Metrics(), DamageLedger(server.database))
    looked: list[int | None] = []

    def long(_database: object, _packs: object, _settings: object, breathe: Callable[[], None]) -> Swept:
        for _ in range(3):
            clock.advance(CLAIM_US // SECOND_US - 60)
            breathe()
            looked.append(server.database.write_now(other.claim))
        clock.advance(CLAIM_US // SECOND_US)
        looked.append(server.database.write_now(other.claim))
        breathe()
        raise AssertionError("somebody else sweeps by now")

    monkeypatch.setattr(gc, "free", long)
    assert server.loop.run(gc_job.run()) is None
    assert looked[:3] == [None, None, None]
    assert looked[3] is not None


def test_a_clock_or_setting_that_went_back_does_not_put_the_sweep_off(
    server: ServerUnderTest, gc_job: GcJob, clock: MovableClock
) -> None:
    clock.advance(10 * DAY_SECONDS)
    assert server.loop.run(gc_job.run()) is not None
    clock.advance(-9 * DAY_SECONDS)
    assert server.loop.run(gc_job.run()) is not None


def test_a_sweep_ends_with_the_server(server: ServerUnderTest, gc_job: GcJob, monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = threading.Event(), threading.Event()

    def endless(_database: object, _packs: object, _settings: object, breathe: Callable[[], None]) -> Swept:
        began.set()
        try:
            while True:
                breathe()
        finally:
            ended.set()

    monkeypatch.setattr(gc, "free", endless)

    async def stop() -> None:
        task = asyncio.create_task(gc_job.run())
        assert await asyncio.to_thread(began.wait, 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    server.loop.run(stop())
    assert ended.wait(30)


@pytest.mark.sqlite_only
def test_the_setting_says_how_often_and_zero_turns_it_off(server: ServerUnderTest) -> None:
    def period(every_seconds: int) -> float | None:
        files = msgspec.structs.replace(server.settings.files, gc_every_seconds=every_seconds)
        services = replace(server.services, settings=msgspec.structs.replace(server.settings, files=files))
        return {job.name: job.every_seconds for job in jobs_of(services, server.server.gc_job)}.get("sweep_content")

    assert [period(seconds) for seconds in (0, 60, DAY_SECONDS)] == [None, 60, HOUR_SECONDS]

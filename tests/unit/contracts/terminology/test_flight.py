"""Single flight across server processes: each Flights here is one process, over one database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from headwater.base.errors import NotFound, Unavailable, UpstreamFailed
from headwater.base.settings.table import TerminologySettings
from headwater.contracts.terminology import queries, rules, source_rules, sync_rules
from headwater.contracts.terminology.flight import Flights
from headwater.contracts.terminology.queries import State
from headwater.contracts.terminology.sync_rules import FetchJob, SyncOutcome
from headwater.contracts.terminology.upstream import Fetched
from headwater.identity import organisations
from headwater.store.database import Database, Transaction
from headwater.store.log import records
from tests.support.clock import MovableClock

SETTINGS = TerminologySettings(upstream_seconds=30, retry_base_seconds=8, retry_max_seconds=100)
ORG = "org_a"
LABELS = {"a": "A"}


class Source:
    """A source whose answers wait until they are let go; it counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.arrived = asyncio.Event()
        self.go = asyncio.Event()
        self.answer: Fetched | UpstreamFailed = Fetched(LABELS, None)

    async def __call__(self, source: str, location: str, etag: str | None) -> Fetched:
        self.asked += 1
        self.arrived.set()
        await self.go.wait()
        if isinstance(self.answer, UpstreamFailed):
            raise self.answer
        return self.answer


@pytest.fixture
def feed(database: Database) -> int:
    """The feed of an organisation that is tracked and has an upstream."""

    def transaction(tx: Transaction) -> int:
        organisations.create(tx, ORG)
        feed = organisations.feed_of(tx, ORG)
        rules.create(tx, ORG, 60)
        source_rules.name(tx, feed, ORG, "url", "https://labels.example.org/")
        return feed

    return database.write_now(transaction)


def state(database: Database) -> State:
    return database.read_now(lambda tx: rules.find(tx, ORG))


def flights(database: Database, source: Source, wait_seconds: float = 60.0) -> Flights:
    return Flights(database, SETTINGS, source, chance=lambda: 1.0, wait_seconds=wait_seconds)


def play(story: Callable[[Source], Awaitable[None]]) -> Source:
    """Run a story with a source of its own."""

    async def told() -> Source:
        source = Source()
        await story(source)
        return source

    return asyncio.run(told())


def test_callers_in_two_processes_cause_one_fetch_and_all_see_its_result(database: Database, feed: int) -> None:
    async def story(source: Source) -> None:
        first, second = flights(database, source), flights(database, source)
        callers = [asyncio.ensure_future(process.sync(feed, ORG)) for process in (first, second) for _ in range(50)]
        await source.arrived.wait()
        await asyncio.sleep(0.2)
        assert not any(caller.done() for caller in callers)
        source.go.set()
        outcomes = await asyncio.gather(*callers)
        assert len({outcome.synced_us for outcome in outcomes}) == 1
        assert {outcome.done for outcome in outcomes} == {True, False}

    assert play(story).asked == 1
    assert state(database).tracked.lease is None


def test_a_caller_who_goes_away_does_not_end_the_fetch_for_the_others(database: Database, feed: int) -> None:
    async def story(source: Source) -> None:
        process = flights(database, source)
        leaving = asyncio.ensure_future(process.sync(feed, ORG))
        staying = asyncio.ensure_future(process.sync(feed, ORG))
        await source.arrived.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        source.go.set()
        assert (await staying).updated_keys == 1

    assert play(story).asked == 1


def test_another_process_sees_the_failure_of_the_one_that_fetched(database: Database, feed: int) -> None:
    async def story(source: Source) -> None:
        source.answer = UpstreamFailed("no", extra={"reason": "status"})
        callers = [asyncio.ensure_future(flights(database, source).sync(feed, ORG)) for _ in range(2)]
        await source.arrived.wait()
        source.go.set()
        failures = await asyncio.gather(*callers, return_exceptions=True)
        for failure in failures:
            assert isinstance(failure, UpstreamFailed)
            assert failure.retry_after_seconds == 8

    assert play(story).asked == 1
    assert state(database).tracked.failures == 1


def test_a_lease_that_has_run_out_is_taken_over_and_its_late_result_is_not_published(
    database: Database, feed: int, clock: MovableClock
) -> None:
    lost = begin(database, feed)
    assert isinstance(lost, FetchJob)
    clock.advance(SETTINGS.upstream_seconds + 5)
    taken = begin(database, feed)
    assert isinstance(taken, FetchJob)
    assert publish(database, feed, lost, {"late": "label"}) is None
    assert database.write_now(lambda tx: sync_rules.fail(tx, lost, SETTINGS, 1.0)) is None
    assert state(database).tracked.lease == taken.lease
    published = publish(database, feed, taken, LABELS)
    assert published is not None
    assert published.updated_keys == 1
    assert publish(database, feed, lost, {"late": "label"}) is None
    assert database.read_now(lambda tx: records.body(tx, feed, "labels", "labels")) is not None


def test_a_lease_holds_to_its_last_microsecond_and_not_when_the_clock_stepped_back(
    database: Database, feed: int, clock: MovableClock
) -> None:
    assert isinstance(begin(database, feed), FetchJob)
    clock.at_us += (SETTINGS.upstream_seconds + 5) * 1_000_000 - 1
    assert begin(database, feed) is None
    clock.at_us += 1
    assert isinstance(begin(database, feed), FetchJob)
    clock.advance(-1)
    assert isinstance(begin(database, feed), FetchJob)


def test_labels_that_were_synced_once_are_told_of_when_another_process_takes_too_long(
    database: Database, feed: int, clock: MovableClock
) -> None:
    synced = begin(database, feed)
    assert isinstance(synced, FetchJob)
    publish(database, feed, synced, LABELS)
    clock.advance(60)
    assert isinstance(begin(database, feed), FetchJob)

    async def story(source: Source) -> None:
        outcome = await flights(database, source, wait_seconds=0.0).sync(feed, ORG)
        assert outcome == SyncOutcome(clock() - 60_000_000, 0, done=False)
        with pytest.raises(Unavailable):
            await flights(database, source, wait_seconds=0.0).sync(feed, ORG, force=True)

    assert play(story).asked == 0


def test_labels_that_were_never_synced_are_unavailable_when_another_process_takes_too_long(
    database: Database, feed: int
) -> None:
    assert isinstance(begin(database, feed), FetchJob)

    async def story(source: Source) -> None:
        with pytest.raises(Unavailable) as refusal:
            await flights(database, source, wait_seconds=0.0).sync(feed, ORG)
        assert refusal.value.retry_after_seconds == 1

    assert play(story).asked == 0


def test_waits_double_up_to_the_longest_and_are_spread_over_their_second_half(
    database: Database, feed: int, clock: MovableClock
) -> None:
    waits = []
    for chance in (0.0, 1.0, 0.5, 1.0, 1.0, 1.0):
        job = begin(database, feed, force=True)
        assert isinstance(job, FetchJob)

        def fail(tx: Transaction, job: FetchJob = job, chance: float = chance) -> None:
            sync_rules.fail(tx, job, SETTINGS, chance)

        database.write_now(fail)
        waits.append(((state(database).tracked.retry_us or 0) - clock()) / 1_000_000)
    assert waits == [4, 16, 24, 64, 100, 100]


def test_an_organisation_that_is_not_tracked_is_not_found(database: Database, feed: int) -> None:
    database.write_now(lambda tx: queries.remove(tx, ORG))

    async def story(source: Source) -> None:
        with pytest.raises(NotFound):
            await flights(database, source).sync(feed, ORG)

    assert play(story).asked == 0


def begin(database: Database, feed: int, *, force: bool = False) -> SyncOutcome | FetchJob | None:
    return database.write_now(lambda tx: sync_rules.begin(tx, feed, ORG, SETTINGS, force=force))


def publish(database: Database, feed: int, job: FetchJob, labels: dict[str, str]) -> SyncOutcome | None:
    return database.write_now(lambda tx: sync_rules.publish(tx, feed, job, labels, None))

"""Single flight: any number of callers that want an organisation's labels synced at once share one fetch.

Callers in this process join the sync under way; other processes find its lease in the database and wait for it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import Unavailable, UpstreamFailed
from headwater.base.log import get_log
from headwater.base.rate import Rate
from headwater.base.settings.table import TerminologySettings
from headwater.contracts.terminology import rules, sync_rules
from headwater.contracts.terminology.sync_rules import FetchJob, SyncOutcome
from headwater.contracts.terminology.upstream import Fetch
from headwater.store.database import Database, Transaction

WAIT_SECONDS = 10.0
"""The time that a sync waits for another process's fetch before it answers with the stored labels."""

_LOOK_SECONDS = 0.1
_FORCED_PER_SECOND = 1
_FORCED_AT_ONCE = 30
log = get_log(__name__)


class Flights:
    """The syncs under way in this process, at most one for each organisation.

    ``chance`` returns a number from 0 to 1, by which waits after a failure are spread.
    """

    def __init__(
        self,
        database: Database,
        settings: TerminologySettings,
        fetch: Fetch,
        *,
        chance: Callable[[], float] = random.random,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._database = database
        self._settings = settings
        self._fetch = fetch
        self._chance = chance
        self._wait_seconds = wait_seconds
        self._under_way: dict[str, asyncio.Task[SyncOutcome]] = {}
        self._forced = Rate(_FORCED_PER_SECOND, _FORCED_AT_ONCE)

    async def sync(self, feed: int, organisation: str, *, force: bool = False) -> SyncOutcome:
        """Brings an organisation's labels up to date, alone or with the sync under way; ``force`` even fresh ones.

        Raises: NotFound (not tracked), UpstreamFailed (nothing was changed), Unavailable (another process takes
        too long), TooManyRequests (forced too often).
        """
        while True:
            task = self._under_way.get(organisation)
            began = task is None
            if task is None:
                if force:
                    self._forced.spend(organisation, monotonic_seconds())
                task = self._start(feed, organisation, force=force)
            # One caller that disconnects must not end the fetch for all others.
            outcome = await asyncio.shield(task)
            if outcome.done or began or not force:
                return outcome

    def _start(self, feed: int, organisation: str, *, force: bool) -> asyncio.Task[SyncOutcome]:
        task = asyncio.get_running_loop().create_task(self._carry_out(feed, organisation, force=force))
        self._under_way[organisation] = task

        def ended(task: asyncio.Task[SyncOutcome]) -> None:
            del self._under_way[organisation]
            if not task.cancelled():
                # Its callers may all have disconnected; then no other code would read its failure.
                task.exception()

        task.add_done_callback(ended)
        return task

    async def _carry_out(self, feed: int, organisation: str, *, force: bool) -> SyncOutcome:
        began_seconds = monotonic_seconds()

        def begin(tx: Transaction) -> SyncOutcome | FetchJob | None:
            return sync_rules.begin(tx, feed, organisation, self._settings, force=force)

        while True:
            outcome = await self._database.write(begin, feed=feed)
            if isinstance(outcome, FetchJob):
                outcome = await self._fetch_and_publish(feed, outcome)
            passed_seconds = monotonic_seconds() - began_seconds
            if outcome is not None:
                return outcome._replace(duration_ms=round(passed_seconds * 1000))
            if passed_seconds >= self._wait_seconds:
                return await self._present(organisation, force=force)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _fetch_and_publish(self, feed: int, job: FetchJob) -> SyncOutcome | None:
        try:
            fetched = await self._fetch(job.source, job.location, job.etag)
        except UpstreamFailed as failure:
            raise await self._noted(feed, job, failure) from None
        return await self._database.write(
            lambda tx: sync_rules.publish(tx, feed, job, fetched.labels, fetched.etag), feed=feed
        )

    async def _noted(self, feed: int, job: FetchJob, failure: UpstreamFailed) -> UpstreamFailed:
        """The failure with the time until the next try, after it is written to the record."""
        chance = self._chance()
        tracked = await self._database.write(
            lambda tx: (sync_rules.fail(tx, job, self._settings, chance), tx.now_us), feed=feed
        )
        record, now_us = tracked
        reason = str(failure.extra.get("reason", ""))
        attempt = 0 if record is None else record.failures
        log.warning("terminology_source_failed", organisation_id=job.organisation, reason=reason, attempt=attempt)
        if record is not None and record.retry_us is not None:
            failure.retry_after_seconds = sync_rules.seconds_up(record.retry_us - now_us)
        return failure

    async def _present(self, organisation: str, *, force: bool) -> SyncOutcome:
        """The last sync, while another process is still fetching. Raises: Unavailable without one."""
        state = await self._database.read(lambda tx: rules.find(tx, organisation))
        if force or state.tracked.last_sync_us is None:
            raise Unavailable("another sync of these labels is still under way", retry_after_seconds=1)
        return SyncOutcome(state.tracked.last_sync_us, 0, done=False)

"""The decisions of one sync: the lease to fetch, what is published, and how long a failed source rests.

A fetch is covered by a lease in the tracking record, so that of many server processes one fetches; its result is
published only while the record still holds that lease. Times are microseconds UTC since 1970.
"""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.base.errors import UpstreamFailed
from headwater.base.ids import random_id
from headwater.base.settings.table import TerminologySettings
from headwater.contracts.terminology import label_rules, label_sets, queries, rules
from headwater.contracts.terminology.label_sets import Labels
from headwater.contracts.terminology.queries import OWN, LabelSource, Tracked
from headwater.store.database import Transaction

_LEASE_MARGIN_SECONDS = 5
"""The time that a lease adds to the longest fetch, for publishing its result."""


class SyncOutcome(NamedTuple):
    """The outcome of a sync: the time of the last one, the labels that changed, and ``done`` when this one did it."""

    synced_us: int
    updated_keys: int
    done: bool
    duration_ms: int = 0


class FetchJob(NamedTuple):
    """A fetch under a lease; ``etag`` is the source's tag of the published set, if it sent one."""

    organisation: str
    lease: str
    source: str
    location: str
    etag: str | None


def begin(
    tx: Transaction, feed: int, organisation: str, settings: TerminologySettings, *, force: bool
) -> SyncOutcome | FetchJob | None:
    """Starts a sync: the outcome when no fetch is needed, a job, or None while another process fetches.

    Labels that are stored here, or shipped, are published at once. Raises: NotFound, UpstreamFailed (the source failed
    lately and rests; ``force`` fetches all the same).
    """
    state = rules.find(tx, organisation)
    tracked = state.tracked
    if not force:
        if not rules.staleness_of(state, tx.now_us).is_stale:
            return SyncOutcome(tracked.last_sync_us or 0, 0, done=False)
        require_rested(tracked, tx.now_us, settings)
    kept = queries.kept(tx, organisation)
    if kept.source == OWN:
        labels = label_sets.shipped() if kept.own is None else label_sets.from_json(kept.own)
        return _complete(tx, feed, tracked, kept, labels)
    if _is_leased(tracked, tx.now_us, settings):
        return None
    lease = random_id("lease")
    until_us = tx.now_us + _lease_us(settings)
    queries.keep_attempt(tx, tracked._replace(lease=lease, lease_until_us=until_us))
    return FetchJob(organisation, lease, kept.source, kept.location, kept.etag)


def publish(tx: Transaction, feed: int, job: FetchJob, labels: Labels | None, etag: str | None) -> SyncOutcome | None:
    """Publishes the labels that a job fetched (None: its source reports no change).

    None when the lease was lost: it ran out and another process took it, or a source was named meanwhile.
    Raises: NotFound (no longer tracked).
    """
    tracked = rules.find(tx, job.organisation).tracked
    if tracked.lease != job.lease:
        return None
    kept = queries.kept(tx, job.organisation)
    if labels is None:
        return _complete(tx, feed, tracked, kept, None)
    return _complete(tx, feed, tracked, kept._replace(etag=etag), labels)


def fail(tx: Transaction, job: FetchJob, settings: TerminologySettings, chance: float) -> Tracked | None:
    """Notes that a job's source failed, and the time until which it rests; None when the lease was lost.

    ``chance`` (0 to 1) spreads the waits of many organisations over the second half of the time.
    """
    state = queries.state(tx, job.organisation)
    if state is None or state.tracked.lease != job.lease:
        return None
    tracked = state.tracked
    longest_seconds = min(settings.retry_max_seconds, settings.retry_base_seconds * 2 ** min(tracked.failures, 30))
    wait_us = round(longest_seconds * SECOND_US * (0.5 + chance / 2))
    failed = _released(tracked)._replace(failures=tracked.failures + 1, retry_us=tx.now_us + wait_us)
    queries.keep_attempt(tx, failed)
    return failed


def require_rested(tracked: Tracked, now_us: int, settings: TerminologySettings) -> None:
    """Requires that a source did not fail lately. Raises: UpstreamFailed with the time until the next try."""
    left_us = 0 if tracked.retry_us is None else tracked.retry_us - now_us
    # A wait longer than any that is ever set means that the clock stepped back.
    if 0 < left_us <= settings.retry_max_seconds * SECOND_US:
        raise UpstreamFailed(
            "the source of these labels failed lately, and is left alone for a while",
            retry_after_seconds=seconds_up(left_us),
            extra={"reason": "left_alone"},
        )


def seconds_up(time_us: int) -> int:
    """A time in whole seconds, rounded up."""
    return -(-time_us // SECOND_US)


def _complete(tx: Transaction, feed: int, tracked: Tracked, kept: LabelSource, labels: Labels | None) -> SyncOutcome:
    """Publishes a set (None: the present one stays), and notes the sync."""
    updated, changed = (0, kept) if labels is None else label_rules.publish(tx, feed, kept, labels)
    if changed != queries.kept(tx, tracked.organisation):
        queries.keep(tx, changed)
    version = rules.source_version(kept.source, kept.version, has_own=kept.own is not None)
    queries.keep_record(
        tx,
        _released(tracked)._replace(
            last_sync_us=tx.now_us,
            synced_version=version,
            failures=0,
            retry_us=None,
            updated_us=max(tx.at_us, tracked.updated_us),
        ),
    )
    return SyncOutcome(tx.now_us, updated, done=True)


def _released(tracked: Tracked) -> Tracked:
    return tracked._replace(lease=None, lease_until_us=None)


def _is_leased(tracked: Tracked, now_us: int, settings: TerminologySettings) -> bool:
    """True while a process fetches; a lease that ends later than any can means that the clock stepped back."""
    until_us = tracked.lease_until_us
    return until_us is not None and now_us < until_us <= now_us + _lease_us(settings)


def _lease_us(settings: TerminologySettings) -> int:
    return (settings.upstream_seconds + _LEASE_MARGIN_SECONDS) * SECOND_US

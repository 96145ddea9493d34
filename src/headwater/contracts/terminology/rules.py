"""The decisions about tracking: when labels are stale, and how a record is created, changed and removed.

Times are microseconds UTC since 1970.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import UNSET

from headwater.base.clock import SECOND_US
from headwater.base.errors import FieldError, Invalid, NotFound, StateConflict
from headwater.contracts.terminology import label_sets, queries
from headwater.contracts.terminology.queries import OWN, State
from headwater.contracts.terminology.shapes import SyncRecordChange
from headwater.store.database import Transaction


class StalenessTimes(NamedTuple):
    """The staleness of labels: the time at which they fall due (None: never synced), and since when (None: fresh)."""

    is_stale: bool
    due_us: int | None
    since_us: int | None


def staleness_of(state: State, now_us: int) -> StalenessTimes:
    """The state of a record at an instant.

    Stale: never synced; from last sync + TTL on; while the clock is before the last sync; as soon as the
    source is known to hold another version than the one published. Source: readings, section 5.1.
    """
    tracked = state.tracked
    last_us = tracked.last_sync_us
    if last_us is None or now_us < last_us:
        # A sync that lies in the future proves that a clock was wrong, not that the labels are fresh.
        return StalenessTimes(True, None, tracked.created_us)
    due_us = last_us + tracked.ttl_seconds * SECOND_US
    if source_version(state.source, state.version, has_own=state.has_own) != tracked.synced_version:
        due_us = min(due_us, max(last_us, min(state.changed_us, now_us)))
    is_stale = now_us >= due_us
    return StalenessTimes(is_stale, due_us, due_us if is_stale else None)


def source_version(source: str, version: int, *, has_own: bool) -> str:
    """The version of a source's state; the shipped labels change with the release."""
    if source == OWN and not has_own:
        return f"{version}/{label_sets.shipped_version()}"
    return str(version)


def find(tx: Transaction, organisation: str) -> State:
    """An organisation's tracking record. Raises: NotFound."""
    found = queries.state(tx, organisation)
    if found is None:
        raise NotFound(f"no sync record for organisation {organisation!r}")
    return found


def create(tx: Transaction, organisation: str, ttl_seconds: int) -> State:
    """Begins to track an organisation. Raises: StateConflict when it is tracked already."""
    if not queries.add(tx, organisation, ttl_seconds):
        raise StateConflict(f"organisation {organisation!r} has a sync record already")
    return find(tx, organisation)


def change(tx: Transaction, feed: int, organisation: str, fields: SyncRecordChange) -> State:
    """Changes the time to live, or forgets the last sync. Raises: NotFound, Invalid (nothing to change)."""
    tracked = find(tx, organisation).tracked
    if fields.ttl_seconds is UNSET and fields.last_sync_at is UNSET:
        detail = "give ttl_seconds, or last_sync_at as null"
        raise Invalid(detail, fields=(FieldError("ttl_seconds", "missing", detail),))
    tracked = tracked._replace(updated_us=max(tx.at_us, tracked.updated_us))
    if fields.ttl_seconds is not UNSET:
        tracked = tracked._replace(ttl_seconds=fields.ttl_seconds)
    if fields.last_sync_at is not UNSET:
        tracked = tracked._replace(last_sync_us=None, synced_version=None)
    queries.keep_record(tx, tracked)
    queries.wake(tx, feed)
    return find(tx, organisation)


def remove(tx: Transaction, feed: int, organisation: str) -> None:
    """Stops tracking an organisation; its labels stay. Raises: NotFound."""
    find(tx, organisation)
    queries.remove(tx, organisation)
    queries.wake(tx, feed)

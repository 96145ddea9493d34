"""For any record and any instant: stale exactly when the contract's readings say so, and the times that follow."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from headwater.contracts.terminology.queries import State, Tracked
from headwater.contracts.terminology.rules import source_version, staleness_of

SECOND_US = 1_000_000
INSTANTS = st.integers(0, 200) | st.integers(0, 4_102_444_800).map(lambda second: second * SECOND_US)
TTLS = st.integers(1, 3) | st.integers(1, 2_592_000)


def state(ttl_seconds: int, last_us: int | None, created_us: int, newer: bool, changed_us: int) -> State:
    published = source_version("own", 7, has_own=True)
    synced = None if last_us is None else ("6" if newer else published)
    tracked = Tracked("org_a", ttl_seconds, last_us, synced, 1, 0, None, None, None, created_us, created_us)
    return State(tracked, "own", 7, changed_us, has_own=True)


@given(now_us=INSTANTS, ttl=TTLS, last_us=INSTANTS | st.none(), created_us=INSTANTS, newer=st.booleans(), at=INSTANTS)
@example(now_us=60 * SECOND_US, ttl=60, last_us=0, created_us=0, newer=False, at=0)
@example(now_us=60 * SECOND_US - 1, ttl=60, last_us=0, created_us=0, newer=False, at=0)
@example(now_us=9, ttl=60, last_us=10, created_us=0, newer=False, at=0)
@example(now_us=10, ttl=60, last_us=10, created_us=0, newer=False, at=0)
def test_labels_are_stale_exactly_when_the_readings_say_so(
    now_us: int, ttl: int, last_us: int | None, created_us: int, newer: bool, at: int
) -> None:
    found = staleness_of(state(ttl, last_us, created_us, newer, at), now_us)
    never_synced = last_us is None
    stepped_back = last_us is not None and now_us < last_us
    run_out = last_us is not None and now_us >= last_us + ttl * SECOND_US
    assert found.is_stale == (never_synced or stepped_back or run_out or newer)
    assert (found.since_us is None) == (not found.is_stale)
    if last_us is None or now_us < last_us:
        assert (found.due_us, found.since_us) == (None, created_us)
        return
    assert found.due_us is not None
    assert last_us <= found.due_us <= last_us + ttl * SECOND_US
    assert found.is_stale == (now_us >= found.due_us)
    if not newer:
        assert found.due_us == last_us + ttl * SECOND_US
    if found.is_stale:
        assert found.since_us == found.due_us <= now_us


@given(ttl=TTLS, last_us=INSTANTS, now_us=INSTANTS, later_us=st.integers(0, 10**13))
def test_labels_that_are_stale_stay_so_until_the_next_sync_as_long_as_time_goes_on(
    ttl: int, last_us: int, now_us: int, later_us: int
) -> None:
    record = state(ttl, last_us, 0, newer=False, changed_us=0)
    if now_us >= last_us and staleness_of(record, now_us).is_stale:
        assert staleness_of(record, now_us + later_us).is_stale
    assert not staleness_of(record, last_us).is_stale

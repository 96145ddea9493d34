"""Rates by key, with the time given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base import rate as rate_module
from headwater.base.errors import TooManyRequests
from headwater.base.rate import Rate


def refused(rate: Rate, key: str, at_seconds: float) -> int | None:
    """After how many seconds to come again; None when it was let through."""
    try:
        rate.spend(key, at_seconds)
    except TooManyRequests as failure:
        return failure.retry_after_seconds
    return None


def test_a_burst_passes_and_then_the_rate() -> None:
    rate = Rate(2, 3)
    assert [refused(rate, "a", 0.0) for _ in range(4)] == [None, None, None, 1]
    assert refused(rate, "a", 0.5) is None
    assert refused(rate, "a", 0.5) == 1


def test_each_key_has_its_own_bucket() -> None:
    rate = Rate(1, 1)
    assert refused(rate, "a", 0.0) is None
    assert refused(rate, "b", 0.0) is None
    assert refused(rate, "a", 0.0) == 1


def test_a_pause_refills_no_more_than_the_burst() -> None:
    rate = Rate(1, 2)
    assert [refused(rate, "a", 1e9) for _ in range(3)] == [None, None, 1]


@given(st.lists(st.floats(0, 5), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_never_more_pass_than_burst_and_rate_allow(gaps: list[float], per_second: int, burst: int) -> None:
    rate, now, passed = Rate(per_second, burst), 0.0, 0
    for gap in gaps:
        now += gap
        passed += refused(rate, "a", now) is None
    assert passed <= burst + now * per_second + 1e-6


@given(st.integers(1, 50), st.integers(1, 5))
def test_who_waits_as_long_as_told_is_let_through(per_second: int, burst: int) -> None:
    rate = Rate(per_second, burst)
    now = 0.0
    for _ in range(3 * burst):
        wait_seconds = refused(rate, "a", now)
        if wait_seconds is not None:
            now += wait_seconds
            assert refused(rate, "a", now) is None


def test_keys_that_come_and_go_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_module, "_MAX_KEYS", 10)
    rate = Rate(1, 5)
    for number in range(1000):
        rate.spend(str(number), float(number))
        assert len(rate._buckets) <= 10
    for number in range(1000):
        rate.spend(str(number), 1000.0)
        assert len(rate._buckets) <= 10


def test_a_flood_of_new_keys_makes_no_key_forgotten_that_has_spent_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_module, "_MAX_KEYS", 10)
    rate = Rate(1, 5)
    while refused(rate, "greedy", 0.0) is None:
        pass
    for number in range(100):
        rate.spend(str(number), 0.0)
    assert refused(rate, "greedy", 0.0) is not None

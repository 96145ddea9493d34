"""Requests in flight, and those that wait for news."""

from __future__ import annotations

import pytest

from headwater.base.errors import Unavailable
from headwater.web.limits import InFlight


def test_over_the_limit_a_request_is_refused_until_one_leaves() -> None:
    flying = InFlight(2, 1)
    flying.enter()
    flying.enter()
    with pytest.raises(Unavailable):
        flying.enter()
    flying.leave()
    flying.enter()


def test_who_waits_stands_aside_and_comes_back() -> None:
    flying = InFlight(1, 1)
    flying.enter()
    with flying.counted_as_waiting():
        assert (flying.count, flying.waiting) == (0, 1)
        flying.enter()
        with pytest.raises(Unavailable), flying.counted_as_waiting():
            pass
    assert (flying.count, flying.waiting) == (2, 0)
    with pytest.raises(ZeroDivisionError), flying.counted_as_waiting():
        raise ZeroDivisionError
    assert (flying.count, flying.waiting) == (2, 0)

"""Limits that keep one caller from taking everything: rates by token and by address, and requests in flight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from headwater.base.errors import TooManyRequests, Unavailable

_MAX_KEYS = 100_000


class Rate:
    """Token buckets: each key may do ``per_second`` on average and ``burst`` at once."""

    def __init__(self, per_second: int, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._buckets: dict[str, tuple[float, float]] = {}

    def spend(self, key: str, at_seconds: float) -> None:
        """Take one from the key's bucket. Raises: TooManyRequests with the time until the next one."""
        left, since = self._buckets.get(key, (self._burst, at_seconds))
        left = min(self._burst, left + (at_seconds - since) * self._per_second)
        if left < 1.0:
            wait_seconds = max(1, ceil((1.0 - left) / self._per_second))
            raise TooManyRequests("the rate limit of this caller is used up", retry_after_seconds=wait_seconds)
        if len(self._buckets) >= _MAX_KEYS:
            self._forget(at_seconds)
        self._buckets[key] = (left - 1.0, at_seconds)

    def _forget(self, at_seconds: float) -> None:
        """Drop full buckets; when an attacker fills the table with live ones, drop them all."""
        full_after_seconds = self._burst / self._per_second
        self._buckets = {
            key: (left, since)
            for key, (left, since) in self._buckets.items()
            if at_seconds - since < full_after_seconds
        }
        if len(self._buckets) >= _MAX_KEYS:
            self._buckets.clear()


class InFlight:
    """Counts the requests that are being answered; over the limit new ones are refused at once.

    A request that only waits for news (a long poll) is counted apart, with its own limit: thousands of them cost
    little, and they must not keep others out.
    """

    def __init__(self, limit: int, waiting_limit: int) -> None:
        self.limit = limit
        self.waiting_limit = waiting_limit
        self.count = 0
        self.waiting = 0

    def enter(self) -> None:
        """Count one more. Raises: Unavailable when the limit is reached."""
        if self.count >= self.limit:
            raise Unavailable("the server is answering as many requests as it may", retry_after_seconds=1)
        self.count += 1

    def leave(self) -> None:
        """Count one less."""
        self.count -= 1

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Stand aside while waiting for news. Raises: Unavailable when too many wait."""
        if self.waiting >= self.waiting_limit:
            raise Unavailable("as many requests wait for news as may", retry_after_seconds=5)
        self.waiting += 1
        self.count -= 1
        try:
            yield
        finally:
            self.waiting -= 1
            self.count += 1

"""Rate limits by key, such as a token or an address."""

from __future__ import annotations

from math import ceil

from headwater.base.errors import TooManyRequests

_MAX_KEYS = 100_000


class Rate:
    """Token buckets: each key may spend ``per_second`` tokens on average and ``burst`` at once."""

    def __init__(self, per_second: int, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._buckets: dict[str, tuple[float, float]] = {}

    def spend(self, key: str, at_seconds: float) -> None:
        """Removes one token from the key's bucket. Raises: TooManyRequests with the time until the next token."""
        left, since = self._buckets.get(key, (self._burst, at_seconds))
        left = min(self._burst, left + (at_seconds - since) * self._per_second)
        if left < 1.0:
            wait_seconds = max(1, ceil((1.0 - left) / self._per_second))
            raise TooManyRequests("the rate limit of this caller is used up", retry_after_seconds=wait_seconds)
        if len(self._buckets) >= _MAX_KEYS:
            self._forget(at_seconds)
        self._buckets[key] = (left - 1.0, at_seconds)

    def _forget(self, at_seconds: float) -> None:
        """Removes full buckets; when an attacker fills the table with others, removes the half that spent least.

        So a flood of new keys makes no key forgotten that has spent much.
        """
        full_after_seconds = self._burst / self._per_second
        self._buckets = {
            key: (left, since)
            for key, (left, since) in self._buckets.items()
            if at_seconds - since < full_after_seconds
        }
        if len(self._buckets) >= _MAX_KEYS:
            by_spending = sorted(self._buckets.items(), key=lambda item: item[1][0])
            self._buckets = dict(by_spending[: _MAX_KEYS // 2])

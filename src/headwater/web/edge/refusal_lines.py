"""Bounds the log lines of refused requests, so that no caller fills the log."""

from __future__ import annotations

from headwater.base.errors import TooManyRequests
from headwater.base.rate import Rate

_PER_SECOND = 1
_AT_ONCE = 20
_ALL_PER_SECOND = 20
_ALL_AT_ONCE = 200


class RefusalLines:
    """Admits a line for a refusal, or counts it; the next line that is admitted states how many were left out."""

    def __init__(self) -> None:
        self._each = Rate(_PER_SECOND, _AT_ONCE)
        self._all = Rate(_ALL_PER_SECOND, _ALL_AT_ONCE)
        self._left_out = 0

    def admit(self, address: str, status: int, at_seconds: float) -> int | None:
        """Returns the number of lines left out since the last one; None when this line is left out as well."""
        try:
            self._each.spend(f"{address} {status}", at_seconds)
            self._all.spend("", at_seconds)
        except TooManyRequests:
            self._left_out += 1
            return None
        left_out, self._left_out = self._left_out, 0
        return left_out

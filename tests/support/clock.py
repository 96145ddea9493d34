"""A clock that a test moves; it is what the server and its database read."""

from __future__ import annotations

from datetime import UTC, datetime

SECOND_US = 1_000_000
START_US = int(datetime(2026, 3, 26, 11, 25, tzinfo=UTC).timestamp()) * SECOND_US
"""Where each test's time begins: the contracts' own examples stand on that day."""


class MovableClock:
    """Calling it gives microseconds UTC since 1970; it stands still until a test moves it."""

    def __init__(self, at_us: int = START_US) -> None:
        self.at_us = at_us

    def __call__(self) -> int:
        return self.at_us

    def advance(self, seconds: float) -> None:
        """Move by a number of seconds; a negative one steps back."""
        self.at_us += round(seconds * SECOND_US)

    def set(self, text: str) -> None:
        """Move to an RFC 3339 instant."""
        self.at_us = int(datetime.fromisoformat(text).timestamp() * SECOND_US)

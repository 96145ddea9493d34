"""The limit of requests in flight, so that one caller does not take everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater.base.errors import Unavailable


class InFlight:
    """Counts the requests that are being answered; over the limit new ones are refused at once.

    A request that only waits for changes (a long poll) is counted apart, with its own limit: thousands of them cost
    little, and they must not block others.
    """

    def __init__(self, limit: int, waiting_limit: int) -> None:
        self.limit = limit
        self.waiting_limit = waiting_limit
        self.count = 0
        self.waiting = 0

    def enter(self) -> None:
        """Counts one more. Raises: Unavailable when the limit is reached."""
        if self.count >= self.limit:
            raise Unavailable("the server is answering as many requests as it may", retry_after_seconds=1)
        self.count += 1

    def leave(self) -> None:
        """Counts one less."""
        self.count -= 1

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Counts the request as waiting while it waits for changes. Raises: Unavailable when too many wait."""
        if self.waiting >= self.waiting_limit:
            raise Unavailable("as many requests wait for news as may", retry_after_seconds=5)
        self.waiting += 1
        self.count -= 1
        try:
            yield
        finally:
            self.waiting -= 1
            self.count += 1

"""The limit of requests in flight, which protects the server from single callers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater.base.errors import Unavailable


class InFlight:
    """Counts the requests in flight; over the limit new ones are refused at once.

    A long poll is counted separately while it waits, with its own limit: thousands of them cost little, and they
    must not use up the limit of other requests.
    """

    def __init__(self, limit: int, waiting_limit: int) -> None:
        self.limit = limit
        self.waiting_limit = waiting_limit
        self.count = 0
        self.waiting = 0

    def enter(self) -> None:
        """Counts one more request. Raises: Unavailable when the limit is reached."""
        if self.count >= self.limit:
            raise Unavailable("the server is answering as many requests as its limit allows", retry_after_seconds=1)
        self.count += 1

    def leave(self) -> None:
        """Counts one request less."""
        self.count -= 1

    @contextmanager
    def counted_as_waiting(self) -> Iterator[None]:
        """Counts a request as waiting instead of in flight, inside the context. Raises: Unavailable over the limit."""
        if self.waiting >= self.waiting_limit:
            raise Unavailable("as many requests wait for changes as the limit allows", retry_after_seconds=5)
        self.waiting += 1
        self.count -= 1
        try:
            yield
        finally:
            self.waiting -= 1
            self.count += 1

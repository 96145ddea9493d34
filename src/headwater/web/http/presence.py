"""The presence of a caller: its connection, as long as it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

_STATE = "presence"
LOOK_SECONDS = 2.0
"""How often the system is asked for the end of a connection that is not read."""


class Presence:
    """Reports that a caller's connection ended.

    A connection whose body is not read yet does not notice its end by itself: ``look`` asks the system. ``cut`` ends
    the connection at once, with all that its caller has not read.
    """

    __slots__ = ("_gone", "_listeners", "_look", "cut")

    def __init__(self, look: Callable[[], bool], cut: Callable[[], None] = lambda: None) -> None:
        self.cut = cut
        self._look = look
        self._gone = False
        self._listeners: set[Callable[[], None]] = set()

    def is_gone(self) -> bool:
        """True when the connection has ended."""
        return self._gone or self._look()

    def end(self) -> None:
        """Reports the end of the connection to those who wait with it."""
        self._gone = True
        for listener in list(self._listeners):
            listener()

    @contextmanager
    def ends(self, scope: asyncio.Timeout, look_seconds: float = LOOK_SECONDS) -> Generator[None]:
        """A context in which the end of the connection ends a timeout's scope.

        It is noticed at once, and in ``look_seconds`` where the connection is not read: with a body that its handler
        has not read yet, or with another request behind this one.
        """
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []

        def listener() -> None:
            cut_short(scope)

        def look() -> None:
            if self.is_gone():
                listener()
            else:
                timers[:] = [loop.call_later(look_seconds, look)]

        self._listeners.add(listener)
        look()
        try:
            yield
        finally:
            self._listeners.discard(listener)
            for timer in timers:
                timer.cancel()


def cut_short(scope: asyncio.Timeout) -> None:
    """Ends a timeout's scope, unless it is ending already."""
    with suppress(RuntimeError):
        # An instant of the loop's clock that has long passed.
        scope.reschedule(0.0)


def presence_of(scope: Mapping[str, Any]) -> Presence | None:
    """Returns the presence that the connection put into an ASGI scope; None where there is no connection."""
    found = scope.get("state", {}).get(_STATE)
    return found if isinstance(found, Presence) else None


def put(scope: Mapping[str, Any], presence: Presence) -> None:
    """Puts the presence of a connection into an ASGI scope."""
    scope["state"][_STATE] = presence

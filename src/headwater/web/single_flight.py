"""Computes a result once for all callers that ask for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Computations under way, by key; at most ``at_once`` of them run at the same time."""

    def __init__(self, at_once: int) -> None:
        self._running: dict[Hashable, asyncio.Task[Result]] = {}
        self._gate = asyncio.Semaphore(at_once)

    async def result(self, key: Hashable, compute: Callable[[], Awaitable[Result]]) -> Result:
        """The result for a key: that of the computation under way, else of a new one.

        A caller that leaves ends it for no other caller. Raises: the errors of ``compute``, to every caller.
        """
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.ensure_future(self._run(compute))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    async def _run(self, compute: Callable[[], Awaitable[Result]]) -> Result:
        async with self._gate:
            return await compute()

    def _forget(self, key: Hashable, done: asyncio.Task[Result]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            # Read, so that asyncio does not report the failure of a computation that every caller has left.
            done.exception()

"""An event loop on a thread of its own, so that plain test functions can drive async code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

WAIT_SECONDS = 60.0
"""How long a test waits for an answer before it fails; no assertion rests on it."""


class LoopThread:
    """Runs coroutines; the server lives on this loop for as long as the test."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test-loop", daemon=True)
        self._thread.start()

    def run(self, function: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine."""
        return self.start(function).result(WAIT_SECONDS)

    def start(self, function: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine; ``.result()`` waits for it."""
        return asyncio.run_coroutine_threadsafe(function, self.loop)

    def close(self) -> None:
        """End whatever still runs, then the loop."""
        self.run(_end_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()

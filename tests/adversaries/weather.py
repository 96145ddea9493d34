"""The weather of both storms: bursts of work at once with a kill amid, restarts, and a clock that steps."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from time import sleep

from tests.adversaries.storm import Storm

DAY_SECONDS = 86_400


class Weather:
    """A storm's server, its dice, and what has happened to it so far."""

    def __init__(self, storm: Storm, seed: int) -> None:
        self.storm = storm
        self.rng = random.Random(seed)
        self.events: Counter[str] = Counter()
        self._failures: list[BaseException] = []
        self._offset_seconds = 0

    def at_once(self, works: Sequence[Callable[[], None]], *, kills: bool, most_seconds: float) -> None:
        """Runs works on threads of their own; a kill may strike amid. Raises the first failure of any."""
        threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        if kills:
            sleep(self.rng.uniform(0.02, most_seconds))
            self.storm.kill()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def step(self, seconds: int) -> None:
        """Moves the server's clock."""
        self._offset_seconds += seconds
        self.storm.step_clock(self._offset_seconds)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - the main thread raises it
            self._failures.append(failure)

    def _kill(self) -> None:
        self.storm.kill()

    def _restart(self) -> None:
        self.storm.restart()

    def _clock_back(self) -> None:
        self.step(-self.rng.choice([7200, DAY_SECONDS // 2]))

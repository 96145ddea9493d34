"""The storm over all record doors: what happens when, and when the devices are compared."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from tests.adversaries.records import LOST, History, Model, Poller, Replica, SellDevice, Snapshot, judge
from tests.adversaries.storm import Storm
from tests.adversaries.weather import DAY_SECONDS, Weather
from tests.adversaries.writers import Writer
from tests.support.server.wire import Wire

SETTINGS = (
    "feed.compact_every_seconds=1",
    f"feed.retention_seconds={2 * DAY_SECONDS}",
    f"feed.retention_min_seconds={DAY_SECONDS}",
    "limits.rate_token_per_second=100000",
    "limits.rate_token_burst=100000",
)
LOSING = 0.25
"""The share of pages and acks that a device loses."""


@dataclass
class Report:
    """What a storm did."""

    events: Counter[str]
    writes: int
    records: int


class RecordStorm(Weather):
    """Writers, replicas and sell devices against one server."""

    def __init__(self, storm: Storm, seed: int, *, writers: int = 3, devices: int = 2) -> None:
        super().__init__(storm, seed)
        self.model = Model()
        self.history = History()
        self.writers = [Writer(f"w{number}", seed, self.model, self.history) for number in range(writers)]
        self.replicas = [Replica(self.history) for _ in range(devices)]
        self.sells = [SellDevice(self.history, f"phone {number}") for number in range(devices)]
        self.poller = Poller()
        self._writes = 0
        self._saved: tuple[str, Snapshot] | None = None

    def run(self, rounds: int) -> Report:
        """Bursts of writes and reads with an event amid or after each, and a comparison after every third."""
        weather: list[Callable[[], None]] = [
            self._kill, self._kill, self._restart, self._clock_back, self._compaction, self._backup, self._restore,
            self._clear_cache,
        ]  # fmt: skip
        records = 0
        for number in range(rounds):
            event = weather[number % len(weather)] if number < len(weather) else self.rng.choice(weather)
            self._burst(kills=event == self._kill)
            self._settle()
            event()
            self.events[event.__name__.strip("_")] += 1
            if number % 3 == 2:
                records = self._judge()
        self._settle()
        return Report(self.events, self._writes, self._judge() or records)

    def _burst(self, *, kills: bool) -> None:
        """Writers and devices at once for a moment; a kill may strike amid."""
        ends = monotonic() + self.rng.uniform(0.15, 0.5)
        self.at_once([partial(self._repeated, work, ends) for work in self._work()], kills=kills, most_seconds=0.2)

    def _work(self) -> list[Callable[[Wire], object]]:
        def follows(step: Callable[[Wire, random.Random, float], bool]) -> Callable[[Wire], object]:
            rng = random.Random(self.rng.random())
            return lambda wire: step(wire, rng, LOSING)

        steps = [*(replica.pull for replica in self.replicas), *(device.sync for device in self.sells)]
        return [*(self._counted(writer) for writer in self.writers), *map(follows, steps)]

    def _counted(self, writer: Writer) -> Callable[[Wire], None]:
        def act(wire: Wire) -> None:
            writer.act(wire)
            self._writes += 1

        return act

    def _repeated(self, work: Callable[[Wire], object], ends: float) -> None:
        """Does a work again and again until the moment is over, or until the server is killed."""
        with suppress(*LOST), self.storm.wire() as wire:
            while monotonic() < ends:
                work(wire)

    def _settle(self) -> None:
        """Every writer learns what became of its last request."""
        with self.storm.wire() as wire:
            for writer in self.writers:
                writer.act(wire)

    def _judge(self) -> int:
        with self.storm.wire() as wire:
            return judge(wire, self.rng, self.model, self.replicas, self.sells, self.poller)

    def _compaction(self) -> None:
        """Time passes until every tombstone is old and every kept answer has expired, and the jobs have their turns."""
        self.model.erased.clear()
        for writer in self.writers:
            writer.forget_keys()
        self.step(3 * DAY_SECONDS)
        sleep(1.6)

    def _backup(self) -> None:
        self._judge()
        name = f"backup {self.events['backup']}"
        self.storm.backup(name)
        self._saved = (name, Snapshot.of(self.model))

    def _restore(self) -> None:
        if self._saved is None:
            return
        name, snapshot = self._saved
        self.storm.restore(name)
        self.poller = Poller()
        self.model = Snapshot.of(snapshot.model).model
        # Kept answers may have expired since the backup.
        self.model.erased.clear()
        for writer in self.writers:
            writer.model = self.model
            writer.give_up()
            # A restore makes a new admin token, and a key belongs to its token.
            writer.forget_keys()

    def _clear_cache(self) -> None:
        with self.storm.wire() as wire:
            syncs = wire.get("/api/v1/cache/sync?limit=1")["data"]
            if not syncs:
                return
            assert wire.call("DELETE", f"/api/v1/cache/sync/{syncs[0]['id']}").status == 200
        for kind, id in list(self.model.may):
            if kind != "contact":
                self.model.settle((kind, id), None, acknowledged=True)


def play(folder: Path, seed: int, rounds: int, *plants: str, database: str = "") -> Report:
    """Runs a storm over a fresh server; ``database`` is a PostgreSQL URL, empty for SQLite."""
    with Storm(folder, plants, SETTINGS, database) as storm:
        return RecordStorm(storm, seed).run(rounds)

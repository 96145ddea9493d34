"""A sell device's ack state as sets against the plain table "highest revision acked": bytes and time.

Run by hand: ``python -m benchmarks.acks_state [RESOURCES]`` (at 100,000: some 700 MB of temporary disk).

Each of the two has an SQLite file of its own, opened as the server opens its own but with ``synchronous = OFF``:
the fsync of a commit is the same for both and would hide the rest. Both receive parsed keys and commit each ack.
Times are CPU time, medians, sampled in turns on the same devices. The plain table has its best case: it
accepts every key, while the sets look up each position in the feed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

from headwater.contracts.sell.ack_keys import AckKey, device_seed, parse_key, render_key
from headwater.contracts.sell.acks import AckState, LiveRow, acknowledge, offer
from headwater.store.sqlite.database import connect

TYPE = "contact"
PAGE = 100
MANY_GAPS = 50


class Feed:
    """One organisation's freshest-only feed in a file of its own, with the state of its devices."""

    schema = ""
    table = ""

    def __init__(self, folder: Path, resources: int) -> None:
        self.path = folder / f"{self.table}.db"
        self.connection = connect(str(self.path), synchronous="OFF")
        self.head = self.resources = resources
        self.connection.execute(
            "CREATE TABLE changes (position INTEGER PRIMARY KEY, sell_type TEXT, number INTEGER, deleted INTEGER);"
            "CREATE INDEX changes_by_number ON changes (sell_type, number);" + self.schema
        )
        rows = ((n, TYPE, n, 0) for n in range(1, resources + 1))
        with self.connection:
            self.connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?)", rows)

    def touch(self, numbers: Iterable[int]) -> list[AckKey]:
        """Changes these resources, so that each gets a new position; returns the keys of a drain."""
        keys = []
        with self.connection:
            for number in numbers:
                self.head += 1
                self.connection.execute(
                    "UPDATE changes SET position = ? WHERE sell_type = ? AND number = ?",
                    (self.head, TYPE, number),
                )
                keys.append(AckKey(TYPE, number, self.head, False))
        return keys

    def stored_bytes(self) -> int:
        """The bytes of the devices' state, without the slack of its pages."""
        found = self.connection.execute("SELECT sum(payload) FROM dbstat WHERE name = ?", (self.table,))
        return int(str(found.get))

    def wal_bytes(self) -> int:
        """The size of the write-ahead log."""
        return Path(f"{self.path}-wal").stat().st_size

    def checkpoint(self) -> None:
        """Empties the write-ahead log."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get  # noqa: B018 (reading runs it)


class Design(Protocol):
    """The operations that both designs have for a device."""

    def preset(self, device: int, numbers: list[int]) -> None:
        """Creates a device that acked these resources at their first position."""

    def ack(self, device: int, keys: list[AckKey]) -> None:
        """Stores one ack and commits it."""

    def start(self, device: int) -> int:
        """Finds all resources that are owed; returns their number."""


class Plain(Feed):
    """A row for each device and resource: the highest revision acked."""

    table = "acked"
    schema = (
        "CREATE TABLE acked (device INTEGER, sell_type TEXT, number INTEGER, revision INTEGER,"
        " PRIMARY KEY (device, sell_type, number)) WITHOUT ROWID"
    )

    def preset(self, device: int, numbers: list[int]) -> None:
        """Creates a device that acked these resources at their first position."""
        with self.connection:
            self.connection.executemany(
                "INSERT INTO acked VALUES (?, ?, ?, ?)", ((device, TYPE, n, n) for n in numbers)
            )

    def ack(self, device: int, keys: list[AckKey]) -> None:
        """Stores one ack and commits it."""
        with self.connection:
            self.connection.executemany(
                "INSERT INTO acked VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET revision = max(revision, excluded.revision)",
                ((device, key.sell_type, key.number, key.position) for key in keys),
            )

    def start(self, device: int) -> int:
        """Finds all resources that are owed; returns their number."""
        found = self.connection.execute(
            "SELECT c.position FROM changes c LEFT JOIN acked a ON a.device = ? AND a.sell_type = c.sell_type"
            " AND a.number = c.number WHERE c.position > coalesce(a.revision, 0) ORDER BY c.position",
            (device,),
        )
        return len(found.fetchall())


class Sets(Feed):
    """One row for each device: its positions done and its numbers acked."""

    table = "ack_states"
    schema = "CREATE TABLE ack_states (device INTEGER PRIMARY KEY, state BLOB)"

    def preset(self, device: int, numbers: list[int]) -> None:
        """Creates a device that acked these resources at their first position."""
        state = AckState().add_positions(numbers).add_offered(TYPE, range(1, self.resources + 1))
        self._write(device, state.add_numbers(TYPE, numbers))

    def ack(self, device: int, keys: list[AckKey]) -> None:
        """Stores one ack and commits it."""
        with self.connection:
            found = self.connection.execute(
                "SELECT position, sell_type, number, deleted FROM changes"
                " WHERE position IN (SELECT value FROM json_each(?))",
                (str([key.position for key in keys]),),
            )
            live = {position: rest for position, *rest in found}
            self._write(device, acknowledge(self._read(device), keys, self.head, live.get))

    def start(self, device: int) -> int:
        """Finds all resources that are owed; returns their number."""
        with self.connection:
            before = self._read(device)
            gaps = list(before.gaps(self.head))
            if len(gaps) > MANY_GAPS:
                gaps = [(gaps[0][0], gaps[-1][1])]
            rows = (row for gap in gaps for row in self._rows(*gap))
            positions, after, _ = offer(before, rows, self.head, [TYPE])
            if after is not before:
                self._write(device, after)
        return len(positions)

    def _read(self, device: int) -> AckState:
        found = self.connection.execute("SELECT state FROM ack_states WHERE device = ?", (device,)).fetchone()
        return AckState() if found is None else AckState.from_bytes(bytes(found[0]))

    def _write(self, device: int, state: AckState) -> None:
        self.connection.execute("INSERT OR REPLACE INTO ack_states VALUES (?, ?)", (device, state.to_bytes()))

    def _rows(self, lo: int, hi: int) -> Iterable[LiveRow]:
        return self.connection.execute("SELECT * FROM changes WHERE position BETWEEN ? AND ?", (lo, hi))


class Pair:
    """Both designs in the same state."""

    def __init__(self, folder: Path, resources: int, devices: int, share: float) -> None:
        folder.mkdir()
        self.plain, self.sets = Plain(folder, resources), Sets(folder, resources)
        self.devices = list(range(1, devices + 1))
        chance = random.Random(7)
        self.few = chance.sample(self.devices, min(devices, 10))
        self.unacked: dict[int, list[int]] = {}
        everything = range(1, resources + 1)
        for device in self.devices:
            acked = list(everything) if share == 1 else sorted(chance.sample(everything, int(resources * share)))
            self.plain.preset(device, acked)
            self.sets.preset(device, acked)
            if device in self.few:
                self.unacked[device] = sorted(set(everything) - set(acked))
        self.checkpoint()

    def checkpoint(self) -> None:
        """Empties both logs, so that no sample pays for another."""
        self.plain.checkpoint()
        self.sets.checkpoint()

    def touch(self, numbers: list[int]) -> list[AckKey]:
        """Changes the same resources in both."""
        self.plain.touch(numbers)
        return self.sets.touch(numbers)

    def measure(self, calls: list[Callable[[Design], object]]) -> Figures:
        """Median microseconds and mean log bytes of these calls, in turns on both, which must agree."""
        taken: dict[Feed, list[float]] = {self.plain: [], self.sets: []}
        self.checkpoint()
        logged = self.plain.wal_bytes(), self.sets.wal_bytes()
        for turn, call in enumerate(calls):
            results = []
            for design in (self.plain, self.sets) if turn % 2 else (self.sets, self.plain):
                begun = time.process_time()
                results.append(call(design))
                taken[design].append((time.process_time() - begun) * 1e6)
            assert results[0] == results[1], results
        return Figures(
            median(taken[self.plain]),
            median(taken[self.sets]),
            (self.plain.wal_bytes() - logged[0]) / len(calls),
            (self.sets.wal_bytes() - logged[1]) / len(calls),
        )


class Figures(NamedTuple):
    """The cost of one kind of call in each design."""

    plain_us: float
    sets_us: float
    plain_log_bytes: float
    sets_log_bytes: float


def acking(device: int, keys: list[AckKey]) -> Callable[[Design], object]:
    """The call that acks these keys for this device."""
    return lambda design: design.ack(device, keys)


def starting(device: int) -> Callable[[Design], object]:
    """The call that starts a session for this device."""
    return lambda design: design.start(device)


def line(name: str, plain: float, sets: float) -> None:
    """One row of the table."""
    print(f"| {name} | {plain:,.0f} | {sets:,.0f} | {plain / sets:,.2f} |")


def lines(name: str, figures: Figures) -> None:
    """The rows of one kind of ack: time, and bytes that the commit wrote."""
    line(f"{name}, µs", figures.plain_us, figures.sets_us)
    line(f"{name}, bytes logged", figures.plain_log_bytes, figures.sets_log_bytes)


def measure_all_acked(folder: Path, resources: int, devices: int) -> None:
    """Measures devices that acked everything, then a hundred changes, then a new device."""
    pair = Pair(folder, resources, devices, share=1)
    line("all acked: bytes a device", pair.plain.stored_bytes() / devices, pair.sets.stored_bytes() / devices)
    chance = random.Random(11)
    line("start, nothing new, µs", *pair.measure([starting(device) for device in pair.few * 3])[:2])
    acks, starts = [], []
    for _ in range(max(1, 50 // devices)):
        keys = pair.touch(chance.sample(range(1, resources + 1), PAGE))
        starts.append(pair.measure([starting(device) for device in pair.few]))
        acks.append(pair.measure([acking(device, keys) for device in pair.devices]))
    line("start, 100 changed, µs", *(median(figures[i] for figures in starts) for i in (0, 1)))
    lines("ack of 100 changed", Figures(*(median(column) for column in zip(*acks, strict=True))))
    new = devices + 1
    line("first start, µs", *pair.measure([starting(new)])[:2])
    found = pair.sets.connection.execute("SELECT number, position FROM changes ORDER BY position")
    keys = [AckKey(TYPE, number, position, False) for number, position in found]
    pages = [keys[at : at + PAGE] for at in range(0, len(keys), PAGE)]
    lines("ack of 100 in a first drain", pair.measure([acking(new, page) for page in pages]))


def measure_half_acked(folder: Path, resources: int, devices: int) -> None:
    """Measures devices that acked a random half: the sets' worst case."""
    pair = Pair(folder, resources, devices, share=0.5)
    line("random half: bytes a device", pair.plain.stored_bytes() / devices, pair.sets.stored_bytes() / devices)
    chance = random.Random(13)
    calls = []
    for device in chance.choices(pair.few, k=50):
        numbers = chance.sample(pair.unacked[device], PAGE)
        calls.append(acking(device, [AckKey(TYPE, number, number, False) for number in numbers]))
    lines("random half: ack of 100", pair.measure(calls))
    line("random half: start, µs", *pair.measure([starting(device) for device in pair.few])[:2])


def measure_keys() -> None:
    """Measures the cost of a page's keys."""
    seed = device_seed("epoch", "org_hlf", "phone")
    numbers = range(12_000, 12_000 + 20_000)
    begun = time.process_time()
    texts = [render_key(TYPE, number, number + 7, False, seed) for number in numbers]
    rendered = time.process_time()
    assert all(parse_key(text, seed) for text in texts)
    parsed = time.process_time()
    pages = len(texts) / PAGE
    print(f"100 keys rendered: {(rendered - begun) / pages * 1e6:.0f} µs; ", end="")
    print(f"100 keys read: {(parsed - rendered) / pages * 1e6:.0f} µs")


def main() -> None:
    """Prints the table."""
    resources = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for devices in (1, 100):
        print(f"\n| {resources:,} resources, {devices} devices | plain table | sets | plain : sets |")
        print("| --- | ---: | ---: | ---: |")
        with tempfile.TemporaryDirectory() as folder:
            measure_all_acked(Path(folder) / "all", resources, devices)
            measure_half_acked(Path(folder) / "half", resources, devices)
    print()
    measure_keys()


if __name__ == "__main__":
    main()

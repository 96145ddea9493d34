"""The storm over one share: devices that edit at once and lose pages, through kills, restores and compaction.

The devices are the honest clients of ``tests.support.replica``; the model is what they were told: one tree for all,
and every acknowledged content in some version of some file.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import sleep
from urllib.parse import quote

from tests.adversaries.records import demand
from tests.adversaries.storm import Storm
from tests.adversaries.weather import DAY_SECONDS, Weather
from tests.scenarios.test_real_tree import STRATEGIES, listed, readable, restore_all, settle
from tests.support.replica import Editor, Follower, Nodes, Tree, shared_taste
from tests.support.server.stubborn import Stubborn
from tests.support.server.wire import packed

SETTINGS = (
    "feed.compact_every_seconds=1",
    f"feed.retention_seconds={2 * DAY_SECONDS}",
    f"feed.retention_min_seconds={DAY_SECONDS}",
    "files.gc_every_seconds=2",
    "files.gc_grace_seconds=60",
    "limits.rate_token_per_second=100000",
    "limits.rate_token_burst=100000",
)
LOSING = 0.2
FILES = 60


@dataclass
class LosingFollower(Follower):
    """A follower that loses pages, and that lists the share anew when its cursor has ended."""

    rng: random.Random = field(default_factory=random.Random)
    losing: float = 0.0
    resets: Counter[str] = field(default_factory=Counter)
    _listing: Nodes | None = None

    def pull(self, limit: int = 1000) -> bool:
        answer = self.wire.call(
            "GET", f"/api/v1/sync/changes?share_id={self.share}&cursor={quote(self.cursor)}&limit={limit}"
        )
        if answer.status == 400:
            problem = answer.json()
            demand(problem["code"] == "SYNC_CURSOR_INVALID", "a cursor is refused by its code", problem)
            demand(problem["reason"] in ("expired", "restored"), "an own cursor ends for a reason", problem)
            self.resets[problem["reason"]] += 1
            self.cursor, self._listing = "0", Nodes()
            return False
        demand(answer.status == 200, "the changes are read", answer.status, answer.body)
        page = answer.json()
        if self.rng.random() < self.losing:
            return False
        present = self.nodes
        if self._listing is not None:
            self.nodes = self._listing
        for change in page["changes"]:
            self.fold(change)
        self.cursor = page["cursor"]
        if self._listing is not None:
            if page["has_more"]:
                self.nodes = present
            else:
                self._listing = None
        return not page["has_more"]

    def pull_all(self, limit: int = 1000) -> LosingFollower:
        super().pull_all(limit)
        return self


@dataclass
class FileReport:
    """What a storm did."""

    events: Counter[str]
    outcomes: int
    contents: int
    resets: Counter[str]


class FileStorm(Weather):
    """Devices that edit one share."""

    def __init__(self, storm: Storm, seed: int, wires: ExitStack, devices: int = 3) -> None:
        super().__init__(storm, seed)
        self.wire = wires.enter_context(Stubborn(lambda: storm.server))
        self.share = str(self.wire.call("POST", "/api/v1/shares", {"name": "Storm"}).json()["id"])
        self._first = self._fill()
        hot = shared_taste(Follower(self.wire, self.share).pull_all().nodes, self.rng)
        self.editors: list[Editor] = []
        for number in range(devices):
            name, rng = f"device {number}", random.Random(f"{seed} {number}")
            made = self.wire.call("POST", "/api/v1/sync/devices", {"device_id": name, "platform": "linux"})
            assert made.status == 201, made.body
            follower = LosingFollower(
                wires.enter_context(Stubborn(lambda: storm.server)), self.share, rng=rng, losing=LOSING
            )
            self.editors.append(Editor(follower, name, rng, hot))
            self.editors[-1].catch_up()
        self._saved: tuple[str, list[dict[str, set[tuple[str | None, str]]]]] | None = None

    def _fill(self) -> set[str]:
        files = [
            ({"path": f"/folder {number % 12}/{'inner/' * (number % 3)}file {number}"}, self.rng.randbytes(number * 7))
            for number in range(FILES)
        ]
        answer = self.wire.send("POST", f"/api/v1/uploads/packed?share_id={self.share}", packed(files))
        assert answer.status == 200, answer.body
        return {row[0] for row in Follower(self.wire, self.share).pull_all().nodes.tree().values()}

    def run(self, rounds: int) -> FileReport:
        """Bursts of edits with an event amid or after each, and a comparison after each; all bytes at the end."""
        weather: list[Callable[[], None]] = [
            self._kill, self._backup, self._compaction, self._restart, self._clock_back, self._restore, self._kill
        ]  # fmt: skip
        for number in range(rounds):
            event = weather[number % len(weather)] if number < len(weather) else self.rng.choice(weather)
            self._burst(kills=event == self._kill)
            event()
            self.events[event.__name__.strip("_")] += 1
            self._agree()
        contents = self._judge_bytes()
        outcomes = sum(sum(editor.outcomes.values()) for editor in self.editors)
        resets: Counter[str] = Counter()
        for editor in self.editors:
            assert isinstance(editor.follower, LosingFollower)
            resets += editor.follower.resets
        return FileReport(self.events, outcomes, contents, resets)

    def _burst(self, *, kills: bool) -> None:
        self.at_once([partial(self._edit, editor) for editor in self.editors], kills=kills, most_seconds=0.25)

    def _edit(self, editor: Editor) -> None:
        for _ in range(3):
            editor.send(editor.batch(8), editor.rng.choice(STRATEGIES))
            editor.send(editor.batch(2), editor.rng.choice(STRATEGIES), atomic=True)
            if editor.rng.random() < 0.6:
                editor.catch_up()
            else:
                editor.lag()

    def _agree(self) -> Tree:
        """Every device, a newcomer, and the server's own listing have one tree."""
        tree = Follower(self.wire, self.share).pull_all(self.rng.choice([7, 300])).nodes.tree()
        for editor in self.editors:
            mine = editor.follower.pull_all().nodes.tree()
            demand(mine == tree, "a device equals a newcomer", editor.device, _difference(mine, tree))
            editor.catch_up()
        there = listed(self.wire, self.share)
        demand(there == tree, "the listing equals the feed", _difference(there, tree))
        return tree

    def _judge_bytes(self) -> int:
        """Every content that was acknowledged is in some version; returns their number."""
        touched = settle(self.wire, self.share, self.rng, self._agree())
        restore_all(self.wire, self.share)
        tree = self._agree()
        touched |= {row[0] for row in tree.values() if row[0] not in self._first}
        touched |= {file for editor in self.editors for file in editor.touched}
        there = readable(self.wire, tree, self.share, touched)
        somewhere = set(there.values())
        for editor in self.editors:
            for digest, places in editor.acknowledged.items():
                demand(digest in somewhere, "an acknowledged content is kept", editor.device, digest, places)
                for file, version in places:
                    at = file is None or there.get((file, version)) == digest
                    demand(at, "an acknowledged version holds its content", file, version)
        return len(somewhere)

    def _compaction(self) -> None:
        """Time passes until the log is old and unused content has had its grace, and the jobs have their turns."""
        self.step(3 * DAY_SECONDS)
        sleep(2.5)

    def _backup(self) -> None:
        name = f"backup {self.events['backup']}"
        self._agree()
        self.storm.backup(name)
        self._saved = (name, [deepcopy(editor.acknowledged) for editor in self.editors])

    def _restore(self) -> None:
        if self._saved is None:
            return
        name, acknowledged = self._saved
        self.storm.restore(name)
        for editor, known in zip(self.editors, acknowledged, strict=True):
            editor.acknowledged = deepcopy(known)
            editor.touched = set(editor.touched)


def _difference(one: Tree, other: Tree) -> object:
    return [(path, one.get(path), other.get(path)) for path in one.keys() | other.keys()
            if one.get(path) != other.get(path)][:5]  # fmt: skip


def play(folder: Path, seed: int, rounds: int, *plants: str, database: str = "") -> FileReport:
    """Runs a storm over a fresh server; ``database`` is a PostgreSQL URL, empty for SQLite."""
    with Storm(folder, plants, SETTINGS, database) as storm, ExitStack() as wires:
        return FileStorm(storm, seed, wires).run(rounds)

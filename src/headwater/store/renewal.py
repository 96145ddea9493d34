"""Raises every sequence of an installation after a restore, so that nothing is given out twice.

``SEQUENCES`` names them all. The gap is decided by the state that the restore replaces, where it can be read and
continues the backup: then it shows exactly what was given out. Otherwise the gap is generous.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from headwater.store.database import CLOCK, MOST_STEP_US, Row, Transaction
from headwater.store.log import feeds, lost
from headwater.store.log.lost import LostNumbers

EPOCH_BYTES = 6
"""Length of an epoch, as ``meta`` stores it."""

ReadRows = Callable[[str], list[Row]]
"""Returns the rows of a statement without parameters."""

POSITIONS_PER_SECOND = 100
"""Changes of one feed that a server is assumed to have written in each second since the backup."""

LEAST_POSITIONS, MOST_POSITIONS = 1 << 22, 1 << 28
"""Bounds of a gap in positions; beyond the upper one the sets of sell devices would grow too large."""

ASSUMED_NUMBERS = 1_000
"""Integers of a kind that are assumed to have been given out after a backup, where the replaced state is unknown."""

SEQUENCES: Mapping[str, int] = {
    "head": LEAST_POSITIONS,
    "number:": 1_000_000,
    "conflicts": 1_000_000,
    "ids:": 1_000_000,
    "mint:feed": 10_000,
    "mint:place:": 1_000,
}
"""The counters that give out integers, by name or by prefix with a colon; the gap when nothing is known."""

OTHER_COUNTERS = (
    "live:",
    "bytes",
    "compacted",
    "relist",
    "base:",
    "place:",
    "identity",
    "clock",
    "gc_due_us",
    "gc_finished_us",
)
"""The counters that count, mark or fix something: none of their values is given out. ``times`` continues the clock."""

_VERSION_GAP = 1_000
_EDITION_GAP = 1_000_000
_VERSION = "number:version"
_OF_ORGANISATIONS = ("head", "number:contact", "number:note", "conflicts")
_OF_SHARES = ("head", "number:node", "number:conflict")
_HELD = ("contact", "note", "node")
_COUNTERS = "SELECT f.name, c.name, c.value FROM counters c JOIN feeds f ON f.feed = c.feed"
_SERVER = "SELECT name, value FROM counters WHERE feed = 0"
_VERSIONS = "SELECT f.name, max(v.number) FROM versions v JOIN feeds f ON f.feed = v.feed GROUP BY f.name"
_EDITIONS = "SELECT organisation, max(edition) FROM terminology_syncs GROUP BY organisation"
_LABELS = "SELECT organisation, max(version) FROM terminology_labels GROUP BY organisation"
_STATES = "SELECT f.name, s.device_id, s.state, {} FROM sell_devices s JOIN feeds f ON f.feed = s.feed"
_LOST_STATES = "SELECT f.name, s.device_id, s.state FROM sell_lost_states s JOIN feeds f ON f.feed = s.feed"
_LOST_NUMBERS = (
    "SELECT f.name, l.name, l.first, l.given, l.last FROM lost_numbers l JOIN feeds f ON f.feed = l.feed"
    " ORDER BY f.name, l.name, l.first"
)
_SET = (
    "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?) ON CONFLICT (feed, name) DO UPDATE SET"
    " value = excluded.value"
)


class SellState(NamedTuple):
    """The stored state of a sell device; ``is_exact`` when the device holds what it names and nothing more."""

    feed: str
    device_id: str
    state: bytes
    is_exact: bool


class Issued(NamedTuple):
    """The integers that an installation has given out: by feed and counter, and its facts."""

    meta: dict[str, bytes]
    feeds: dict[str, dict[str, int]]
    server: dict[str, int]
    versions: dict[str, int]
    editions: dict[str, int]
    labels: dict[str, int]
    lost_numbers: dict[tuple[str, str], list[LostNumbers]]
    sell: list[SellState]


class Renewal(NamedTuple):
    """The result of raising the sequences: ``is_exact`` when the replaced state showed what was given out."""

    is_exact: bool
    lost_positions: int


def is_sequence(counter: str) -> bool:
    """True for a counter that gives out integers."""
    return _gap(counter) is not None


def issued(rows: ReadRows) -> Issued:
    """Returns what an installation has given out, from a database of this or an earlier schema."""
    steps = {row[0] for row in rows("SELECT name FROM schema_steps")}
    by_feed: dict[str, dict[str, int]] = {row[0]: {} for row in rows("SELECT name FROM feeds")}
    for feed, name, value in rows(_COUNTERS):
        by_feed[feed][name] = value
    knows_restores = "0057_restores.sql" in steps
    states = rows(_STATES.format("s.restored" if knows_restores else "0"))
    sell = [SellState(row[0], row[1], bytes(row[2]), not row[3]) for row in states]
    lost_numbers: dict[tuple[str, str], list[LostNumbers]] = {}
    if knows_restores:
        sell += [SellState(row[0], row[1], bytes(row[2]), False) for row in rows(_LOST_STATES)]
        for feed, kind, *ended in rows(_LOST_NUMBERS):
            lost_numbers.setdefault((feed, kind), []).append(LostNumbers(*ended))
    return Issued(
        {row[0]: bytes(row[1]) for row in rows("SELECT name, value FROM meta")},
        by_feed,
        dict(rows(_SERVER)),
        dict(rows(_VERSIONS)),
        dict(rows(_EDITIONS)),
        dict(rows(_LABELS)),
        lost_numbers,
        sell,
    )


def continues(before: Issued, own: Issued) -> bool:
    """True when a state is what became of the backup: the same key, its epoch or a later one, and no feed behind.

    The sequences of a later epoch are above all that its past epochs gave out.
    """
    epochs = before.meta.get("past_epochs", b"") + before.meta.get("epoch", b"")
    known = {epochs[at : at + EPOCH_BYTES] for at in range(0, len(epochs), EPOCH_BYTES)}
    return own.meta.get("epoch") in known and all(
        before.feeds.get(feed, {}).get("head", -1) >= counters.get("head", 0) for feed, counters in own.feeds.items()
    )


def renew(tx: Transaction, own: Issued, before: Issued | None, age_seconds: int) -> Renewal:
    """Raises every sequence above what was given out; ``before`` is the state that the restore replaces.

    ``age_seconds`` is the age of the backup, which decides the gap where that state is unknown. A state of another
    installation shows nothing.
    """
    if before is not None and before.meta.get("cursor_key") != own.meta.get("cursor_key"):
        before = None
    raising = _Raising(tx, own, before, age_seconds)
    raising.server()
    positions = sum(raising.feed(row[0], row[1]) for row in tx.rows("SELECT feed, name FROM feeds ORDER BY feed"))
    raising.times()
    raising.editions()
    raising.lost_feeds()
    raising.sell_devices()
    return Renewal(raising.is_exact, positions)


class _Raising:
    """One renewal: the restored state, the replaced one, and the transaction that writes."""

    def __init__(self, tx: Transaction, own: Issued, before: Issued | None, age_seconds: int) -> None:
        self._tx = tx
        self._own = own
        self._before = before
        self._age_seconds = max(0, age_seconds)
        self.is_exact = before is not None and continues(before, own)

    def server(self) -> None:
        """Raises the sequences of the server itself."""
        known = self._before.server if self._before else {}
        for name in {*self._own.server, *known, "mint:feed"}:
            if is_sequence(name):
                reached = max(self._own.server.get(name, 0), known.get(name, 0))
                self._tx.run(_SET, 0, name, reached + self._extra(name))

    def feed(self, feed: int, name: str) -> int:
        """Raises the sequences of a feed; returns the number of positions that are lost."""
        own = self._own.feeds[name]
        known = self._before.feeds.get(name, {}) if self._before else {}
        own_kinds = _OF_ORGANISATIONS if name.startswith("org:") else _OF_SHARES
        ids = [counter.replace("place:", "ids:", 1) for counter in own if counter.startswith("place:")]
        for counter in sorted({*own, *known, *own_kinds, *ids} - {_VERSION, "head"}):
            if is_sequence(counter):
                last = max(own.get(counter, 0), known.get(counter, 0)) + self._extra(counter)
                self._tx.run(_SET, feed, counter, last)
                if counter.removeprefix("number:") in _HELD:
                    self._lose_numbers(feed, name, counter, last)
        self._raise_versions(feed, name)
        first = own.get("head", 0) + 1
        last = max(own.get("head", 0), known.get("head", 0)) + self._extra("head")
        self._tx.run(_SET, feed, "head", last)
        lost.lose(self._tx, feed, first, last)
        # Every older position is answered as one of before the restore, also a bare one, which has no epoch.
        feeds.raise_floor(self._tx, feed, last)
        return last - first + 1

    def times(self) -> None:
        """Continues the times of records: the next one is not before the last one of either state."""
        states = [self._own] if self._before is None else [self._own, self._before]
        given_us = [counters.get(CLOCK, 0) for state in states for counters in (state.server, *state.feeds.values())]
        # A time more than a day ahead is of a clock that stood wrong, and would hide the others.
        last_us = max((at_us for at_us in given_us if at_us - self._tx.now_us <= MOST_STEP_US), default=0)
        if last_us:
            # The backup may be of the other kind of database, which has one such counter, or one for each feed.
            for feed in (0, *(row[0] for row in self._tx.rows("SELECT feed FROM feeds ORDER BY feed"))):
                self._tx.run(_SET, feed, CLOCK, last_us)

    def editions(self) -> None:
        """Raises the numbers behind the tags of terminology."""
        for table, column, own, known in (
            ("terminology_syncs", "edition", self._own.editions, self._before.editions if self._before else {}),
            ("terminology_labels", "version", self._own.labels, self._before.labels if self._before else {}),
        ):
            extra = 1 if self.is_exact else _EDITION_GAP
            for organisation, value in own.items():
                self._tx.run(
                    f"UPDATE {table} SET {column} = ? WHERE organisation = ?",
                    max(value, known.get(organisation, 0)) + extra, organisation,
                )  # fmt: skip

    def lost_feeds(self) -> None:
        """Notes the sequences of organisations that exist no more, for the day when they are created again."""
        removed: dict[str, dict[str, int]] = {}
        if self._before is not None:
            removed = {name: self._before.feeds[name] for name in self._before.feeds.keys() - self._own.feeds.keys()}
        if not self.is_exact:
            removed[""] = dict.fromkeys(_OF_ORGANISATIONS, 0)
        for name, counters in removed.items():
            if name.startswith("share:"):
                continue
            for counter, value in counters.items():
                if is_sequence(counter) and not counter.startswith("ids:"):
                    self._tx.run(
                        "INSERT INTO lost_feeds (name, counter, value) VALUES (?, ?, ?)"
                        " ON CONFLICT (name, counter) DO UPDATE SET value = excluded.value",
                        name, counter, value + self._extra(counter),
                    )  # fmt: skip

    def sell_devices(self) -> None:
        """Notes what each sell device may hold: its state in the backup, and the one that is replaced."""
        self._tx.run("UPDATE sell_devices SET restored = 1")
        numbers = {row[1]: row[0] for row in self._tx.rows("SELECT feed, name FROM feeds")}
        for found in self._before.sell if self._before else ():
            feed = numbers.get(found.feed)
            if feed is None:
                continue
            last = "SELECT coalesce(max(place), 0) FROM sell_lost_states WHERE feed = ? AND device_id = ?"
            self._tx.run(
                "INSERT INTO sell_lost_states (feed, device_id, place, state, is_exact) VALUES (?, ?, ?, ?, ?)",
                feed, found.device_id, self._tx.value(last, feed, found.device_id) + 1, found.state,
                int(found.is_exact and self.is_exact),
            )  # fmt: skip

    def _lose_numbers(self, feed: int, name: str, counter: str, last: int) -> None:
        """Notes which integers above the backup's were given out; those that earlier restores skipped were not."""
        kind, first = counter.removeprefix("number:"), self._own.feeds[name].get(counter, 0) + 1
        for ended in self._before.lost_numbers.get((name, kind), []) if self._before else []:
            if ended.first >= first:
                if ended.first > first:
                    lost.lose_numbers(self._tx, feed, kind, LostNumbers(first, ended.first - 1, ended.first - 1))
                lost.lose_numbers(self._tx, feed, kind, ended)
                first = ended.last + 1
        reached = last - self._extra(counter)
        given_upto = reached if self.is_exact else reached + ASSUMED_NUMBERS
        lost.lose_numbers(self._tx, feed, kind, LostNumbers(first, given_upto, last))

    def _raise_versions(self, feed: int, name: str) -> None:
        """Notes the number below which no file of the share gets a version any more."""
        if not name.startswith("share:"):
            return
        reached = max(self._own.versions.get(name, 0), self._own.feeds[name].get(_VERSION, 0))
        if self._before is not None:
            known = self._before.feeds.get(name, {}).get(_VERSION, 0)
            reached = max(reached, self._before.versions.get(name, 0), known)
        self._tx.run(_SET, feed, _VERSION, reached + (0 if self.is_exact else _VERSION_GAP))

    def _extra(self, counter: str) -> int:
        """The gap above the last integer that is known to have been given out."""
        if self.is_exact:
            return 1 if counter == "head" else 0
        if counter == "head":
            return min(MOST_POSITIONS, LEAST_POSITIONS + self._age_seconds * POSITIONS_PER_SECOND)
        return _gap(counter) or 0


def _gap(counter: str) -> int | None:
    return SEQUENCES.get(counter) or next(
        (gap for name, gap in SEQUENCES.items() if name.endswith(":") and counter.startswith(name)), None
    )

"""A black-box adversary of the record doors: writers, devices that lose pages, and a model of its own.

It knows the contracts and nothing of the server. Every write carries a mark that is used once, so that a record's
state is one text, and the model is the set of marks that each record may show: one after an acknowledged write, two
after a write whose answer was lost. Devices follow by the record feed and by sell; at the end each must hold what a
newcomer gets, and that must be what the model allows.
"""

from __future__ import annotations

import http.client
import random
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.server.wire import Reply, Wire

ORGANISATION = "default"
Record = tuple[str, str]
"""Kind and id."""

MARKS = {"contact": "phone", "cached_contact": "name", "note": "content"}
"""The field that holds a record's mark."""

LOST = (OSError, http.client.HTTPException)


class Violation(AssertionError):
    """A promise that the server broke."""


def demand(holds: bool, promise: str, *facts: object) -> None:
    """Raises Violation unless the promise holds."""
    if not holds:
        raise Violation(f"{promise}: {', '.join(map(repr, facts))}")


@dataclass
class Model:
    """What each record may show; None stands for a record that is not there."""

    may: dict[Record, set[str | None]] = field(default_factory=dict)
    erased: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Deleted contacts that were made with a key: id to the request."""

    def marks(self, record: Record) -> set[str | None]:
        """The marks that a record may show."""
        return self.may.get(record, {None})

    def living(self, kind: str) -> list[str]:
        """The ids of the records of a kind that are surely there."""
        return sorted(id for (its_kind, id), marks in self.may.items() if its_kind == kind and None not in marks)

    def settle(self, record: Record, mark: str | None, *, acknowledged: bool) -> None:
        """Notes a write: acknowledged, or perhaps done."""
        self.may[record] = {mark} if acknowledged else self.marks(record) | {mark}


@dataclass
class History:
    """What any device ever saw; nothing may be given out twice."""

    revisions: dict[tuple[str, str, int], str | None] = field(default_factory=dict)
    numbers: dict[tuple[str, int], str] = field(default_factory=dict)
    times: dict[Record, str] = field(default_factory=dict)
    minted: set[str] = field(default_factory=set)

    def saw_revision(self, kind: str, id: str, revision: int, mark: str | None) -> None:
        """A revision of a record shows one state, for ever."""
        before = self.revisions.setdefault((kind, id, revision), mark)
        demand(before == mark, "a revision is given out once", kind, id, revision, before, mark)

    def saw_number(self, sell_type: str, number: int, id: str) -> None:
        """An integer names one record, for ever."""
        before = self.numbers.setdefault((sell_type, number), id)
        demand(before == id, "an integer is given out once", sell_type, number, before, id)

    def saw_minted(self, id: str) -> None:
        """An id that the server chose is new."""
        demand(id not in self.minted, "an id is given out once", id)
        self.minted.add(id)

    def saw_time(self, record: Record, updated_at: str) -> None:
        """A record's time never falls."""
        before = self.times.get(record, "")
        demand(updated_at >= before, "updated_at never falls", record, before, updated_at)
        self.times[record] = updated_at


class Held(NamedTuple):
    """A record as a replica holds it."""

    revision: int
    mark: str | None


@dataclass
class Replica:
    """A device of the record feed; it loses pages, and then asks for them again."""

    history: History
    cursor: str | None = None
    held: dict[Record, Held] = field(default_factory=dict)
    resets: list[str] = field(default_factory=list)
    _listing: dict[Record, Held] = field(default_factory=dict)
    _lists: bool = True

    def pull(self, wire: Wire, rng: random.Random, losing: float) -> bool:
        """Takes a page, or loses it; True at the head."""
        limit = rng.choice([1, 3, 20, 1000])
        query = f"?limit={limit}" + ("" if self.cursor is None else f"&cursor={self.cursor}")
        answer = wire.call("GET", f"/api/v1/feed{query}")
        if answer.status == 400:
            problem = answer.json()
            demand(problem["code"] == "SYNC_CURSOR_INVALID", "a cursor is refused by its code", problem)
            demand(problem["reason"] in ("expired", "restored"), "an own cursor ends for a reason", problem)
            self.resets.append(problem["reason"])
            self.cursor, self._listing, self._lists = None, {}, True
            return False
        demand(answer.status == 200, "the feed answers", answer.status, answer.body)
        page = answer.json()
        if rng.random() < losing:
            return False
        last = 0
        for change in page["changes"]:
            demand(change["position"] > last, "positions grow within a page", last, change)
            last = change["position"]
            self._take(change)
        self.cursor = page["cursor"]
        if not page["has_more"] and self._lists:
            self.held, self._lists = self._listing, False
        return not page["has_more"]

    def _take(self, change: dict[str, Any]) -> None:
        kind, id, revision = change["kind"], change["id"], change["revision"]
        if kind not in MARKS:
            return
        mark = None if change["op"] == "delete" else change["body"][MARKS[kind]]
        self.history.saw_revision(kind, id, revision, mark)
        into = self._listing if self._lists else self.held
        before = into.get((kind, id))
        demand(before is None or revision >= before.revision, "revisions grow", change, before)
        into[kind, id] = Held(revision, mark)

    def follow(self, wire: Wire, rng: random.Random) -> Replica:
        """Takes all pages up to the head."""
        for _ in range(100_000):
            if self.pull(wire, rng, 0.0):
                return self
        raise Violation("the feed has no end")

    def living(self) -> dict[Record, str]:
        """The records that it holds."""
        return {record: held.mark for record, held in self.held.items() if held.mark is not None}


@dataclass
class SellDevice:
    """A device of the sell door; it loses pages and acks, and keeps what it stored."""

    history: History
    name: str
    held: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    def call(self, wire: Wire, method: str, path: str, body: Any = None) -> Reply:
        """A request of this device."""
        return wire.call(method, f"/v2/sync{path}", body, X_Basecrm_Device_UUID=self.name)

    def sync(self, wire: Wire, rng: random.Random, losing: float) -> bool:
        """Runs a session; True when the server had nothing to send."""
        began = self.call(wire, "POST", "/start")
        if began.status == 204:
            return True
        demand(began.status == 201, "a session starts", began.status, began.body)
        session = began.json()["data"]
        left = session["queues"][0]["data"]["total_count"]
        while (page := self.call(wire, "GET", f"/{session['id']}/queues/main")).status == 200:
            items = page.json()["items"]
            demand(bool(items), "a page of 200 has items", page.body)
            demand(
                page.json()["meta"]["count_left"] <= left - len(items), "count_left falls", left, page.json()["meta"]
            )
            left = page.json()["meta"]["count_left"]
            if rng.random() < losing:
                continue
            keys = [key for item in items if (key := self._store(item)) and rng.random() >= losing]
            answer = self.call(wire, "POST", "/ack", {"data": {"ack_keys": keys}})
            demand(answer.status == 202, "an ack is accepted", answer.status, answer.body)
            if rng.random() < losing / 4:
                return False
        demand(page.status == 204, "a session ends with 204", page.status, page.body)
        return False

    def _store(self, item: dict[str, Any]) -> str:
        sell_type, number = item["meta"]["type"], item["data"]["id"]
        if item["meta"]["sync"]["event_type"] == "deleted":
            self.held.pop((sell_type, number), None)
        else:
            self.history.saw_number(sell_type, number, item["data"]["custom_fields"]["headwater_id"])
            self.held[sell_type, number] = item["data"]
        return str(item["meta"]["sync"]["ack_key"])

    def drain(self, wire: Wire, rng: random.Random) -> SellDevice:
        """Syncs until nothing is left."""
        for _ in range(1000):
            if self.sync(wire, rng, 0.0):
                return self
        raise Violation("the sell queue has no end")

    def living(self) -> dict[str, str]:
        """Our id of each record that it holds, with its mark."""
        found = {}
        for (sell_type, _), data in self.held.items():
            mark = data["content"] if sell_type == "note" else data["phone"] or data["name"]
            found[data["custom_fields"]["headwater_id"]] = mark
        return found


@dataclass
class Poller:
    """A client that lists the contacts that changed since the last time it saw."""

    since: str = ""
    held: dict[str, str] = field(default_factory=dict)

    def poll(self, wire: Wire) -> Poller:
        """Takes every page of what changed; from the beginning, when it saw nothing yet."""
        newest, page, total = self.since, 1, 1
        while (page - 1) * 100 < total:
            since = f"&updated_since={self.since}" if self.since else ""
            found = wire.get(f"/api/v1/contacts?limit=100&page={page}{since}")
            for contact in found["data"]:
                self.held[contact["contact_id"]] = contact["phone"]
                newest = max(newest, contact["updated_at"])
            page, total = page + 1, found["pagination"]["total"]
        self.since = newest
        return self


@dataclass
class Snapshot:
    """What a backup must bring back."""

    model: Model

    @classmethod
    def of(cls, model: Model) -> Snapshot:
        """A copy of the model at a quiet moment."""
        return cls(deepcopy(model))


def judge(
    wire: Wire, rng: random.Random, model: Model, replicas: list[Replica], sells: list[SellDevice], poller: Poller
) -> int:
    """Compares every device with a newcomer and with the model; returns the number of records compared."""
    fresh = Replica(History()).follow(wire, rng)
    for replica in replicas:
        replica.follow(wire, rng)
        demand(replica.living() == fresh.living(), "a replica equals a newcomer", _difference(replica, fresh))
    living = fresh.living()
    for record, marks in model.may.items():
        demand(living.get(record) in marks, "a record shows what was written", record, living.get(record), marks)
        model.may[record] = {living.get(record)}
    demand(living.keys() <= model.may.keys(), "nothing comes from nowhere", living.keys() - model.may.keys())
    newcomer = SellDevice(History(), f"newcomer {rng.random()}").drain(wire, rng)
    for device in sells:
        device.drain(wire, rng)
        demand(device.held.keys() == newcomer.held.keys(), "a sell device equals a newcomer", device.name,
               device.held.keys() ^ newcomer.held.keys())  # fmt: skip
        for key, data in device.held.items():
            demand(data == newcomer.held[key], "a sell item equals a newcomer's", device.name, data, newcomer.held[key])
    demand(newcomer.living() == {id: mark for (_, id), mark in living.items()}, "sell shows what the feed shows")
    poller.poll(wire)
    for id in model.living("contact"):
        demand(poller.held.get(id) == living["contact", id], "a poll by time misses no edit", id, poller.held.get(id))
        answer = wire.call("GET", f"/api/v1/contacts/{id}")
        demand(answer.status == 200 and answer.json()["phone"] == living["contact", id], "a contact is read", id)
    return len(living)


def _difference(one: Replica, other: Replica) -> object:
    mine, theirs = one.living(), other.living()
    return [(record, mine.get(record), theirs.get(record)) for record in mine.keys() | theirs.keys()
            if mine.get(record) != theirs.get(record)][:5]  # fmt: skip

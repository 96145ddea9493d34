"""A black-box adversary of the record doors: writers, devices that lose pages, and a model of its own.

It knows the contracts and nothing of the server. Every write carries a mark that is used once, so that a record's
state is one text, and the model is the set of marks that each record may show: one after an acknowledged write, two
after a write whose answer was lost. Devices follow by the record feed and by sell; at the end each must hold what a
newcomer gets, and that must be what the model allows.
"""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable
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


class Writer:
    """Writes through every record door, one request at a time, upon records that are its own."""

    def __init__(self, name: str, seed: object, model: Model, history: History) -> None:
        self.name = name
        self.rng = random.Random(f"{seed} {name}")
        self.model = model
        self.history = history
        self._count = 0
        self._revisions: dict[Record, int] = {}
        self._stale: dict[Record, int] = {}
        self._keys: dict[str, tuple[str, dict[str, Any]]] = {}
        self._pending: Callable[[Wire], None] | None = None

    def mark(self) -> str:
        """A text that no other write has."""
        self._count += 1
        return f"{self.name}-{self._count}"

    def act(self, wire: Wire) -> None:
        """One write; after a lost answer the same write again."""
        if self._pending is None:
            self._pending = self._choose()
        pending = self._pending
        pending(wire)
        self._pending = None

    def forget_keys(self) -> None:
        """Forgets the keys of its contacts: their kept answers have expired."""
        self._keys.clear()

    def give_up(self) -> None:
        """Forgets a write whose answer never came, and every revision: the server was restored."""
        self._pending = None
        self._stale |= self._revisions
        self._revisions = {}

    def _choose(self) -> Callable[[Wire], None]:
        own = [id for id in self.model.living("contact") if self._is_own(id)]
        choice = self.rng.random()
        if choice < 0.22 or not own:
            return self._create()
        if choice < 0.40:
            return self._put(self.rng.choice(own))
        if choice < 0.50:
            return self._delete(self.rng.choice(own))
        if choice < 0.72:
            return self._cache_batch()
        if choice < 0.76:
            return self._stale_push()
        if choice < 0.80 and self.model.erased:
            return self._repeat_of_erased()
        return self._push()

    def _is_own(self, id: str) -> bool:
        return any(mark is not None and mark.startswith(self.name + "-") for mark in self.model.marks(("contact", id)))

    def _create(self) -> Callable[[Wire], None]:
        mark = self.mark()
        body = {"first_name": f"First {mark}", "last_name": "Adversary", "phone": mark}
        key = f"key {mark}"

        def create(wire: Wire) -> None:
            answer = wire.call("POST", "/api/v1/contacts", body, Idempotency_Key=key)
            demand(answer.status == 201, "a contact is made", answer.status, answer.body)
            id = answer.json()["contact_id"]
            self.history.saw_minted(id)
            self._times(id, answer.json())
            self.model.settle(("contact", id), mark, acknowledged=True)
            self._keys[id] = (key, body)

        return create

    def _times(self, id: str, shown: dict[str, Any]) -> None:
        demand(shown["updated_at"] >= shown["created_at"], "updated_at is not before created_at", shown)
        self.history.saw_time(("contact", id), shown["updated_at"])

    def _put(self, id: str) -> Callable[[Wire], None]:
        mark, record = self.mark(), ("contact", id)
        self.model.settle(record, mark, acknowledged=False)

        def put(wire: Wire) -> None:
            answer = wire.call("PUT", f"/api/v1/contacts/{id}", {"phone": mark})
            demand(answer.status == 200, "an own contact is changed", id, answer.status, answer.body)
            self._times(id, answer.json())
            self.model.settle(record, mark, acknowledged=True)

        return put

    def _delete(self, id: str) -> Callable[[Wire], None]:
        record = ("contact", id)
        self.model.settle(record, None, acknowledged=False)

        def delete(wire: Wire) -> None:
            answer = wire.call("DELETE", f"/api/v1/contacts/{id}")
            demand(answer.status in (200, 404), "an own contact is deleted", id, answer.status, answer.body)
            self.model.settle(record, None, acknowledged=True)
            if id in self._keys:
                key, body = self._keys[id]
                self.model.erased[key] = body

        return delete

    def _repeat_of_erased(self) -> Callable[[Wire], None]:
        key = self.rng.choice(sorted(self.model.erased))
        body = self.model.erased[key]

        def repeat(wire: Wire) -> None:
            answer = wire.call("POST", "/api/v1/contacts", body, Idempotency_Key=key)
            demand(
                body["phone"].encode() not in answer.body,
                "what was erased is given by no key",
                key,
                answer.status,
                answer.body,
            )
            demand(answer.status < 500, "a repeat is answered", answer.status, answer.body)

        return repeat

    def _cache_batch(self) -> Callable[[Wire], None]:
        marks: dict[Record, str] = {}
        for _ in range(self.rng.randint(1, 6)):
            kind = self.rng.choice(["cached_contact", "note"])
            marks[kind, f"{self.name}-{kind}-{self.rng.randint(1, 30)}"] = self.mark()
        rows: dict[str, list[dict[str, Any]]] = {"cached_contact": [], "note": []}
        at = f"2026-01-01T{self._count // 3600 % 24:02}:{self._count // 60 % 60:02}:{self._count % 60:02}Z"
        for record, mark in marks.items():
            kind, id = record
            more = {"org_name": "x"} if kind == "cached_contact" else {"contact_id": self._linked(), "author_name": "y"}
            rows[kind].append({"id": id, MARKS[kind]: mark, "updated_at": at, **more})
            self.model.settle(record, mark, acknowledged=False)
        body = {"org_id": ORGANISATION, "contacts": rows["cached_contact"], "notes": rows["note"]}

        def send(wire: Wire) -> None:
            answer = wire.call(
                "POST", "/api/v1/cache/sync", body, Idempotency_Key=f"cache {next(iter(marks.values()))}"
            )
            demand(answer.status in (200, 201), "a batch is accepted", answer.status, answer.body)
            given = answer.json()
            refused = {row["id"] for row in (*given["skipped"], *given["errors"])}
            for record, mark in marks.items():
                if record[1] not in refused:
                    self.model.settle(record, mark, acknowledged=True)
                self._revisions.pop(record, None)

        return send

    def _linked(self) -> str:
        """The contact of a note: a cached one, one of ours, or one that comes later or never."""
        own = [id for id in self.model.living("contact") if self._is_own(id)]
        if own and self.rng.random() < 0.4:
            return self.rng.choice(own)
        return f"{self.name}-cached_contact-{self.rng.randint(1, 30)}"

    def _push(self) -> Callable[[Wire], None]:
        id = f"{self.name}-pushed-{self.rng.randint(1, 12)}"
        record = ("contact", id)
        base = self._revisions.get(record, 0)
        deletes = base > 0 and self.rng.random() < 0.3
        if not base and self.model.marks(record) != {None}:
            return self._learn(record)
        mark = None if deletes else self.mark()
        change = {
            "client_change_id": f"{self.name} {self.mark()}", "kind": "contact", "id": id,
            "op": "delete" if deletes else "put", "base_revision": base,
            "fields": {} if deletes else {"first_name": "Pushed", "phone": mark},
        }  # fmt: skip
        before = self.model.marks(record)
        self.model.settle(record, mark, acknowledged=False)

        def push(wire: Wire) -> None:
            outcome = self._outcome(wire, change)
            if deletes and outcome["outcome"] == "conflict":
                # An edit beats a deletion.
                self.model.may[record] = before
                self._revisions.pop(record, None)
                return
            if outcome["outcome"] == "refused":
                demand(
                    None in before and outcome["code"] in ("DELETED", "BASE_UNKNOWN", "NOT_FOUND"),
                    "an own edit is refused only where the record was deleted", change, outcome, before,
                )  # fmt: skip
                self.model.settle(record, None, acknowledged=True)
                return
            demand(outcome["outcome"] in ("applied", "merged", "conflict"), "an own edit is applied", change, outcome)
            self.model.settle(record, mark, acknowledged=True)
            self._revisions.pop(record, None)
            if mark is not None:
                self._revisions[record] = outcome["revision"]

        return push

    def _learn(self, record: Record) -> Callable[[Wire], None]:
        """Reads the revision of a pushed record anew, from the feed."""

        def learn(wire: Wire) -> None:
            seen = Replica(History()).follow(wire, random.Random(0)).held.get(record)
            mark = None if seen is None else seen.mark
            demand(mark in self.model.marks(record), "a record shows what was written", record, mark)
            self.model.settle(record, mark, acknowledged=True)
            if seen is not None and mark is not None:
                self._revisions[record] = seen.revision

        return learn

    def _stale_push(self) -> Callable[[Wire], None]:
        """An edit on a base that ended: by a newer edit, a deletion, or a restore."""
        stale = [
            record for record, base in sorted(self._stale.items())
            if self._revisions.get(record, base) != base and None not in self.model.marks(record)
            and len(self.model.marks(record)) == 1
        ]  # fmt: skip
        if not stale:
            return self._push()
        record = self.rng.choice(stale)
        mark = self.mark()
        change = {
            "client_change_id": f"{self.name} {self.mark()}", "kind": "contact", "id": record[1], "op": "put",
            "base_revision": self._stale[record], "fields": {"phone": mark},
        }  # fmt: skip
        before = self.model.marks(record)
        self.model.settle(record, mark, acknowledged=False)

        def push(wire: Wire) -> None:
            outcome = self._outcome(wire, change)
            demand(
                outcome["outcome"] in ("conflict", "refused"), "an old base never overwrites silently", change, outcome
            )
            if outcome["outcome"] == "refused":
                self.model.may[record] = before
            else:
                self.model.settle(record, mark, acknowledged=True)
                self._revisions[record] = outcome["revision"]

        return push

    def _outcome(self, wire: Wire, change: dict[str, Any]) -> dict[str, Any]:
        answer = wire.call("POST", "/api/v1/feed/push", {"device_id": f"device of {self.name}", "changes": [change]})
        demand(answer.status == 200, "a push is answered", answer.status, answer.body)
        outcome: dict[str, Any] = answer.json()["results"][0]
        if outcome.get("revision") and change["op"] == "put":
            self.history.saw_revision("contact", change["id"], outcome["revision"], change["fields"]["phone"])
        return outcome


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

"""The writers of the record storm: one write at a time through every door, upon records that are their own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.adversaries.records import MARKS, ORGANISATION, History, Model, Record, Replica, demand
from tests.support.server.wire import Wire


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

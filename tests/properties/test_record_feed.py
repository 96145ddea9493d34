"""Any cursor replays to the same state: readers that page at any pace end equal to the server.

The oracle is a plain dictionary of the contacts; readers hold only what the feed told them.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from headwater.base.settings.table import Settings
from tests.support.clock import MovableClock
from tests.support.server.serving import serving
from tests.support.store.databases import OPENERS, SMALL

FEED = "/api/v1/feed"
CONTACTS = "/api/v1/contacts"
PICK = st.integers(0, 10**6)


@dataclass
class Reader:
    """A replica: what the feed told it so far."""

    cursor: str | None = None
    state: dict[str, Any] = field(default_factory=dict)
    seen: int = 0


class Replay(RuleBasedStateMachine):
    """Writes through the doors, and readers that stop and go on anywhere."""

    kind = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        clock = MovableClock()
        database = self.stack.enter_context(OPENERS[self.kind](folder, clock, SMALL))
        self.client = self.stack.enter_context(serving(database, Settings(), clock, folder)).client
        self.live: dict[str, str | None] = {}
        self.dead: dict[str, int] = {}
        self.readers: list[Reader] = []
        self.pushed = 0

    def teardown(self) -> None:
        try:
            for reader in self.readers:
                while self.step(reader, 3):
                    pass
                assert reader.state == self.live
        finally:
            self.stack.close()

    @rule(name=st.sampled_from("ABC"))
    def create(self, name: str) -> None:
        made = self.client.post(CONTACTS, json={"first_name": name}).json()
        self.live[made["contact_id"]] = name

    @precondition(lambda self: self.live)
    @rule(pick=PICK, name=st.sampled_from("ABCD"))
    def change(self, pick: int, name: str) -> None:
        id = self.one(pick)
        assert self.client.put(f"{CONTACTS}/{id}", json={"first_name": name}).status == 200
        self.live[id] = name

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        id = self.one(pick)
        cursor = self.client.get(FEED).json()["cursor"]
        assert self.client.delete(f"{CONTACTS}/{id}").status == 200
        del self.live[id]
        (deletion,) = self.client.get(f"{FEED}?cursor={cursor}").json()["changes"]
        self.dead[id] = deletion["revision"]

    @precondition(lambda self: self.dead)
    @rule(pick=PICK)
    def bring_back(self, pick: int) -> None:
        id = sorted(self.dead)[pick % len(self.dead)]
        changes = []
        for base in (0, self.dead.pop(id)):
            self.pushed += 1
            change = {"client_change_id": str(self.pushed), "kind": "contact", "id": id, "op": "put"}
            changes.append(change | {"base_revision": base, "fields": {"first_name": "Back"}})
        answer = self.client.post(f"{FEED}/push", json={"device_id": "d", "changes": changes}).json()
        assert [result["outcome"] for result in answer["results"]] == ["refused", "applied"]
        self.live[id] = "Back"

    @precondition(lambda self: len(self.readers) < 4)
    @rule()
    def join(self) -> None:
        self.readers.append(Reader())

    @precondition(lambda self: self.readers)
    @rule(pick=PICK, limit=st.integers(1, 4))
    def read(self, pick: int, limit: int) -> None:
        self.step(self.readers[pick % len(self.readers)], limit)

    @invariant()
    def a_reader_at_the_head_equals_the_server(self) -> None:
        for reader in self.readers:
            if reader.cursor is None:
                continue
            page = self.client.get(f"{FEED}?cursor={reader.cursor}&limit=1").json()
            if not page["changes"]:
                assert reader.state == self.live

    def one(self, pick: int) -> str:
        return sorted(self.live)[pick % len(self.live)]

    def step(self, reader: Reader, limit: int) -> bool:
        """Read one page; whether more may follow."""
        path = f"{FEED}?limit={limit}" + (f"&cursor={reader.cursor}" if reader.cursor else "")
        page = self.client.get(path).json()
        reader.cursor = page["cursor"]
        for change in page["changes"]:
            assert change["position"] > reader.seen
            reader.seen = change["position"]
            if change["op"] == "delete":
                reader.state.pop(change["id"], None)
            else:
                reader.state[change["id"]] = change["body"]["first_name"]
        more: bool = page["has_more"]
        return more


@pytest.mark.slow
def test_any_cursor_replays_to_the_servers_state(database_kind: str) -> None:
    machine = type("Replay", (Replay,), {"kind": database_kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

"""A sell device's ack state against the plain table that it replaces, and against a plain set of integers.

The oracle keeps, for each device and resource, the highest revision acked, and which resources a session ever
offered. It knows no intervals and no bitmaps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.contracts.sell.ack_keys import AckKey, device_seed, parse_key, render_key
from headwater.contracts.sell.acks import AckState, acknowledge, event_type, offer
from tests.support.acks import is_pending

TYPES = ("contact", "note", "loss_reason")


class Row(NamedTuple):
    position: int
    sell_type: str
    number: int
    is_deletion: bool

    @property
    def resource(self) -> tuple[str, int]:
        return self.sell_type, self.number


@dataclass
class Feed:
    """A freshest-only feed: one live row a resource or tombstone."""

    head: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    minted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TYPES, 0))

    def write(self, sell_type: str, number: int, is_deletion: bool) -> None:
        self.head += 1
        row = Row(self.head, sell_type, number, is_deletion)
        self.rows.pop(self.positions.get(row.resource, 0), None)
        self.rows[self.head] = row
        self.positions[row.resource] = self.head

    def live_at(self, position: int) -> tuple[str, int, bool] | None:
        row = self.rows.get(position)
        return None if row is None else (row.sell_type, row.number, row.is_deletion)

    def existing(self) -> list[Row]:
        return [row for row in self.rows.values() if not row.is_deletion]


@dataclass
class Device:
    """The state under test, and beside it the oracle and what the device has in hand."""

    seed: int
    state: AckState = field(default_factory=AckState)
    acked: dict[tuple[str, int], int] = field(default_factory=dict)  # the plain table: highest revision acked
    offered: set[tuple[str, int]] = field(default_factory=set)  # resources that any session held
    queue: list[int] = field(default_factory=list)  # positions that the present session has left
    received: dict[str, Row] = field(default_factory=dict)  # every key that reached the device

    def hears(self, row: Row) -> str:
        """The law: created until the first ack of any state, then updated."""
        if row.is_deletion:
            return "deleted"
        return "updated" if row.resource in self.acked else "created"

    def owes(self, row: Row) -> bool:
        """The law: revision > highest acked; no deletion of what the device can never have had."""
        if row.position <= self.acked.get(row.resource, 0):
            return False
        return not row.is_deletion or row.resource in self.acked or row.resource in self.offered


def in_gaps(state: AckState, head: int) -> set[int]:
    return {position for lo, hi in state.gaps(head) for position in range(lo, hi + 1)}


class Acks(RuleBasedStateMachine):
    """Two devices drain one feed, losing, rejecting, repeating, delaying and forging."""

    @initialize()
    def begin(self) -> None:
        self.feed = Feed()
        # One foreign key in 100,000 passes the check; of those that 160 changes can have, none between these.
        self.devices = [Device(device_seed("org", name)) for name in ("phone", "tablet")]

    # -- what people do

    @rule(sell_type=st.sampled_from(TYPES), count=st.integers(1, 4))
    def create(self, sell_type: str, count: int) -> None:
        for _ in range(count):
            self.feed.minted[sell_type] += 1
            self.feed.write(sell_type, self.feed.minted[sell_type], is_deletion=False)

    @precondition(lambda self: self.feed.existing())
    @rule(choice=st.data(), is_deletion=st.booleans())
    def update_or_delete(self, choice: st.DataObject, is_deletion: bool) -> None:
        row = choice.draw(st.sampled_from(self.feed.existing()))
        self.feed.write(row.sell_type, row.number, is_deletion)

    # -- what devices do

    @rule(which=st.integers(0, 1), sent=st.just(set(TYPES)) | st.sets(st.sampled_from(TYPES)))
    def start(self, which: int, sent: set[str]) -> None:
        device, feed = self.devices[which], self.feed
        rows = [feed.rows[position] for position in in_gaps(device.state, feed.head) if position in feed.rows]
        owed = {r.position for r in feed.rows.values() if device.owes(r) and r.sell_type in sent}
        positions, after, numbers = offer(device.state, rows, feed.head, sent)
        assert set(positions) == owed
        queued = {(sell_type, number) for sell_type, found in numbers.items() for number in found}
        assert queued == {(feed.rows[position].sell_type, feed.rows[position].number) for position in owed}
        device.state, device.queue = after, list(positions)
        device.offered.update(feed.rows[position].resource for position in owed)
        # What is neither offered nor withheld is settled: the next start does not read it again.
        assert in_gaps(after, feed.head) == owed | {r.position for r in rows if r.sell_type not in sent}

    @rule(which=st.integers(0, 1), size=st.integers(1, 5), is_lost=st.booleans())
    def drain_a_page(self, which: int, size: int, is_lost: bool) -> None:
        device = self.devices[which]
        page, device.queue = device.queue[:size], device.queue[size:]
        for row in (self.feed.rows[position] for position in page if position in self.feed.rows):
            key = render_key(row.sell_type, row.number, row.position, row.is_deletion, device.seed)
            assert key.endswith("-0") == row.is_deletion
            if not is_lost:
                device.received[key] = row

    @precondition(lambda self: any(device.received for device in self.devices))
    @rule(choice=st.data())
    def ack_some_of_all_ever_received(self, choice: st.DataObject) -> None:
        device = choice.draw(st.sampled_from([device for device in self.devices if device.received]))
        texts = choice.draw(st.lists(st.sampled_from(sorted(device.received)), min_size=1, max_size=12))
        self.ack(device, texts)
        for row in (device.received[text] for text in texts):
            device.acked[row.resource] = max(row.position, device.acked.get(row.resource, 0))

    @rule(which=st.integers(0, 1))
    def ack_all_ever_received(self, which: int) -> None:
        device = self.devices[which]
        self.ack(device, list(device.received))
        for row in device.received.values():
            device.acked[row.resource] = max(row.position, device.acked.get(row.resource, 0))

    # -- what must count for nothing

    @rule(
        which=st.integers(0, 1),
        garbage=st.lists(st.text() | st.from_regex(r"[A-Z][a-z]+-\d+-\d+"), max_size=3),
    )
    def ack_foreign_and_malformed_keys(self, which: int, garbage: list[str]) -> None:
        device, other = self.devices[which], self.devices[1 - which]
        before = device.state
        assert self.ack(device, [*other.received, *garbage]) is before

    @rule(which=st.integers(0, 1), ahead=st.integers(1, 9), number=st.integers(1, 20), is_deletion=st.booleans())
    def ack_beyond_the_head(self, which: int, ahead: int, number: int, is_deletion: bool) -> None:
        device = self.devices[which]
        before, position = device.state, self.feed.head + ahead
        assert self.ack(device, [render_key("contact", number, position, is_deletion, device.seed)]) is before

    @precondition(lambda self: self.feed.head > 0)
    @rule(
        choice=st.data(),
        number=st.integers(1, 40),
        sell_type=st.sampled_from(TYPES),
        is_deletion=st.booleans(),
    )
    def ack_a_key_made_up_for_some_position(
        self, choice: st.DataObject, number: int, sell_type: str, is_deletion: bool
    ) -> None:
        device = choice.draw(st.sampled_from(self.devices))
        position = choice.draw(st.integers(1, self.feed.head))
        row = self.feed.rows.get(position)
        forged = AckKey(sell_type, None if is_deletion else number, position, is_deletion)
        after = acknowledge(device.state, [forged], self.feed.head, self.feed.live_at)
        if row is None:
            # A dead position: whatever the key says, nothing live is hidden by it.
            assert self.pending(after) == self.pending(device.state)
        elif (row.sell_type, row.is_deletion) != (sell_type, is_deletion) or (not is_deletion and row.number != number):
            assert after is device.state

    # -- what holds at every moment

    @rule(which=st.integers(0, 1))
    def store_and_load(self, which: int) -> None:
        device = self.devices[which]
        loaded = AckState.from_bytes(device.state.to_bytes())
        assert loaded == device.state
        device.state = loaded

    @invariant()
    def pending_is_what_the_plain_table_says(self) -> None:
        for device in self.devices:
            assert self.pending(device.state) == {r.position for r in self.feed.rows.values() if device.owes(r)}

    @invariant()
    def each_event_type_is_what_the_plain_table_says(self) -> None:
        for device in self.devices:
            assert all(event_type(device.state, *row[1:]) == device.hears(row) for row in self.feed.rows.values())

    @invariant()
    def nothing_beyond_the_head_is_done(self) -> None:
        for device in self.devices:
            assert device.state.high_water <= self.feed.head
            assert not any(device.state.is_done(self.feed.head + ahead) for ahead in range(1, 10))

    def ack(self, device: Device, texts: list[str]) -> AckState:
        keys = [key for text in texts if (key := parse_key(text, device.seed)) is not None]
        device.state = acknowledge(device.state, keys, self.feed.head, self.feed.live_at)
        return device.state

    def pending(self, state: AckState) -> set[int]:
        return {row.position for row in self.feed.rows.values() if is_pending(state, row)}


TestAcks = Acks.TestCase
TestAcks.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

POSITIONS = st.one_of(st.integers(1, 60), st.integers(65_500, 65_600), st.integers(1, 2**63 - 1))
RANGES = st.tuples(st.integers(0, 200), st.integers(0, 200), st.lists(st.integers(0, 200), max_size=20))


@settings(deadline=None)
@given(st.lists(st.lists(POSITIONS, max_size=12) | RANGES, max_size=10), st.integers(0, 70_000))
def test_positions_and_gaps_are_those_of_a_plain_set(
    steps: list[list[int] | tuple[int, int, list[int]]], upto: int
) -> None:
    state, model = AckState(), set[int]()
    for step in steps:
        if isinstance(step, tuple):
            lo, hi, live = step
            state = state.fill(lo, hi, live)
            model |= set(range(max(lo, 1), hi + 1)) - set(live)
        else:
            state = state.add_positions(step)
            model |= set(step)
    assert all(state.is_done(position) for position in model)
    assert state.high_water == next(p - 1 for p in range(1, 10**6) if p not in model)
    gaps = list(state.gaps(upto))
    owed = [position for lo, hi in gaps for position in range(lo, hi + 1)]
    assert owed == [position for position in range(1, upto + 1) if position not in model]
    assert all(hi + 1 < lo for (_, hi), (lo, _) in pairwise(gaps))
    assert AckState.from_bytes(state.to_bytes()) == state


@given(st.text(max_size=120), st.integers(0, 2**32 - 1))
def test_any_text_is_a_key_of_this_device_or_none(text: str, seed: int) -> None:
    key = parse_key(text, seed)
    assert key is None or render_key(key.sell_type, key.number or 1, key.position, key.is_deletion, seed) == text


@given(
    st.from_regex(r"[a-z]{1,8}(_[a-z]{1,8}){0,3}", fullmatch=True),
    st.integers(1, 2**63 - 1),
    st.integers(1, 2**63 - 1),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_every_key_that_we_make_reads_back(
    sell_type: str, number: int, position: int, is_deletion: bool, seed: int
) -> None:
    key = parse_key(render_key(sell_type, number, position, is_deletion, seed), seed)
    assert key == AckKey(sell_type, None if is_deletion else number, position, is_deletion)

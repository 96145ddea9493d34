from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

import pytest
from pyroaring import BitMap64

from headwater.contracts.sell.ack_keys import AckKey
from headwater.contracts.sell.acks import AckState, acknowledge, event_type, offer
from tests.support.acks import is_pending


class Row(NamedTuple):
    position: int
    sell_type: str
    number: int
    is_deletion: bool = False


class Feed:
    """A freshest-only feed of rows given by hand."""

    def __init__(self, head: int, *rows: Row) -> None:
        self.head = head
        self.rows = {row.position: row for row in rows}

    def live_at(self, position: int) -> tuple[str, int, bool] | None:
        row = self.rows.get(position)
        return None if row is None else (row.sell_type, row.number, row.is_deletion)

    def ack(self, state: AckState, *keys: AckKey) -> AckState:
        return acknowledge(state, keys, self.head, self.live_at)

    def offer(self, state: AckState, *types: str) -> tuple[list[int], AckState]:
        found = offer(state, self.rows.values(), self.head, types)
        return list(found.positions), found.state


def live(number: int, position: int, sell_type: str = "contact") -> AckKey:
    return AckKey(sell_type, number, position, False)


def deletion(position: int, sell_type: str = "contact") -> AckKey:
    return AckKey(sell_type, None, position, True)


# ---- the sets


def test_a_new_state_owes_everything_up_to_the_head() -> None:
    state = AckState()
    assert state.high_water == 0
    assert list(state.gaps(5)) == [(1, 5)]
    assert list(state.gaps(0)) == []
    assert not state.is_done(1)


def test_positions_join_into_one_interval_and_raise_the_high_water() -> None:
    state = AckState().add_positions([2, 3, 5])
    assert (state.high_water, list(state.gaps(8))) == (0, [(1, 1), (4, 4), (6, 8)])
    state = state.add_positions([1])
    assert (state.high_water, list(state.gaps(8))) == (3, [(4, 4), (6, 8)])
    state = state.add_positions([4])
    assert (state.high_water, list(state.gaps(8)), list(state.gaps(5))) == (5, [(6, 8)], [])


def test_filling_leaves_the_live_positions_of_the_range() -> None:
    state = AckState().fill(2, 9, live=[4, 7, 100])
    assert list(state.gaps(10)) == [(1, 1), (4, 4), (7, 7), (10, 10)]
    assert state.fill(1, 10).high_water == 10
    assert state.fill(9, 2) is state


def test_a_change_that_adds_nothing_returns_the_same_object() -> None:
    state = AckState().add_positions([1, 2, 9]).add_offered("contact", [1, 2, 5]).add_numbers("contact", [1, 3])
    assert state.add_positions([1, 9, 0]) is state
    assert state.fill(1, 2) is state
    assert state.add_numbers("contact", [3]) is state
    assert state.add_offered("contact", [1, 5]) is state
    assert state.add_offered("note", []) is state
    assert state.drop_numbers("contact", [4]) is state


def test_a_change_leaves_the_old_value_as_it_was() -> None:
    old = AckState().add_positions([3]).add_offered("contact", [1])
    old.add_positions([1, 2]).add_numbers("contact", [1]).add_offered("contact", [9]).fill(1, 50)
    assert (old.high_water, list(old.gaps(4))) == (0, [(1, 2), (4, 4)])
    assert not old.ever_acked("contact", 1)
    assert list(old.held("contact")) == [1]


def test_what_was_offered_or_acked_is_held_until_its_deletion_is_acked() -> None:
    state = AckState().add_offered("contact", [1, 2, 3]).add_numbers("contact", [2, 7])
    assert list(state.held("contact")) == [1, 2, 3, 7]
    assert [number for number in range(9) if state.wants_tombstone("contact", number)] == [1, 2, 3, 7]
    state = state.drop_numbers("contact", [1, 2])
    assert list(state.held("contact")) == [3, 7]
    assert not state.wants_tombstone("note", 3)


# ---- storage


def test_the_stored_form_reads_back_as_the_same_value() -> None:
    state = (
        AckState()
        .add_positions([1, 2, 2**63 - 1])
        .fill(1000, 200_000, live=range(1000, 200_000, 3))
        .add_offered("contact", [3, 2**63 - 1])
        .add_offered("loss_reason", range(5))
        .add_numbers("contact", [1, 2, 2**40])
    )
    again = AckState.from_bytes(state.to_bytes())
    assert again == state
    assert list(again.held("contact")) == [1, 2, 3, 2**40, 2**63 - 1]
    assert AckState.from_bytes(AckState().to_bytes()) == AckState()


def test_damaged_bytes_are_told_and_never_read() -> None:
    stored = AckState().add_positions(range(1, 99, 2)).add_offered("contact", [3]).to_bytes()
    for at in range(len(stored)):
        damaged = stored[:at] + bytes([stored[at] ^ 0x10]) + stored[at + 1 :]
        with pytest.raises(ValueError, match="ack state"):
            AckState.from_bytes(damaged)
        with pytest.raises(ValueError, match="ack state"):
            AckState.from_bytes(stored[:at])


def test_another_formats_version_is_told_though_its_checksum_holds() -> None:
    body = AckState().to_bytes()[5:]
    with pytest.raises(ValueError, match="unknown version 9"):
        AckState.from_bytes(b"\x09" + crc32(body).to_bytes(4, "little") + body)


def test_a_state_of_version_1_may_hold_every_number_up_to_its_mark() -> None:
    acked = BitMap64([2]).serialize()
    empty = BitMap64().serialize()
    body = struct.pack("<QIH", 0, len(empty), 1) + empty + struct.pack("<BQI", 7, 3, len(acked)) + b"contact" + acked
    state = AckState.from_bytes(struct.pack("<BI", 1, crc32(body)) + body)
    assert list(state.held("contact")) == [1, 2, 3]
    assert [number for number in range(5) if state.ever_acked("contact", number)] == [2]
    assert AckState.from_bytes(state.to_bytes()) == state


def test_a_fully_acked_organisation_of_100_000_is_stored_in_under_200_bytes() -> None:
    state = AckState().add_positions(range(1, 100_001)).add_offered("contact", range(1, 100_001))
    assert len(state.add_numbers("contact", range(1, 100_001)).to_bytes()) < 200


def test_the_worst_state_takes_8_kib_for_65_536_positions_and_twice_as_much_for_numbers() -> None:
    span = 10 * 65_536
    state = AckState().add_positions(range(2, span, 2)).add_offered("contact", range(1, span))
    state = state.add_numbers("contact", range(2, span, 2))
    assert len(state.to_bytes()) <= 3 * (10 * (8192 + 20)) + 100


# ---- offers


def test_a_first_session_offers_all_live_rows_and_no_tombstones() -> None:
    feed = Feed(6, Row(2, "contact", 1), Row(5, "contact", 3), Row(6, "contact", 2, True))
    positions, state = feed.offer(AckState(), "contact")
    assert positions == [2, 5]
    assert list(state.gaps(6)) == [(2, 2), (5, 5)]


def test_a_tombstone_declined_once_is_declined_for_good() -> None:
    feed = Feed(2, Row(1, "contact", 2), Row(2, "contact", 1, True))
    _, state = feed.offer(AckState(), "contact")
    assert feed.offer(state, "contact")[0] == [1]


def test_an_item_offered_and_never_acked_has_its_deletion_sent() -> None:
    _, state = Feed(1, Row(1, "contact", 1)).offer(AckState(), "contact")
    assert Feed(2, Row(2, "contact", 1, True)).offer(state, "contact")[0] == [2]


def test_an_empty_session_offers_nothing_and_settles_the_dead() -> None:
    positions, state = Feed(3, Row(3, "contact", 1, True)).offer(AckState(), "contact")
    assert positions == []
    assert (state.high_water, list(state.held("contact"))) == (3, [])
    assert offer(state, [], 3, ["contact"]).state is state


def test_a_type_that_is_not_sent_is_withheld_and_offered_in_full_when_it_is() -> None:
    feed = Feed(3, Row(1, "note", 1), Row(2, "contact", 1), Row(3, "note", 2, True))
    positions, state = feed.offer(AckState(), "contact")
    assert positions == [2]
    assert list(state.gaps(3)) == [(1, 3)]
    assert feed.offer(state, "contact", "note")[0] == [1, 2]


# ---- acks


def test_created_until_the_first_ack_updated_after_it_and_deleted_for_tombstones() -> None:
    feed = Feed(1, Row(1, "contact", 1))
    _, state = feed.offer(AckState(), "contact")
    assert event_type(state, "contact", 1, False) == "created"
    state = feed.ack(state, live(1, 1))
    assert event_type(state, "contact", 1, False) == "updated"
    assert event_type(state, "contact", 1, True) == "deleted"
    assert event_type(state, "note", 1, False) == "created"


def test_an_ack_hides_its_own_change_and_not_the_next() -> None:
    _, state = Feed(1, Row(1, "contact", 1)).offer(AckState(), "contact")
    feed = Feed(2, Row(2, "contact", 1))
    state = feed.ack(state, live(1, 1))
    assert [row for row in feed.rows.values() if is_pending(state, row)] == [Row(2, "contact", 1)]
    assert event_type(state, "contact", 1, False) == "updated"


def test_an_ack_of_a_deletion_hides_only_that_deletion() -> None:
    feed = Feed(9, Row(8, "contact", 1, True), Row(9, "contact", 2))
    _, state = feed.offer(AckState().add_offered("contact", [1]), "contact")
    assert state.high_water == 7
    state = feed.ack(state, deletion(8))
    assert (state.is_done(8), state.is_done(9)) == (True, False)


@pytest.mark.parametrize(
    "key",
    [
        live(2, 4),  # another resource's position
        live(1, 4, "note"),  # another type
        deletion(4),  # no deletion is there
        live(3, 5),  # a deletion is there
        deletion(5, "note"),
        live(1, 6),  # beyond the head
        deletion(6),
        live(1, 2**63 - 1),
    ],
)
def test_a_key_that_does_not_fit_the_feed_changes_nothing(key: AckKey) -> None:
    feed = Feed(5, Row(4, "contact", 1), Row(5, "contact", 3, True))
    state = AckState().add_offered("contact", [1, 2, 3]).add_offered("note", [1])
    assert feed.ack(state, key) is state


def test_a_late_key_of_a_dead_position_adds_its_number_where_it_was_offered() -> None:
    feed = Feed(2, Row(2, "contact", 1))
    state = AckState().add_offered("contact", [1])
    state = feed.ack(state, live(1, 1), live(2, 1), live(1, 1, "note"))
    assert state.ever_acked("contact", 1)
    assert not state.ever_acked("contact", 2)
    assert not state.ever_acked("note", 1)
    assert is_pending(state, Row(2, "contact", 1))


def test_a_repeated_ack_changes_nothing_and_looks_nothing_up() -> None:
    feed = Feed(2, Row(1, "contact", 1), Row(2, "contact", 2, True))
    keys = [live(1, 1), deletion(2)]
    state = feed.ack(AckState().add_offered("contact", [1, 2]), *keys)

    def never(position: int) -> None:
        raise AssertionError(position)

    assert acknowledge(state, keys, 2, never) is state


def test_no_forged_key_makes_the_state_grow_beyond_what_was_minted() -> None:
    feed = Feed(10, Row(10, "contact", 1))
    state = AckState().add_offered("contact", range(1, 11))
    forged = [live(n * 10**12 + 11, n % 12, t) for n in range(500) for t in ("contact", "x" * 40)]
    assert len(feed.ack(state, *forged).to_bytes()) < 200

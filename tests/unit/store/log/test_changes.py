from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.wire import encode
from headwater.store.database import Database, Transaction
from headwater.store.log import changes
from tests.support.store.transactions import bury, log_of, make_feed, put

AT_US = 1_774_524_300_123_456
POSITIONS = st.integers(1, 2**63 - 1)
IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
BODIES = st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.none() | st.integers(-5, 5), max_size=3)


class TestWire:
    def test_a_put_has_the_members_of_the_contract_in_order(self) -> None:
        wire = changes.put_wire(7, "contact", "c-1", 3, AT_US, b'{"name":"Ada"}')
        assert wire == (
            b'{"position":7,"kind":"contact","id":"c-1","revision":3,"op":"put","at":"2026-03-26T11:25:00Z",'
            b'"body":{"name":"Ada"}}'
        )

    def test_a_tombstone_has_no_content(self) -> None:
        assert json.loads(changes.delete_wire(7, "contact", "c-1", 3, AT_US)) == {
            "position": 7, "kind": "contact", "id": "c-1", "revision": 3, "op": "delete", "at": "2026-03-26T11:25:00Z",
            "body": None,
        }  # fmt: skip

    @given(POSITIONS, IDS, BODIES)
    def test_the_body_inside_a_wire_is_the_one_that_was_put_in(
        self, position: int, id: str, body: dict[str, object]
    ) -> None:
        wire = changes.put_wire(position, "contact", id, 1, AT_US, encode(body))
        assert changes.body_of(wire) == encode(body)
        assert json.loads(wire)["id"] == id

    def test_an_id_that_looks_like_the_bodys_key_does_not_end_the_search(self) -> None:
        wire = changes.put_wire(1, "contact", ',"body":{"x":1}', 1, AT_US, b'{"y":2}')
        assert changes.body_of(wire) == b'{"y":2}'

    def test_the_body_of_a_tombstone_is_null(self) -> None:
        assert changes.body_of(changes.delete_wire(7, "contact", "c-1", 3, AT_US)) == b"null"


@pytest.fixture
def feed(database: Database) -> int:
    """A feed with a to e at the positions 1 to 5; c is a tombstone at 6."""
    feed = make_feed(database)
    for name in "abcde":
        database.write_now(put(feed, name))
    database.write_now(bury(feed, "c"))
    return feed


def positions_of(page: changes.ChangePage) -> list[int]:
    found = json.loads(b"[" + page.wires + b"]")
    assert len(found) == page.size
    assert page.last == (found[-1]["position"] if found else 0)
    return [change["position"] for change in found]


@pytest.mark.parametrize(
    ("after", "upto", "limit", "found"),
    [
        (0, 6, 100, [1, 2, 4, 5, 6]),
        (2, 6, 100, [4, 5, 6]),
        (0, 4, 100, [1, 2, 4]),
        (0, 3, 100, [1, 2]),
        (2, 3, 100, []),
        (4, 4, 100, []),
        (6, 6, 100, []),
        (0, 6, 2, [1, 2]),
        (0, 6, 0, []),
        (5, 2, 100, []),
    ],
)
def test_a_page_is_after_one_position_and_up_to_another(
    database: Database, feed: int, after: int, upto: int, limit: int, found: list[int]
) -> None:
    assert positions_of(database.read_now(lambda tx: changes.page(tx, feed, after, upto, limit))) == found


@pytest.mark.parametrize(("after", "upto", "count"), [(0, 6, 4), (1, 6, 3), (1, 5, 3), (5, 6, 0), (0, 1, 1), (0, 0, 0)])
def test_changes_that_are_no_tombstones_are_counted_between_positions(
    database: Database, feed: int, after: int, upto: int, count: int
) -> None:
    assert database.read_now(lambda tx: changes.live_between(tx, feed, after, upto)) == count


def test_the_wire_at_a_position_is_the_change_that_is_there(database: Database, feed: int) -> None:
    wire = database.read_now(lambda tx: changes.wire_at(tx, feed, 2))
    assert wire is not None
    assert json.loads(bytes(wire))["id"] == "b"
    assert database.read_now(lambda tx: changes.wire_at(tx, feed, 3)) is None
    assert database.read_now(lambda tx: changes.wire_at(tx, feed + 1, 2)) is None


@pytest.mark.parametrize("count", [1, 3])
def test_positions_are_taken_in_a_row_from_the_head(database: Database, feed: int, count: int) -> None:
    def transaction(tx: Transaction) -> tuple[int, int]:
        return changes.next_position(tx, feed, count), changes.next_position(tx, feed)

    assert database.write_now(transaction, feed=feed) == (7, 7 + count)


def test_forgotten_changes_leave_the_others(database: Database, feed: int) -> None:
    database.write_now(lambda tx: changes.forget(tx, feed, [1, 4, 99]))
    assert [position for position, *_ in log_of(database, feed)] == [2, 5, 6]


def test_forgetting_nothing_leaves_everything(database: Database, feed: int) -> None:
    before = log_of(database, feed)
    database.write_now(lambda tx: changes.forget(tx, feed, []))
    assert log_of(database, feed) == before

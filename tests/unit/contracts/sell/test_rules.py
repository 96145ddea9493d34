from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.base.wire import encode
from headwater.contracts.sell import queries, rules
from headwater.contracts.sell.ack_keys import render_key
from headwater.contracts.sell.rules import SellDevice, ShownPage
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds, records
from headwater.store.log.records import Draft
from tests.support.store.transactions import make_feed

CACHED = {"name": "Ada Byron", "email": None, "phone": None, "org_name": None, "updated_at": "2026-03-25T14:00:00Z"}
NOTE = {"contact_id": "a", "content": "Hello", "author_name": None, "updated_at": "2026-03-25T14:00:00Z"}
CONTACT_KIND, NOTE_KIND = "cached_contact", "note"


class Shop:
    """A feed of cached contacts and notes, and two devices that follow it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.feed = make_feed(database, "org:acme")
        self.phone = SellDevice("acme", self.feed, "phone", "usr_1", 11)
        self.tablet = SellDevice("acme", self.feed, "tablet", "usr_1", 22)

    def write(self, function: Any) -> Any:
        return self.database.write_now(function, feed=self.feed)

    def put(self, id: str, kind: str = CONTACT_KIND, body: bytes | None = None) -> None:
        content = body or encode({"id": id, **(CACHED if kind == CONTACT_KIND else NOTE)})
        draft = Draft(id, content, "", None, 1, 1)

        def transaction(tx: Transaction) -> None:
            current = records.find(tx, self.feed, kind, id)
            if current is None or current.deleted:
                records.create(tx, self.feed, kind, draft, current)
            else:
                records.replace(tx, self.feed, kind, current, draft, ["name"])

        self.write(transaction)

    def delete(self, id: str, kind: str = CONTACT_KIND) -> None:
        def transaction(tx: Transaction) -> None:
            current = records.find(tx, self.feed, kind, id)
            assert current is not None
            records.delete(tx, self.feed, kind, current)

        self.write(transaction)

    def begin(self, device: SellDevice | None = None, *types: str) -> list[int]:
        """Begin a session; the positions that it holds."""
        who = device or self.phone
        found = self.database.read_now(lambda tx: rules.prospect(tx, who, types or ("contact", "note")))
        if found.news:
            assert self.write(lambda tx: rules.commit_prospect(tx, who, found))
        return list(found.positions)

    def show(self, positions: list[int], device: SellDevice | None = None) -> ShownPage:
        who = device or self.phone
        return self.database.read_now(lambda tx: rules.show(tx, who, positions))

    def items(self, positions: list[int]) -> list[tuple[str, str, int]]:
        """What the phone is shown: event, type and the number of each item."""
        shown = [json.loads(item) for item in self.show(positions).items]
        return [(item["meta"]["sync"]["event_type"], item["meta"]["type"], item["data"]["id"]) for item in shown]

    def ack(self, positions: list[int], device: SellDevice | None = None) -> None:
        """Acknowledge everything that is shown at these positions."""
        who = device or self.phone
        texts = [json.loads(item)["meta"]["sync"]["ack_key"] for item in self.show(positions, who).items]
        self.write(lambda tx: rules.ack(tx, who, rules.keys_of(texts, who)))

    def lag(self, device: SellDevice | None = None) -> int:
        who = device or self.phone
        return self.database.read_now(lambda tx: rules.lag(tx, who))


@pytest.fixture
def shop(database: Database) -> Shop:
    shop = Shop(database)
    for id in "ab":
        shop.put(id)
    shop.put("n", NOTE_KIND)
    return shop


class TestSession:
    def test_a_new_device_is_offered_everything_that_lives(self, shop: Shop) -> None:
        shop.delete("b")
        positions = shop.begin()
        assert shop.items(positions) == [("created", "contact", 1), ("created", "note", 1)]

    def test_a_session_may_be_of_some_types(self, shop: Shop) -> None:
        assert shop.items(shop.begin(None, "note")) == [("created", "note", 1)]

    def test_what_was_acknowledged_does_not_come_again(self, shop: Shop) -> None:
        shop.ack(shop.begin())
        assert shop.begin() == []
        assert shop.lag() == 0

    def test_what_was_shown_and_not_acknowledged_comes_again(self, shop: Shop) -> None:
        first = shop.begin()
        shop.ack(first[:1])
        assert shop.begin() == first[1:]

    def test_a_change_comes_as_an_update_once_the_device_has_it(self, shop: Shop) -> None:
        shop.ack(shop.begin())
        shop.put("a")
        assert shop.items(shop.begin()) == [("updated", "contact", 1)]

    def test_a_deletion_comes_to_who_has_the_record_and_to_no_other(self, shop: Shop) -> None:
        shop.ack(shop.begin())
        shop.delete("a")
        assert shop.items(shop.begin()) == [("deleted", "contact", 1)]
        shop.put("c")
        shop.delete("c")
        assert [event for event, _, number in shop.items(shop.begin()) if number == 3] == []

    def test_devices_are_done_each_by_itself(self, shop: Shop) -> None:
        shop.ack(shop.begin())
        assert len(shop.begin(shop.tablet)) == 3
        assert (shop.lag(), shop.lag(shop.tablet)) == (0, 3)

    def test_a_session_whose_device_changed_meanwhile_is_not_begun(self, shop: Shop) -> None:
        first = shop.database.read_now(lambda tx: rules.prospect(tx, shop.phone, ("contact",)))
        shop.ack(shop.begin())
        assert not shop.write(lambda tx: rules.commit_prospect(tx, shop.phone, first))
        assert shop.begin() == []


class TestAck:
    def test_an_ack_of_an_older_state_does_not_hide_the_newer_one(self, shop: Shop) -> None:
        old = shop.begin()
        keys = [json.loads(item)["meta"]["sync"]["ack_key"] for item in shop.show(old).items]
        shop.put("a")
        shop.write(lambda tx: rules.ack(tx, shop.phone, rules.keys_of(keys, shop.phone)))
        assert [number for _, _, number in shop.items(shop.begin())] == [1]

    def test_a_repeated_ack_changes_nothing(self, shop: Shop) -> None:
        positions = shop.begin()
        shop.ack(positions)
        before = shop.database.read_now(lambda tx: queries.state_bytes(tx, shop.feed, "phone"))
        shop.ack(positions)
        assert shop.database.read_now(lambda tx: queries.state_bytes(tx, shop.feed, "phone")) == before

    def test_the_keys_of_another_device_mean_nothing(self, shop: Shop) -> None:
        key = render_key("contact", 1, 1, False, shop.tablet.seed)
        assert rules.keys_of([key, "rubbish", ""], shop.phone) == []
        assert len(rules.keys_of([key], shop.tablet)) == 1


class TestShow:
    def test_a_position_whose_change_was_replaced_is_passed_over(self, shop: Shop) -> None:
        shop.put("a")
        assert shop.show([1]).items == []

    def test_a_note_names_the_number_of_its_contact_once_it_is_there(self, shop: Shop) -> None:
        shop.put("lone", NOTE_KIND, encode({"id": "lone", **NOTE, "contact_id": "z"}))
        shown = [json.loads(item)["data"] for item in shop.show([3, 4]).items]
        assert [note["resource_id"] for note in shown] == [1, None]

    def test_a_record_that_cannot_be_shown_is_named_and_the_others_come(self, shop: Shop) -> None:
        shop.put("broken", body=b'{"id":"broken"}')
        shown = shop.show([1, 4])
        assert [(failed.type, failed.id) for failed in shown.failed] == [("contact", 3)]
        assert len(shown.items) == 1

    def test_positions_far_apart_and_side_by_side_are_found_alike(self, shop: Shop) -> None:
        for _ in range(60):
            shop.put("b")
        for positions in ([1, 3], [1, 63], [1, 2, 3, 63], []):
            found = shop.database.read_now(lambda tx, at=positions: queries.changes_at(tx, shop.feed, at))  # type: ignore[misc]
            assert [change.position for change in found] == [position for position in positions if position != 2]


class TestLostDeletions:
    def test_a_deletion_that_was_compacted_away_is_told_again_to_who_has_the_record(self, shop: Shop) -> None:
        shop.ack(shop.begin())
        shop.delete("a")
        shop.put("c")
        shop.write(lambda tx: tx.run("DELETE FROM changes WHERE feed = ? AND deleted = 1", shop.feed))
        shop.write(lambda tx: feeds.raise_floor(tx, shop.feed, 4))
        assert shop.database.read_now(lambda tx: rules.lost_deletions(tx, shop.phone)) == [("contact", 1)]
        assert shop.write(lambda tx: rules.restore_deletions(tx, shop.phone)) == 1
        assert ("deleted", "contact", 1) in shop.items(shop.begin())

    def test_a_device_that_had_everything_up_to_the_floor_lost_nothing(self, shop: Shop) -> None:
        shop.ack(shop.begin())
        shop.write(lambda tx: feeds.raise_floor(tx, shop.feed, 3))
        assert shop.write(lambda tx: rules.restore_deletions(tx, shop.phone)) == 0

    def test_a_new_device_lost_nothing(self, shop: Shop) -> None:
        shop.write(lambda tx: feeds.raise_floor(tx, shop.feed, 3))
        assert shop.database.read_now(lambda tx: rules.lost_deletions(tx, shop.tablet)) == []

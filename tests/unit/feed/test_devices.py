from __future__ import annotations

import pytest

from headwater.base.errors import NotFound, StateConflict
from headwater.feed import devices
from headwater.feed.devices import DeviceLag
from headwater.feed.sightings import CallingDevice
from headwater.store.database import Database
from tests.support.clock import MovableClock
from tests.support.store.transactions import make_feed, put


def note(database: Database, device_id: str, organisation: str = "acme", door: str = "sell") -> str:
    """Note a device; its id."""
    database.write_now(lambda tx: devices.claim(tx, CallingDevice(organisation, door, device_id, "usr_1")))
    sql = "SELECT id FROM devices WHERE organisation = ? AND door = ? AND device_id = ?"
    return str(database.read_now(lambda tx: tx.value(sql, organisation, door, device_id)))


def place(database: Database, feed: int, id: str, position: int) -> None:
    sql = "INSERT INTO device_positions (feed, device, position, at_us) VALUES (?, ?, ?, 0)"
    database.write_now(lambda tx: tx.run(sql, feed, id, position))


def listed(database: Database, organisation: str | None = None, *, inactive: bool = True) -> list[DeviceLag]:
    return database.read_now(lambda tx: devices.read_all(tx, organisation, inactive=inactive))


def test_a_device_is_registered_by_its_first_call(database: Database, clock: MovableClock) -> None:
    id = note(database, "phone")
    assert listed(database) == [
        DeviceLag(id, "acme", "sell", "phone", "usr_1", "phone", "", True, clock.at_us, clock.at_us, None, None, None)
    ]


def test_a_later_call_moves_only_the_time_at_which_it_was_seen(database: Database, clock: MovableClock) -> None:
    id, first_us = note(database, "phone"), clock.at_us
    clock.advance(60)
    assert note(database, "phone") == id
    device = listed(database)[0]
    assert (device.created_us, device.last_seen_us) == (first_us, clock.at_us)


@pytest.mark.parametrize(("organisation", "door"), [("other", "sell"), ("acme", "files")])
def test_the_same_name_elsewhere_is_another_device(database: Database, organisation: str, door: str) -> None:
    assert note(database, "phone") != note(database, "phone", organisation, door)
    assert len(listed(database)) == 2


def test_a_device_that_named_no_position_has_no_lag(database: Database) -> None:
    note(database, "phone")
    assert listed(database)[0].lag is None


@pytest.mark.parametrize(("position", "lag"), [(0, 3), (1, 2), (3, 0)])
def test_the_lag_is_the_distance_from_the_feeds_head(database: Database, position: int, lag: int) -> None:
    feed = make_feed(database, "org:acme")
    for name in "abc":
        database.write_now(put(feed, name))
    place(database, feed, note(database, "phone"), position)
    device = listed(database)[0]
    assert (device.feed, device.position, device.head, device.lag) == ("org:acme", position, 3, lag)


def test_a_device_has_a_row_for_each_feed_that_it_follows(database: Database) -> None:
    feeds = [make_feed(database, name) for name in ("share:b", "share:a")]
    id = note(database, "phone")
    for feed in feeds:
        place(database, feed, id, 0)
    assert [device.feed for device in listed(database)] == ["share:a", "share:b"]


def test_devices_are_listed_by_organisation_door_and_name(database: Database) -> None:
    for device_id, organisation, door in [
        ("b", "acme", "sell"),
        ("a", "acme", "sell"),
        ("c", "acme", "files"),
        ("d", "abc", "z"),
    ]:
        note(database, device_id, organisation, door)
    assert [device.device_id for device in listed(database)] == ["d", "c", "a", "b"]
    assert [device.device_id for device in listed(database, "acme")] == ["c", "a", "b"]
    assert listed(database, "nobody") == []


class TestDeactivate:
    def deactivate(self, database: Database, id: str) -> list[DeviceLag]:
        return database.write_now(lambda tx: devices.deactivate(tx, id))

    @pytest.mark.parametrize("by_name", [True, False])
    def test_a_device_is_taken_out_of_the_count_by_id_or_by_its_only_name(
        self, database: Database, by_name: bool
    ) -> None:
        id = note(database, "phone")
        note(database, "tablet")
        rows = self.deactivate(database, "phone" if by_name else id)
        assert [(row.id, row.is_active) for row in rows] == [(id, False)]
        assert [device.device_id for device in listed(database, inactive=False)] == ["tablet"]
        assert len(listed(database)) == 2

    def test_a_device_that_calls_again_is_active_again(self, database: Database) -> None:
        self.deactivate(database, note(database, "phone"))
        note(database, "phone")
        assert listed(database)[0].is_active

    def test_a_name_that_several_clients_gave_is_refused_with_their_ids(self, database: Database) -> None:
        ids = sorted([note(database, "phone"), note(database, "phone", door="files")])
        with pytest.raises(StateConflict, match=f"{ids[0]}, {ids[1]}"):
            self.deactivate(database, "phone")
        assert all(device.is_active for device in listed(database))

    def test_an_id_wins_over_another_devices_name(self, database: Database) -> None:
        id = note(database, "phone")
        note(database, id)
        assert [row.id for row in self.deactivate(database, id)] == [id]
        assert [device.device_id for device in listed(database, inactive=False)] == [id]

    def test_an_unknown_device_is_not_found(self, database: Database) -> None:
        with pytest.raises(NotFound, match="headwater device list"):
            self.deactivate(database, "phone")

    def test_its_rows_of_all_feeds_are_given(self, database: Database) -> None:
        feeds = [make_feed(database, name) for name in ("share:b", "share:a")]
        id = note(database, "phone")
        for feed in feeds:
            place(database, feed, id, 0)
        assert [row.feed for row in self.deactivate(database, id)] == ["share:a", "share:b"]

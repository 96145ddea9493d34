"""Devices that called lately: collected without a write, and written together."""

from __future__ import annotations

import pytest

from headwater.feed import devices, sightings
from headwater.feed.devices import DeviceLag
from headwater.feed.sightings import CallingDevice, Sighting, Sightings
from headwater.store.database import Database
from tests.support.clock import MovableClock
from tests.support.store.transactions import make_feed, put

PHONE = CallingDevice("acme", "sell", "phone", "usr_1")
REPLICA = CallingDevice("acme", "feed", "replica", "usr_1")


def register(database: Database, device: CallingDevice = PHONE) -> str:
    """Register a device; its id."""
    database.write_now(lambda tx: devices.claim(tx, device))
    return next(row.id for row in everything(database) if row.device_id == device.device_id)


def everything(database: Database) -> list[DeviceLag]:
    return database.read_now(devices.read_all)


def write(database: Database, device: CallingDevice, at_us: int, feed: int = 0, position: int = 0) -> None:
    database.write_now(lambda tx: sightings.write(tx, {device: Sighting(at_us, feed, position)}))


def test_a_sighting_moves_the_last_seen_time_and_nothing_else(database: Database, clock: MovableClock) -> None:
    register(database)
    before = everything(database)[0]
    write(database, PHONE, clock.at_us + 7)
    assert everything(database)[0] == before._replace(last_seen_us=clock.at_us + 7)


def test_a_clock_that_steps_back_leaves_the_last_seen_time(database: Database, clock: MovableClock) -> None:
    register(database)
    write(database, PHONE, clock.at_us - 1)
    assert everything(database)[0].last_seen_us == clock.at_us


def test_a_deactivated_device_that_calls_again_is_active(database: Database, clock: MovableClock) -> None:
    id = register(database)
    database.write_now(lambda tx: devices.deactivate(tx, id))
    write(database, PHONE, clock.at_us - 1)
    assert not everything(database)[0].is_active, "the call was before the deactivation"
    write(database, PHONE, clock.at_us + 1)
    assert everything(database)[0].is_active


def test_a_files_device_that_its_user_set_inactive_stays_so(database: Database, clock: MovableClock) -> None:
    laptop = PHONE._replace(door="files")
    id = register(database, laptop)
    database.write_now(lambda tx: tx.run("UPDATE devices SET is_active = 0 WHERE id = ?", id))
    write(database, laptop, clock.at_us + 1)
    assert not everything(database)[0].is_active
    database.write_now(lambda tx: devices.deactivate(tx, id))
    write(database, laptop, clock.at_us + 1)
    assert everything(database)[0].is_active


def test_a_call_under_another_users_device_name_changes_nothing(database: Database, clock: MovableClock) -> None:
    register(database)
    before = everything(database)
    write(database, PHONE._replace(user_id="usr_2"), clock.at_us + 9)
    feed = make_feed(database, "org:acme")
    write(database, PHONE._replace(user_id="usr_2"), clock.at_us + 9, feed, 3)
    assert everything(database) == before


def test_a_device_that_reports_no_position_is_not_registered(database: Database, clock: MovableClock) -> None:
    write(database, PHONE, clock.at_us)
    assert everything(database) == []


def test_a_device_that_reports_its_position_is_listed_with_its_lag(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database, "org:acme")
    for name in "abc":
        database.write_now(put(feed, name))
    write(database, REPLICA, clock.at_us, feed, 1)
    listed = everything(database)[0]
    assert (listed.door, listed.device_id, listed.position, listed.lag) == ("feed", "replica", 1, 2)
    write(database, REPLICA, clock.at_us + 5, feed, 3)
    listed = everything(database)[0]
    assert (listed.lag, listed.last_seen_us, listed.created_us) == (0, clock.at_us + 5, clock.at_us)


def test_only_the_newest_call_of_each_device_is_written() -> None:
    seen = Sightings()
    seen.note(REPLICA, Sighting(1, 5, 40))
    seen.note(REPLICA, Sighting(2))
    seen.note(PHONE, Sighting(3))
    assert seen.drain() == {REPLICA: Sighting(2, 5, 40), PHONE: Sighting(3)}
    assert len(seen) == 0


def test_a_crowd_of_devices_grows_the_sightings_to_their_limit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "LIMIT", 2)
    seen = Sightings()
    for name in "abc":
        seen.note(PHONE._replace(device_id=name), Sighting(1))
    seen.note(PHONE._replace(device_id="a"), Sighting(2))
    assert [(device.device_id, at.at_us) for device, at in seen.drain().items()] == [("a", 2), ("b", 1)]

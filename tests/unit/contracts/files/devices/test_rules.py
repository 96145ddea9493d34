from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.contracts.files.devices import checkpoints, rules
from headwater.contracts.files.devices.rules import HEARTBEAT_US, DeviceRow
from headwater.contracts.files.devices.shapes import DeviceFields, DevicePatch, NamedPreference, PreferenceFields
from headwater.feed.cursor import Place
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.database import Database
from headwater.store.log import feeds
from tests.support.clock import MovableClock
from tests.support.file_share import FileShare
from tests.support.store.transactions import make_feed

ADA = Principal("tok_1", "ada", "default", Role.GLOBAL_ADMIN, frozenset())
BO = ADA._replace(user_id="bo")


def register(
    database: Database, device_id: str = "phone", principal: Principal = ADA, **fields: Any
) -> tuple[DeviceRow, bool]:
    wanted = DeviceFields(device_id=device_id, platform="ios", **fields)
    return database.write_now(lambda tx: rules.register(tx, principal, wanted))


def device(database: Database, device_id: str = "phone", principal: Principal = ADA) -> DeviceRow:
    return register(database, device_id, principal)[0]


class TestRegister:
    def test_a_new_device_is_active_and_called_by_its_id(self, database: Database, clock: MovableClock) -> None:
        row, is_new = register(database)
        assert is_new
        assert (row.device_id, row.device_name, row.client_version) == ("phone", "phone", "0.0.0")
        assert (row.is_active, row.last_seen_us, row.created_us) == (1, clock.at_us, clock.at_us)

    def test_registering_again_renews_what_is_known_and_keeps_its_id(
        self, database: Database, clock: MovableClock
    ) -> None:
        first = device(database)
        clock.advance(60)
        row, is_new = register(database, device_name="Ada's phone", client_version="1.2.3")
        assert not is_new
        assert (row.id, row.created_us) == (first.id, first.created_us)
        assert (row.device_name, row.client_version, row.last_seen_us) == ("Ada's phone", "1.2.3", clock.at_us)

    def test_a_device_of_another_user_is_not_taken_over(self, database: Database) -> None:
        before = device(database)
        with pytest.raises(StateConflict):
            register(database, principal=BO)
        assert database.read_now(lambda tx: rules.find(tx, ADA, "phone")) == before

    def test_the_same_id_in_another_organisation_is_another_device(self, database: Database) -> None:
        assert device(database).id != device(database, principal=BO._replace(organisation="other")).id

    @pytest.mark.parametrize("device_id", ["a\nb", "\u200b", "x" * 129, ""])
    def test_an_id_that_cannot_be_one_is_refused(self, database: Database, device_id: str) -> None:
        with pytest.raises(Invalid) as failure:
            register(database, device_id)
        assert failure.value.fields[0].field == "device_id"


class TestFind:
    def test_a_device_is_found_by_the_clients_id_and_by_ours(self, database: Database) -> None:
        row = device(database)
        for id in ("phone", row.id):
            assert database.read_now(lambda tx, id=id: rules.find(tx, ADA, id)) == row  # type: ignore[misc]  # noqa: A006

    def test_a_device_of_another_user_or_none_is_not_found(self, database: Database) -> None:
        row = device(database)
        for principal, id in ((BO, "phone"), (BO, row.id), (ADA, "tablet"), (ADA._replace(organisation="x"), "phone")):
            with pytest.raises(NotFound):
                database.read_now(lambda tx, principal=principal, id=id: rules.find(tx, principal, id))  # type: ignore[misc]  # noqa: A006

    def test_the_callers_devices_are_listed_by_their_age(self, database: Database, clock: MovableClock) -> None:
        for name in ("b", "a"):
            device(database, name)
            clock.advance(1)
        device(database, "of-bo", BO)
        assert [row.device_id for row in database.read_now(lambda tx: rules.of_caller(tx, ADA))] == ["b", "a"]


class TestChange:
    @pytest.mark.parametrize(
        ("patch", "name", "active"),
        [
            (DevicePatch(), "phone", 1),
            (DevicePatch(device_name="new"), "new", 1),
            (DevicePatch(is_active=False), "phone", 0),
            (DevicePatch(device_name="new", is_active=False), "new", 0),
        ],
    )
    def test_only_what_the_patch_names_changes(
        self, database: Database, patch: DevicePatch, name: str, active: int
    ) -> None:
        device(database)
        changed = database.write_now(lambda tx: rules.change(tx, ADA, "phone", patch))
        assert (changed.device_name, changed.is_active) == (name, active)
        assert database.read_now(lambda tx: rules.find(tx, ADA, "phone")) == changed

    def test_a_removed_device_is_unknown_and_may_register_anew(self, database: Database) -> None:
        first = device(database)
        database.write_now(lambda tx: rules.remove(tx, ADA, "phone"))
        with pytest.raises(NotFound):
            database.read_now(lambda tx: rules.find(tx, ADA, "phone"))
        second, is_new = register(database)
        assert is_new
        assert second.id != first.id


@pytest.mark.parametrize(
    ("after_us", "lately"), [(0, True), (HEARTBEAT_US - 1, True), (HEARTBEAT_US, False), (-1, False)]
)
def test_a_heartbeat_is_written_when_the_last_one_is_old_or_in_the_future(
    database: Database, after_us: int, lately: bool
) -> None:
    row = device(database)
    assert rules.was_seen_lately(row, row.last_seen_us + after_us) is lately


def test_a_heartbeat_moves_the_time_at_which_a_device_was_seen(database: Database, clock: MovableClock) -> None:
    row = device(database)
    clock.advance(30)
    database.write_now(lambda tx: rules.heartbeat(tx, row))
    assert database.read_now(lambda tx: rules.find(tx, ADA, "phone")) == row._replace(last_seen_us=clock.at_us)


class TestPreferences:
    def set(self, share: FileShare, row: DeviceRow, **fields: Any) -> Any:
        wanted = PreferenceFields(**fields)
        return share.server.database.write_now(lambda tx: rules.set_preference(tx, ADA, row, share.id, wanted))

    def shown(self, share: FileShare, row: DeviceRow, principal: Principal = ADA) -> list[Any]:
        found: list[Any] = share.read(lambda tx: rules.preferences(tx, principal, row))
        return [(each.sync_enabled, each.selected_folders, each.excluded_folders) for each in found]

    def test_a_device_wants_all_of_a_share_until_it_says_otherwise(self, share: FileShare) -> None:
        row = device(share.server.database)
        assert self.shown(share, row) == []
        self.set(share, row)
        assert self.shown(share, row) == [(True, [], [])]

    def test_a_field_that_is_left_out_is_kept(self, share: FileShare) -> None:
        row = device(share.server.database)
        self.set(share, row, selected_folders=["/a"], sync_enabled=False)
        self.set(share, row, excluded_folders=["/a/b"])
        assert self.shown(share, row) == [(False, ["/a"], ["/a/b"])]
        assert PreferenceFields().selected_folders is UNSET

    def test_a_folder_that_no_share_can_hold_changes_nothing(self, share: FileShare) -> None:
        row = device(share.server.database)
        self.set(share, row, selected_folders=["/a"])
        with pytest.raises(Invalid):
            self.set(share, row, sync_enabled=False, excluded_folders=["/a/../b"])
        assert self.shown(share, row) == [(True, ["/a"], [])]

    def test_several_are_changed_all_or_none(self, share: FileShare) -> None:
        row = device(share.server.database)
        wanted = [NamedPreference(share_id=id, sync_enabled=False) for id in (share.id, "shr_0")]
        with pytest.raises(NotFound):
            share.server.database.write_now(lambda tx: rules.set_preferences(tx, ADA, row, wanted))
        assert self.shown(share, row) == []

    def test_a_share_that_the_user_no_longer_reads_is_not_shown(self, share: FileShare) -> None:
        row = device(share.server.database)
        self.set(share, row)
        stranger = ADA._replace(user_id="cy", role=Role.PEER_MENTOR)
        assert self.shown(share, row, stranger) == []

    def test_the_preferences_of_a_removed_device_go_with_it(self, share: FileShare) -> None:
        database = share.server.database
        self.set(share, device(database), sync_enabled=False)
        database.write_now(lambda tx: rules.remove(tx, ADA, "phone"))
        assert database.read_now(lambda tx: tx.value("SELECT count(*) FROM sync_preferences")) == 0


class TestCheckpoints:
    @pytest.fixture
    def feed(self, database: Database) -> int:
        return make_feed(database, "share:a", history=True)

    def find(self, database: Database, feed: int, row: DeviceRow) -> Any:
        return database.read_now(lambda tx: checkpoints.find(tx, feed, row))

    def test_a_device_that_named_no_position_has_no_checkpoint(self, database: Database, feed: int) -> None:
        assert self.find(database, feed, device(database)) is None

    def test_a_checkpoint_may_go_forward_and_back(self, database: Database, feed: int, clock: MovableClock) -> None:
        row = device(database)
        for position in (5, 9, 2):
            clock.advance(1)
            made = database.write_now(lambda tx, position=position: checkpoints.put(tx, feed, row, position))  # type: ignore[misc]
            assert made == self.find(database, feed, row) == (position, clock.at_us)

    def test_the_first_checkpoint_is_the_head_and_a_later_call_changes_nothing(
        self, database: Database, feed: int
    ) -> None:
        row = device(database)
        database.write_now(lambda tx: tx.bump(feed, "head", 7), feed=feed)
        first = database.write_now(lambda tx: checkpoints.begin(tx, feed, row))
        database.write_now(lambda tx: tx.bump(feed, "head", 7), feed=feed)
        assert database.write_now(lambda tx: checkpoints.begin(tx, feed, row)) == first
        assert first.position == 7

    @pytest.mark.parametrize(
        ("place", "upto"), [(Place(7), 7), (Place(0), 0), (Place(7, 9), 0), (Place(1 << 62, 9), 0)]
    )
    def test_a_reader_of_the_tree_holds_nothing_completely_yet(self, place: Place, upto: int) -> None:
        assert checkpoints.complete_upto(place) == upto

    @pytest.mark.parametrize(
        ("position", "floor", "relist", "expected"),
        [
            (5, 0, None, []),
            (5, 5, None, []),
            (5, 6, None, [(6, True)]),
            (5, 0, 5, []),
            (5, 0, 6, [(6, True)]),
            (None, 0, 6, [(6, False)]),
            (0, 9, 6, [(6, False)]),
            (None, 9, None, []),
        ],
    )
    def test_a_device_must_list_below_the_floor_or_before_a_change_that_says_so(
        self, share: FileShare, position: int | None, floor: int, relist: int | None, expected: list[tuple[int, bool]]
    ) -> None:
        database, row = share.server.database, device(share.server.database)
        if position is not None:
            database.write_now(lambda tx: checkpoints.put(tx, share.feed, row, position))
        database.write_now(lambda tx: feeds.raise_floor(tx, share.feed, floor))
        if relist is not None:
            database.write_now(lambda tx: checkpoints.ask_for_listing(tx, share.feed, relist), feed=share.feed)
        found = database.read_now(lambda tx: checkpoints.behind(tx, row, [share.id, "shr_0"]))
        assert [(each.upto, each.known) for each in found] == expected
        assert {each.share for each in found} <= {share.id}
        assert database.read_now(lambda tx: checkpoints.behind(tx, row, [])) == []

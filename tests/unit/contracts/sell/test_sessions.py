from __future__ import annotations

import pytest
from pyroaring import BitMap64

from headwater.base.errors import NotFound, TooManyRequests
from headwater.contracts.sell.sessions import DeviceKey, Live, Sessions

KEY, IDLE_SECONDS, PER_ACCOUNT = b"k" * 32, 600, 3
PHONE, TABLET = DeviceKey(1, "phone"), DeviceKey(1, "tablet")


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(KEY, PER_ACCOUNT, IDLE_SECONDS)


def begin(sessions: Sessions, device: DeviceKey = PHONE, at: float = 0.0) -> Live:
    return sessions.open(device, BitMap64([2, 3, 5, 7, 11]), 12, at)


class TestTake:
    @pytest.mark.parametrize("count", [1, 2, 3, 5, 100])
    def test_positions_are_handed_out_once_and_in_order(self, sessions: Sessions, count: int) -> None:
        live = begin(sessions)
        found: list[int] = []
        while taken := live.take(count):
            assert len(taken) <= count
            found += taken
        assert found == [2, 3, 5, 7, 11]
        assert live.take(count) == []

    def test_taking_none_leaves_all(self, sessions: Sessions) -> None:
        live = begin(sessions)
        assert live.take(0) == []
        assert len(live.positions) == 5


class TestFind:
    def test_a_device_finds_its_own_session(self, sessions: Sessions) -> None:
        live = begin(sessions)
        assert sessions.find(live.id, PHONE, 1.0) is live

    @pytest.mark.parametrize("device", [TABLET, DeviceKey(2, "phone"), DeviceKey(1, "")])
    def test_a_session_of_another_device_or_account_was_never_issued(
        self, sessions: Sessions, device: DeviceKey
    ) -> None:
        live = begin(sessions)
        with pytest.raises(NotFound):
            sessions.find(live.id, device, 1.0)

    @pytest.mark.parametrize("id", ["", "x", "0" * 48, "å" * 48, "\ud800"])
    def test_an_id_that_no_server_issued_is_not_found(self, sessions: Sessions, id: str) -> None:
        with pytest.raises(NotFound):
            sessions.find(id, PHONE, 1.0)

    def test_an_id_with_one_other_character_is_not_found(self, sessions: Sessions) -> None:
        id = begin(sessions).id
        for at in (0, 23, 24, 47):
            forged = id[:at] + ("0" if id[at] != "0" else "1") + id[at + 1 :]
            with pytest.raises(NotFound):
                sessions.find(forged, PHONE, 1.0)

    def test_an_issued_id_that_a_restart_forgot_has_ended(self, sessions: Sessions) -> None:
        live = begin(sessions)
        assert Sessions(KEY, PER_ACCOUNT, IDLE_SECONDS).find(live.id, PHONE, 1.0) is None

    def test_an_id_of_a_server_with_another_key_is_not_found(self, sessions: Sessions) -> None:
        with pytest.raises(NotFound):
            Sessions(b"o" * 32, PER_ACCOUNT, IDLE_SECONDS).find(begin(sessions).id, PHONE, 1.0)

    @pytest.mark.parametrize(("idle", "good"), [(IDLE_SECONDS, True), (IDLE_SECONDS + 1, False)])
    def test_a_session_ends_when_it_was_unused_too_long(self, sessions: Sessions, idle: float, good: bool) -> None:
        live = begin(sessions)
        assert (sessions.find(live.id, PHONE, idle) is live) is good
        assert len(sessions) == good

    def test_each_use_begins_the_wait_anew(self, sessions: Sessions) -> None:
        live = begin(sessions)
        for turn in range(1, 4):
            assert sessions.find(live.id, PHONE, turn * IDLE_SECONDS) is live


class TestOpen:
    def test_a_new_session_of_a_device_ends_its_older_one(self, sessions: Sessions) -> None:
        older, newer = begin(sessions), begin(sessions)
        assert sessions.find(older.id, PHONE, 1.0) is None
        assert sessions.find(newer.id, PHONE, 1.0) is newer
        assert len(sessions) == 1

    def test_two_sessions_of_one_device_have_two_ids(self, sessions: Sessions) -> None:
        assert begin(sessions).id != begin(sessions).id

    def test_a_full_account_is_refused_and_learns_when_to_come_again(self, sessions: Sessions) -> None:
        for number in range(PER_ACCOUNT):
            begin(sessions, DeviceKey(1, f"d{number}"), at=float(number))
        with pytest.raises(TooManyRequests, match="3") as failure:
            begin(sessions, PHONE, at=10.0)
        assert failure.value.retry_after_seconds == 50
        assert len(sessions) == PER_ACCOUNT

    def test_a_full_account_lets_its_longest_idle_session_go(self, sessions: Sessions) -> None:
        held = [begin(sessions, DeviceKey(1, f"d{number}"), at=float(number)) for number in range(PER_ACCOUNT)]
        sessions.find(held[0].id, held[0].device, 50.0)
        begin(sessions, PHONE, at=61.0)
        assert [sessions.find(live.id, live.device, 61.0) is live for live in held] == [True, False, True]

    def test_the_same_device_needs_no_further_place(self, sessions: Sessions) -> None:
        for number in range(PER_ACCOUNT):
            begin(sessions, DeviceKey(1, f"d{number}"))
        begin(sessions, DeviceKey(1, "d0"), at=1.0)
        assert len(sessions) == PER_ACCOUNT

    def test_another_account_has_its_own_places(self, sessions: Sessions) -> None:
        for number in range(PER_ACCOUNT):
            begin(sessions, DeviceKey(1, f"d{number}"))
        assert begin(sessions, DeviceKey(2, "phone")).device.feed == 2


class TestEnd:
    def test_a_session_that_ended_is_forgotten_and_ending_again_is_harmless(self, sessions: Sessions) -> None:
        live, other = begin(sessions), begin(sessions, TABLET)
        sessions.end(live)
        sessions.end(live)
        assert sessions.find(live.id, PHONE, 1.0) is None
        assert sessions.find(other.id, TABLET, 1.0) is other

    def test_the_end_of_an_older_session_leaves_the_newer_one(self, sessions: Sessions) -> None:
        older, newer = begin(sessions), begin(sessions)
        sessions.end(older)
        assert sessions.find(newer.id, PHONE, 1.0) is newer

    def test_an_account_without_sessions_takes_no_memory(self, sessions: Sessions) -> None:
        sessions.end(begin(sessions))
        assert (len(sessions), sessions._accounts, sessions._by_device) == (0, {}, {})

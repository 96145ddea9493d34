"""The places that callers take, their shares, the gate, and the seat of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from typing import Any

import msgspec
import pytest

from headwater.base.errors import Malformed, Unavailable
from headwater.base.settings.table import FileSettings, LimitSettings, Settings
from headwater.web.http.presence import Presence
from headwater.web.limits import AllPlaces, Places, Seat, block_of

Step = Callable[[], Coroutine[Any, Any, None]]


def run(step: Step) -> None:
    asyncio.run(step())


async def turns() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def filled(places: Places, caller: str) -> int:
    """The places that a caller gets when it takes all that it may."""
    while places.has_room(caller):
        places.take(caller)
    return places.of(caller)


def test_over_the_limit_a_caller_is_refused_until_one_leaves() -> None:
    places = Places("requests", 2, 100)
    places.take("a")
    places.take("a")
    with pytest.raises(Unavailable) as refused:
        places.take("b")
    assert refused.value.retry_after_seconds
    places.leave("a")
    places.take("b")
    assert (places.count, places.of("a"), places.of("b")) == (2, 1, 1)


@pytest.mark.parametrize("limit", [2, 64, 256, 1000])
def test_one_caller_has_at_most_its_share(limit: int) -> None:
    assert filled(Places("uploads", limit, 25), "a") <= limit // 4 + 1


@pytest.mark.parametrize("limit", [16, 64, 256])
def test_several_greedy_callers_leave_room_for_one_more(limit: int) -> None:
    places = Places("uploads", limit, 25)
    for caller in "abcd":
        filled(places, caller)
    places.take("newcomer")
    assert places.count < limit


def test_the_share_can_be_turned_off() -> None:
    assert filled(Places("uploads", 64, 100), "a") == 64


def test_what_a_caller_frees_it_may_take_again() -> None:
    places = Places("uploads", 64, 25)
    most = filled(places, "a")
    for _ in range(most):
        places.leave("a")
    assert (places.count, places.of("a"), filled(places, "a")) == (0, 0, most)


def test_a_large_body_takes_as_many_places_as_it_has_mebibytes() -> None:
    places = Places("bodies", 64, 25)
    places.take("a", 16)
    assert (places.count, places.has_room("a", 16), places.has_room("b", 8)) == (16, False, True)
    places.leave("a", 16)
    assert places.count == 0


def test_a_body_larger_than_all_places_takes_them_all_rather_than_none() -> None:
    places = Places("bodies", 4, 100)
    places.take("a", 16)
    assert not places.has_room("b")
    places.leave("a", 16)
    assert places.count == 0


def test_those_who_wait_are_admitted_the_one_with_the_fewest_places_first() -> None:
    async def step() -> None:
        places = Places("uploads", 2, 100)
        places.take("a")
        places.take("a")
        order: list[str] = []

        async def wait(caller: str) -> None:
            await places.wait(caller)
            order.append(caller)

        tasks = [asyncio.create_task(wait(caller)) for caller in ("a", "a", "b")]
        await turns()
        places.leave("a")
        await turns()
        assert order == ["b"]
        places.leave("a")
        await turns()
        assert order == ["b", "a"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (places.count, places._waiting) == (2, {})

    run(step)


def test_a_wait_that_is_cancelled_at_the_moment_of_its_turn_takes_no_place() -> None:
    async def step() -> None:
        places = Places("uploads", 1, 100)
        places.take("a")
        waiting = asyncio.create_task(places.wait("b"))
        await turns()
        places.leave("a")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (places.count, places.of("b"), places._waiting) == (0, 0, {})

    run(step)


def all_places(**limits: int) -> AllPlaces:
    files = FileSettings(uploads_at_once=limits.pop("uploads_at_once", 1))
    return AllPlaces(msgspec.structs.replace(Settings(), limits=LimitSettings(**limits), files=files))


def seat_of(places: AllPlaces, caller: str = "a", presence: Presence | None = None) -> Seat:
    seat = Seat(places, presence)
    assert seat.try_enter(caller)
    return seat


def test_a_request_that_waits_stands_aside_and_has_its_place_again() -> None:
    places = all_places(in_flight_requests=1, waiting_requests=1)
    seat = seat_of(places)
    with seat.waiting():
        assert (places.requests.count, places.waiting.count) == (0, 1)
        other = seat_of(places, "b")
        with pytest.raises(Unavailable), other.waiting():
            pass
    assert (places.requests.count, places.waiting.count) == (2, 0)
    with pytest.raises(ZeroDivisionError), seat.waiting():
        raise ZeroDivisionError
    seat.leave()
    seat.leave()
    other.leave()
    assert (places.requests.count, places.waiting.count) == (0, 0)


def test_an_answer_to_a_change_is_sent_though_readers_have_all_places() -> None:
    places = all_places(answers_at_once=1)
    first, second = seat_of(places), seat_of(places, "b")
    with first.answering(0, to_change=False):
        with pytest.raises(Unavailable), second.answering(0, to_change=False):
            pass
        with second.answering(3_000_000, to_change=True):
            assert places.requests.count == 0
    assert (places.answers.count, places.more_answers.count, places.requests.count) == (0, 0, 2)


def test_answers_to_changes_that_are_not_read_take_no_place_of_the_readers() -> None:
    places = all_places(answers_at_once=16, in_flight_requests=1000)
    with ExitStack() as unread:
        for _ in range(100):
            with suppress(Unavailable):
                unread.enter_context(seat_of(places, "hostile").answering(0, to_change=True))
        assert places.answers.of("hostile") + places.more_answers.of("hostile") < 16
        unread.enter_context(seat_of(places, "other").answering(0, to_change=False))


@pytest.mark.parametrize("limit", [1, 2, 16, 64])
def test_what_is_larger_than_the_share_of_a_caller_finds_room(limit: int) -> None:
    places = Places("bodies", limit, 25)
    places.take("a", 1000)
    assert 1 <= places.count <= max(1, limit // 4)
    places.leave("a", 1000)
    assert places.count == 0


def test_an_upload_waits_at_the_gate_for_its_time_and_then_gets_503() -> None:
    async def step() -> None:
        places = all_places(gate_seconds=0)
        first, second = seat_of(places), seat_of(places, "b")
        async with first.uploading():
            with pytest.raises(Unavailable) as refused:
                async with second.uploading():
                    pass
            assert refused.value.retry_after_seconds
        async with second.uploading():
            assert (places.uploads.count, places.waiting.count) == (1, 0)
        assert (places.uploads.count, places.requests.count) == (0, 2)

    run(step)


def test_an_upload_at_the_gate_begins_when_the_one_before_ends() -> None:
    async def step() -> None:
        places = all_places(gate_seconds=60)
        first, second = seat_of(places), seat_of(places, "b")
        begun = asyncio.Event()

        async def upload() -> None:
            async with second.uploading():
                begun.set()

        async with first.uploading():
            waiting = asyncio.create_task(upload())
            await turns()
            assert (places.waiting.count, places.requests.count, begun.is_set()) == (1, 0, False)
        await waiting
        assert begun.is_set()

    run(step)


@pytest.mark.parametrize("notices", [True, False])
def test_a_caller_that_is_gone_leaves_the_gate_at_once(notices: bool) -> None:
    """``notices`` is False for a connection that is not read, whose end only a look finds."""

    async def step() -> None:
        gone: list[bool] = []
        presence = Presence(lambda: bool(gone))
        places = all_places(gate_seconds=60)
        first, second = seat_of(places), seat_of(places, "b", presence)
        async with first.uploading():

            async def upload() -> None:
                async with second.uploading():
                    raise AssertionError("there was no room")

            waiting = asyncio.create_task(upload())
            await turns()
            gone.append(True)
            if notices:
                presence.end()
            with pytest.raises(Malformed):
                await waiting
            assert (places.waiting.count, places.uploads.count) == (0, 1)

    run(step)


def test_more_requests_at_the_gate_than_may_wait_are_refused_at_once() -> None:
    async def step() -> None:
        places = all_places(gate_seconds=60, waiting_requests=0)
        first, second = seat_of(places), seat_of(places, "b")
        async with first.uploading():
            with pytest.raises(Unavailable):
                async with second.uploading():
                    pass

    run(step)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_addresses_of_one_block_are_one_caller(one: str, other: str) -> None:
    assert block_of(one) == block_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8:1:2::1", "2001:db8:1:3::1"), ("192.0.2.1", "192.0.2.2"), ("", "unknown"), ("a", "b")],
)
def test_other_addresses_are_other_callers(one: str, other: str) -> None:
    assert block_of(one) != block_of(other)

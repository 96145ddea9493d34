"""One computation serves all who ask meanwhile; a caller that leaves ends it for no other one."""

from __future__ import annotations

import asyncio

import pytest

from headwater.base.errors import Damaged
from headwater.web.single_flight import SingleFlight


def test_all_who_ask_meanwhile_get_one_result_and_later_ones_a_new_one() -> None:
    async def play() -> tuple[list[int], int]:
        flights: SingleFlight[int] = SingleFlight(2)
        runs = 0

        async def compute() -> int:
            nonlocal runs
            runs += 1
            await asyncio.sleep(0)
            return runs

        together = await asyncio.gather(*(flights.result("key", compute) for _ in range(50)))
        return together, await flights.result("key", compute)

    assert asyncio.run(play()) == ([1] * 50, 2)


def test_few_are_computed_at_once() -> None:
    async def play() -> int:
        flights: SingleFlight[None] = SingleFlight(2)
        running = most = 0

        async def compute() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

        await asyncio.gather(*(flights.result(number, compute) for number in range(20)))
        return most

    assert asyncio.run(play()) == 2


def test_a_caller_that_leaves_ends_it_for_no_other_one_and_a_failure_reaches_each() -> None:
    async def play() -> list[object]:
        flights: SingleFlight[int] = SingleFlight(1)
        go_on = asyncio.Event()

        async def compute() -> int:
            await go_on.wait()
            raise Damaged("it fails its hash")

        callers = [asyncio.ensure_future(flights.result("key", compute)) for _ in range(3)]
        await asyncio.sleep(0)
        callers[0].cancel()
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(*callers, return_exceptions=True)

    left, *others = asyncio.run(play())
    assert isinstance(left, asyncio.CancelledError)
    for other in others:
        with pytest.raises(Damaged):
            raise other if isinstance(other, BaseException) else AssertionError

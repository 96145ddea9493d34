from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from headwater.feed.wake import EVERYTHING, Wake

Heard = list[tuple[int, int]]
SOON_SECONDS = 5.0
NEVER_SECONDS = 0.01


def on_loop(work: Callable[[Wake], Coroutine[Any, Any, Any]]) -> Any:
    """The outcome of a work with wake-ups that are attached to its loop."""

    async def run() -> Any:
        wake = Wake()
        wake.attach(asyncio.get_running_loop())
        return await work(wake)

    return asyncio.run(run())


async def ticks(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def listening(wake: Wake, *feeds: int) -> Heard:
    heard: Heard = []
    for feed in feeds:
        wake.listen(feed, lambda feed, head: heard.append((feed, head)))
    return heard


def test_a_listener_hears_of_its_own_feed_alone() -> None:
    async def work(wake: Wake) -> Heard:
        heard = listening(wake, 3)
        wake.moved({3: 10, 4: 11})
        await ticks()
        return heard

    assert on_loop(work) == [(3, 10)]


def test_commits_of_one_tick_are_told_once_with_the_newest_head() -> None:
    async def work(wake: Wake) -> Heard:
        heard = listening(wake, 3, 4)
        wake.moved({3: 10})
        wake.moved({3: 11})
        wake.moved({4: 1})
        assert heard == []
        await ticks()
        return sorted(heard)

    assert on_loop(work) == [(3, 11), (4, 1)]


def test_a_commit_of_another_thread_is_told_on_the_loop() -> None:
    async def work(wake: Wake) -> tuple[Heard, set[threading.Thread]]:
        threads: set[threading.Thread] = set()
        heard: Heard = []

        def listener(feed: int, head: int) -> None:
            threads.add(threading.current_thread())
            heard.append((feed, head))

        wake.listen(3, listener)
        await asyncio.to_thread(wake.moved, {3: 10})
        await ticks()
        return heard, threads

    heard, threads = on_loop(work)
    assert heard == [(3, 10)]
    assert threads == {threading.main_thread()}


def test_when_it_is_unknown_what_moved_every_listener_hears_without_a_head() -> None:
    async def work(wake: Wake) -> Heard:
        heard = listening(wake, 3, 4)
        wake.moved({EVERYTHING: 0, 4: 9})
        await ticks()
        return sorted(heard)

    assert on_loop(work) == [(3, 0), (4, 9)]


def test_a_listener_that_stopped_hears_nothing_more_and_may_stop_again() -> None:
    async def work(wake: Wake) -> tuple[Heard, Heard]:
        first: Heard = []
        stop = wake.listen(3, lambda feed, head: first.append((feed, head)))
        second = listening(wake, 3)
        stop()
        stop()
        wake.moved({3: 10})
        await ticks()
        return first, second

    assert on_loop(work) == ([], [(3, 10)])


def test_the_last_listener_of_a_feed_may_stop_twice() -> None:
    async def work(wake: Wake) -> Heard:
        stop = wake.listen(3, lambda _feed, _head: None)
        stop()
        stop()
        heard = listening(wake, 3)
        wake.moved({3: 10})
        await ticks()
        return heard

    assert on_loop(work) == [(3, 10)]


def test_a_listener_may_stop_while_it_is_told() -> None:
    async def work(wake: Wake) -> Heard:
        heard: Heard = []

        def once(feed: int, head: int) -> None:
            heard.append((feed, head))
            stop()

        stop = wake.listen(3, once)
        for head in (10, 11):
            wake.moved({3: head})
            await ticks()
        return heard

    assert on_loop(work) == [(3, 10)]


def test_commits_before_there_is_a_loop_or_after_it_closed_are_passed_over() -> None:
    wake = Wake()
    heard = listening(wake, 3)
    wake.moved({3: 1})
    loop = asyncio.new_event_loop()
    wake.attach(loop)
    loop.close()
    wake.moved({3: 2})
    assert heard == []


class TestWaiter:
    def test_a_commit_after_its_making_ends_the_wait_at_once(self) -> None:
        async def work(wake: Wake) -> bool:
            with wake.waiter((3,)) as waiter:
                wake.moved({3: 10})
                return await waiter.wait(SOON_SECONDS)

        assert on_loop(work) is True

    def test_a_commit_before_its_making_does_not(self) -> None:
        async def work(wake: Wake) -> bool:
            wake.moved({3: 10})
            await ticks()
            with wake.waiter((3,)) as waiter:
                return await waiter.wait(NEVER_SECONDS)

        assert on_loop(work) is False

    def test_another_feeds_commit_does_not_end_the_wait(self) -> None:
        async def work(wake: Wake) -> bool:
            with wake.waiter((3, 5)) as waiter:
                wake.moved({4: 10})
                return await waiter.wait(NEVER_SECONDS)

        assert on_loop(work) is False

    def test_each_commit_ends_one_wait(self) -> None:
        async def work(wake: Wake) -> list[bool]:
            with wake.waiter((3,)) as waiter:
                wake.moved({3: 10})
                return [await waiter.wait(SOON_SECONDS), await waiter.wait(NEVER_SECONDS)]

        assert on_loop(work) == [True, False]

    def test_a_feed_that_is_added_is_new_once(self) -> None:
        async def work(wake: Wake) -> list[bool]:
            with wake.waiter((3,)) as waiter:
                news = [waiter.add((3,)), waiter.add((3, 4)), waiter.add((4,)), waiter.add(())]
                wake.moved({4: 1})
                return [*news, await waiter.wait(SOON_SECONDS)]

        assert on_loop(work) == [False, True, False, False, True]

    def test_a_waiter_that_ended_no_longer_listens(self) -> None:
        async def work(wake: Wake) -> dict[int, Any]:
            with wake.waiter((3, 4)):
                pass
            return dict(wake._listeners)

        assert on_loop(work) == {}

    def test_the_end_of_the_server_ends_every_wait_as_if_time_ran_out(self) -> None:
        async def work(wake: Wake) -> list[bool]:
            with wake.waiter((3,)) as first, wake.waiter((4,)) as second:
                waits = [asyncio.ensure_future(waiter.wait(60)) for waiter in (first, second)]
                await ticks()
                wake.end()
                return [*(await asyncio.gather(*waits)), await first.wait(60)]

        assert on_loop(work) == [False, False, False]

    def test_a_wait_that_begins_after_the_end_does_not_wait(self) -> None:
        async def work(wake: Wake) -> bool:
            wake.end()
            with wake.waiter((3,)) as waiter:
                return await waiter.wait(60)

        assert on_loop(work) is False

    def test_a_cancelled_wait_is_cancelled(self) -> None:
        async def work(wake: Wake) -> bool:
            with wake.waiter((3,)) as waiter:
                wait = asyncio.ensure_future(waiter.wait(60))
                await ticks()
                wait.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await wait
                return wait.cancelled()

        assert on_loop(work)


MANY = frozenset(range(100, 1100))


@pytest.mark.parametrize("feeds", [frozenset((100, 101)), MANY])
def test_a_listener_among_many_feeds_hears_of_each_of_them_and_of_no_other(feeds: frozenset[int]) -> None:
    async def work(wake: Wake) -> Heard:
        heard: Heard = []
        stop = wake.listen_among(feeds, lambda feed, head: heard.append((feed, head)))
        wake.moved({100: 1, 101: 2, 7: 3})
        await ticks()
        stop()
        stop()
        wake.moved({100: 4})
        await ticks()
        assert (wake._listeners, wake._wide) == ({}, {})
        return sorted(heard)

    assert on_loop(work) == [(100, 1), (101, 2)]


def test_a_listener_among_many_feeds_hears_once_when_any_may_have_moved() -> None:
    async def work(wake: Wake) -> Heard:
        heard: Heard = []
        wake.listen_among(MANY, lambda feed, head: heard.append((feed, head)))
        wake.moved({EVERYTHING: 0})
        await ticks()
        wake.end()
        return heard

    assert on_loop(work) == [(EVERYTHING, 0), (EVERYTHING, 0)]


def test_a_waiter_for_many_feeds_shares_their_set_and_adds_what_is_new() -> None:
    async def work(wake: Wake) -> list[bool]:
        with wake.waiter(MANY) as waiter:
            [(feeds, _)] = wake._wide.values()
            assert feeds is MANY
            added = [waiter.add(MANY), waiter.add(frozenset(MANY)), waiter.add(MANY | {7}), waiter.add({7, 100})]
            wake.moved({7: 1})
            await ticks()
            assert await waiter.wait(SOON_SECONDS)
            wake.moved({500: 1})
            await ticks()
            assert await waiter.wait(SOON_SECONDS)
            assert not await waiter.wait(NEVER_SECONDS)
        assert (wake._listeners, wake._wide) == ({}, {})
        return added

    assert on_loop(work) == [False, False, True, False]

"""What a client's frame says that it is, and which nudges go out on a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from headwater.feed.wake import Wake
from headwater.web.nudges import Nudges, type_of
from headwater.web.sockets import Socket


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ('{"type":"ping"}', "ping"),
        ('{"type":7}', ""),
        ("{}", ""),
        ("no json", ""),
        ("[" * 5_000, ""),
        ('{"a":' * 5_000, ""),
    ],
)
def test_a_frame_that_says_nothing_readable_says_nothing(frame: str, said: str) -> None:
    assert type_of(frame) == said


class FrameSink:
    """The socket of a test: the frames that were sent through it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, frame: dict[str, Any]) -> None:
        self.sent.append(frame)


class Line:
    """Nudges of a running loop, with all that they send."""

    def __init__(self, per_second: int = 1000) -> None:
        self.wake = Wake()
        self.wake.attach(asyncio.get_running_loop())
        self.nudges = Nudges(self.wake, per_second)
        self.sink = FrameSink()
        self.frames: list[tuple[int, int]] = []

    async def frame(self, feed: int, head: int) -> None:
        self.frames.append((feed, head))

    async def run(self) -> None:
        """Send what stands ready."""
        sending = asyncio.ensure_future(self.nudges.send(cast("Socket", self.sink), self.frame))
        for _ in range(20):
            await asyncio.sleep(0)
        sending.cancel()


def on_line(work: Callable[[Line], Coroutine[Any, Any, None]], per_second: int = 1000) -> Line:
    """The line after a work on it."""

    async def run() -> Line:
        line = Line(per_second)
        await work(line)
        await line.run()
        return line

    return asyncio.run(run())


async def moved(line: Line, heads: dict[int, int]) -> None:
    line.wake.moved(heads)
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_feed_that_is_watched_gets_a_nudge_with_its_head() -> None:
    async def work(line: Line) -> None:
        line.nudges.watch([3])
        await moved(line, {3: 7, 4: 8})

    assert on_line(work).frames == [(3, 7)]


def test_a_reader_that_is_slow_gets_one_nudge_with_the_newest_head() -> None:
    async def work(line: Line) -> None:
        line.nudges.watch([3, 4])
        for head in (7, 9, 8):
            await moved(line, {3: head})
        await moved(line, {4: 1})

    assert sorted(on_line(work).frames) == [(3, 9), (4, 1)]


def test_a_feed_that_is_no_longer_watched_gets_no_nudge_even_when_one_was_due() -> None:
    async def work(line: Line) -> None:
        line.nudges.watch([3, 4])
        await moved(line, {3: 7, 4: 7})
        line.nudges.watch([4, 5])
        await moved(line, {3: 8, 5: 1})

    assert sorted(on_line(work).frames) == [(4, 7), (5, 1)]


def test_the_same_notice_is_sent_once_and_notices_go_before_nudges() -> None:
    async def work(line: Line) -> None:
        line.nudges.watch([3])
        await moved(line, {3: 7})
        for name in ("a", "b", "a"):
            line.nudges.post({"type": name})

    line = on_line(work)
    assert line.sink.sent == [{"type": "a"}, {"type": "b"}]
    assert line.frames == [(3, 7)]


def test_notices_for_a_reader_that_reads_nothing_have_an_end() -> None:
    async def work(line: Line) -> None:
        for number in range(1000):
            line.nudges.post({"type": str(number)})

    assert len(on_line(work).sink.sent) == 64


def test_a_second_nudge_waits_for_the_rate() -> None:
    async def work(line: Line) -> None:
        line.nudges.watch([3])
        sending = asyncio.ensure_future(line.nudges.send(cast("Socket", line.sink), line.frame))
        for head in (7, 8, 9):
            await moved(line, {3: head})
        assert line.frames == [(3, 7)]
        sending.cancel()

    assert on_line(work, per_second=1).frames == [(3, 7), (3, 9)]


def test_a_line_that_was_closed_listens_to_nothing() -> None:
    async def work(line: Line) -> None:
        line.nudges.watch([3, 4])
        line.nudges.close()
        await moved(line, {3: 7})
        assert line.wake._listeners == {}

    assert on_line(work).frames == []

"""Nudges on a socket: one slot for each feed, so that a slow reader costs no memory and misses only repeated nudges."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec

from headwater.base.wire import encode
from headwater.feed.wake import EVERYTHING, Wake
from headwater.web.sockets import Closed, Socket

Frame = Callable[[int, int], Awaitable[None]]
"""Sends one nudge: the feed that changed and its head (0 when unknown)."""

_MAX_NOTICES = 64


class Nudges:
    """Collects the feeds that changed and sends nudges at the reader's pace, at a limited rate for each feed.

    ``unsure`` is called in place of nudges when any feed may have changed; without it all of them are nudged for.
    """

    def __init__(self, wake: Wake, per_second: int, unsure: Callable[[], None] | None = None) -> None:
        self._wake = wake
        self._gap_seconds = 1 / per_second
        self._unsure = unsure
        self._feeds: Collection[int] = ()
        self._stop: Callable[[], None] | None = None
        self._slots: dict[int, int] = {}
        self._notices: dict[bytes, dict[str, Any]] = {}
        self._news = asyncio.Event()

    def watch(self, feeds: Collection[int]) -> None:
        """Sets the feeds to nudge for, in place of earlier ones: a set or a mapping, which other sockets may share."""
        if feeds is self._feeds:
            return
        if self._stop is not None:
            self._stop()
        self._feeds = feeds
        self._slots = {feed: head for feed, head in self._slots.items() if feed in feeds}
        self._stop = self._wake.listen_among(feeds, self._note) if feeds else None

    def note(self, feed: int) -> None:
        """Nudges for a feed that may have changed before it was watched. Loop thread only."""
        self._note(feed, 0)

    def post(self, notice: dict[str, Any]) -> None:
        """Queues a separate frame; a frame that is queued already is sent once. Loop thread only."""
        if len(self._notices) < _MAX_NOTICES:
            self._notices[encode(notice)] = notice
        self._news.set()

    def close(self) -> None:
        """Stops listening to all feeds."""
        self.watch(())

    async def send(self, socket: Socket, frame: Frame) -> None:
        """Sends nudges and notices until the task is cancelled or the socket closes."""
        while True:
            await self._news.wait()
            self._news.clear()
            notices, self._notices = self._notices, {}
            for notice in notices.values():
                await socket.send(notice)
            slots, self._slots = self._slots, {}
            for feed, head in slots.items():
                await frame(feed, head)
            await asyncio.sleep(self._gap_seconds)

    def _note(self, feed: int, head: int) -> None:
        if feed == EVERYTHING and self._unsure is not None:
            self._unsure()
            return
        for moved in self._feeds if feed == EVERYTHING else (feed,):
            self._slots[moved] = max(head, self._slots.get(moved, 0))
        self._news.set()


class _TypeOnly(msgspec.Struct):
    type: str = ""


_read_type = msgspec.json.Decoder(_TypeOnly)


def type_of(text: str) -> str:
    """Returns the ``type`` of a client's frame; empty when the frame cannot be read."""
    try:
        return _read_type.decode(text).type
    except (msgspec.MsgspecError, RecursionError):
        return ""


async def serve(socket: Socket, nudges: Nudges, frame: Frame, received: Callable[[str], Awaitable[None]]) -> None:
    """Sends nudges and receives the client's frames until either side closes the socket."""
    sending = asyncio.ensure_future(nudges.send(socket, frame))
    try:
        while not sending.done():
            receiving = asyncio.ensure_future(socket.receive())
            done, _ = await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
            if receiving not in done:
                receiving.cancel()
                break
            await received(receiving.result())
        sending.result()
    except Closed:
        return
    finally:
        sending.cancel()
        nudges.close()

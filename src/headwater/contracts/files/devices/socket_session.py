"""One open socket of a device: its subscription, and the frames that it receives."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from headwater.base.errors import HeadwaterError, NotFound
from headwater.contracts.files.access import ShareState
from headwater.contracts.files.devices import checkpoints, rules
from headwater.contracts.files.devices.access_cache import AccessCache
from headwater.contracts.files.devices.checkpoints import Behind, ListedUpTo
from headwater.contracts.files.devices.readable_shares import NO_SHARES, ReadableShares, ReadShares
from headwater.contracts.files.devices.relist_cache import RelistCache
from headwater.contracts.files.devices.rules import DeviceRow
from headwater.store.log import feeds
from headwater.web.nudges import Nudges, type_of
from headwater.web.services import Services
from headwater.web.sockets import CLOSE_UNKNOWN, Closed, Socket

_RETRY_SECONDS = 5.0
_FORCED_AT_ONCE = 32


class SharedReads(NamedTuple):
    """The reads that all sockets of a server share."""

    access: AccessCache
    shares: ReadableShares
    listings: RelistCache


class SocketSession:
    """One open socket of a device: its subscription, and the frames that it receives."""

    def __init__(self, services: Services, socket: Socket, device: DeviceRow, reads: SharedReads) -> None:
        self.socket = socket
        self._services = services
        self._device = device
        self._reads = reads
        self._subscribed = False
        self._shares = NO_SHARES
        self._forced: dict[str, int] = {}
        self._listings: dict[int, ListedUpTo] = {}
        self._changed = asyncio.Event()
        self._watching = asyncio.Lock()
        self.nudges = Nudges(services.wake, services.settings.sockets.nudges_per_second, self._changed.set)

    async def nudge(self, feed: int, head: int) -> None:
        """Sends a nudge for one share; a user that may not read it any more receives none."""
        try:
            share = await self._reads.access.share(self.socket.principal, feed)
            if share is None:
                return
            listing = await self._reads.listings.of(feed, head)
        except HeadwaterError:
            return
        await self.socket.send(frame("change", share_id=share, data={}))
        if self._listings.get(feed) != listing:
            self._listings[feed] = listing
            self._force(await self._behind([share], known_here={share}))

    async def received(self, text: str) -> None:
        """A client's frame: ``ping`` or ``subscribe``; anything else is ignored."""
        kind = type_of(text)
        if kind == "ping":
            await self.socket.send(frame("pong"))
        elif kind == "subscribe":
            self._subscribed = True
            behind = await self._watch_shares()
            await self.socket.send(frame("subscribed"))
            self._force(behind)

    async def refresh(self) -> None:
        """Follows the shares that the user may read, names those to list, and closes the socket of a removed device.

        An idle socket costs nothing: it waits until access to any share, or any device, was changed.
        """
        stop = self._services.wake.listen(feeds.ACCESS, lambda _feed, _head: self._changed.set())
        # The device may have been removed after it was found, and before this listened.
        self._changed.set()
        try:
            while not self.socket.closed:
                await self._changed.wait()
                self._changed.clear()
                await self._follow()
        finally:
            stop()

    async def _follow(self) -> None:
        principal = self.socket.principal
        try:
            await self._services.database.read(lambda tx: rules.find(tx, principal, self._device.device_id))
            if self._subscribed:
                self._force(await self._watch_shares())
        except NotFound:
            await self.socket.close(CLOSE_UNKNOWN, "the device was removed")
        except Closed:
            return
        except HeadwaterError:
            await asyncio.sleep(_RETRY_SECONDS)
            self._changed.set()

    async def _watch_shares(self) -> list[Behind]:
        """Watches what the user may read now, and nudges for what may have changed before it was watched.

        Returns what the device must list of it and was not notified of yet.
        """
        async with self._watching:
            return await self._watch(await self._reads.shares.of(self.socket.principal))

    async def _watch(self, shares: ReadShares) -> list[Behind]:
        before = self._shares
        self.nudges.watch(shares.states)
        self._shares = shares
        if before is shares:
            return []
        to_list = []
        for feed, state in shares.states.items():
            known = before.states.get(feed)
            if known is None or state.floor > known.floor:
                to_list.append(state.id)
            if before is not NO_SHARES and self._may_have_missed(before, state):
                self.nudges.note(feed)
        return await self._behind(to_list, known_here={state.id for state in before.states.values()})

    def _may_have_missed(self, before: ReadShares, state: ShareState) -> bool:
        """True when a share changed before it was watched, or without a notification since it is."""
        known = before.states.get(state.feed)
        if known is None:
            return state.head > 0 or self._reads.shares.has_moved(self._shares, state.feed)
        return state.head > known.head and not self._reads.shares.was_notified(before, state.feed)

    async def _behind(self, shares: list[str], *, known_here: set[str]) -> list[Behind]:
        """The shares that the device must list, and was not notified of yet.

        Of a device that never reported a position, we know only that it missed changes while it listened.
        """
        if not shares:
            return []
        found = await self._services.database.read(
            lambda tx: checkpoints.behind(tx, self._device, shares), slow=len(shares) > 1
        )
        news = [share for share in found if self._forced.get(share.share, -1) < share.upto][:_FORCED_AT_ONCE]
        self._forced |= {share.share: share.upto for share in news}
        return [share for share in news if share.known or share.share in known_here]

    def _force(self, behind: list[Behind]) -> None:
        """Notifies the device to list these shares: their log alone is incomplete."""
        for share in behind:
            self.nudges.post(frame("force_sync", share_id=share.share))


def frame(kind: str, **content: Any) -> dict[str, Any]:
    """A server frame; the origin's clients read ``type`` or ``event_type``, so it has both."""
    return {"type": kind, "event_type": kind, **content}

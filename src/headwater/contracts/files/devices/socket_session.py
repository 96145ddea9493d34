"""One open socket of a device: its subscription, and the frames that it receives."""

from __future__ import annotations

import asyncio
from typing import Any

from headwater.base.errors import HeadwaterError, NotFound
from headwater.contracts.files import access
from headwater.contracts.files.devices import checkpoints, rules
from headwater.contracts.files.devices.access_cache import AccessCache
from headwater.contracts.files.devices.checkpoints import Behind
from headwater.contracts.files.devices.rules import DeviceRow
from headwater.store.database import Transaction
from headwater.web.nudges import Nudges, type_of
from headwater.web.services import Services
from headwater.web.sockets import CLOSE_UNKNOWN, Closed, Socket

_REFRESH_SECONDS = 5.0


_FORCED_AT_ONCE = 32


class SocketSession:
    """One open socket of a device: its subscription, and the frames that it receives."""

    def __init__(self, services: Services, socket: Socket, device: DeviceRow, access_cache: AccessCache) -> None:
        self.socket = socket
        self.nudges = Nudges(services.wake, services.settings.sockets.nudges_per_second)
        self._services = services
        self._device = device
        self._access_cache = access_cache
        self._subscribed = False
        self._shares: dict[int, str] = {}
        self._listed: dict[str, int] = {}

    async def nudge(self, feed: int, _head: int) -> None:
        """Sends a nudge for one share; a user that may not read it any more receives none."""
        try:
            share = await self._access_cache.share(self.socket.principal, feed)
        except HeadwaterError:
            return
        if share is not None:
            await self.socket.send(frame("change", share_id=share, data={}))

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
        """Follows the shares that the user may read, names those to list, and closes the socket of a removed device."""
        principal = self.socket.principal
        while not self.socket.closed:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                await self._services.database.read(lambda tx: rules.find(tx, principal, self._device.device_id))
                if self._subscribed:
                    self._force(await self._watch_shares())
            except NotFound:
                await self.socket.close(CLOSE_UNKNOWN, "the device was removed")
            except (HeadwaterError, Closed):
                continue

    async def _watch_shares(self) -> list[Behind]:
        """Watches what the user may read now; returns what the device must list of it and was not notified of yet."""
        principal = self.socket.principal

        def transaction(tx: Transaction) -> tuple[dict[int, str], list[Behind]]:
            shares = {row.feed: row.id for row in access.readable(tx, principal)}
            return shares, checkpoints.behind(tx, self._device, list(shares.values()))

        # Not on the event loop: every socket reads all of its shares every few seconds.
        shares, behind = await self._services.database.read(transaction, slow=True)
        watched = set(self._shares.values())
        self._shares = shares
        self.nudges.watch(shares)
        news = [share for share in behind if self._listed.get(share.share, -1) < share.upto][:_FORCED_AT_ONCE]
        self._listed |= {share.share: share.upto for share in news}
        # Of a device that never reported a position, we know only that it missed changes while it listened.
        return [share for share in news if share.known or share.share in watched]

    def _force(self, behind: list[Behind]) -> None:
        """Notifies the device to list these shares: their log alone is incomplete."""
        for share in behind:
            self.nudges.post(frame("force_sync", share_id=share.share))


def frame(kind: str, **content: Any) -> dict[str, Any]:
    """A server frame; the origin's clients read ``type`` or ``event_type``, so it has both."""
    return {"type": kind, "event_type": kind, **content}

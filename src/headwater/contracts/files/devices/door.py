"""The door of devices, preferences and the socket; decides nothing.

Source: files contract, "Devices", "Sync preferences", "Real-time".
"""

from __future__ import annotations

import asyncio
from typing import Any

from headwater.base.errors import HeadwaterError, NotFound
from headwater.contracts.files import access
from headwater.contracts.files.devices import checkpoints, rules, shapes
from headwater.contracts.files.devices.access_cache import Readership
from headwater.contracts.files.devices.checkpoints import Behind
from headwater.contracts.files.devices.rules import DeviceRow
from headwater.contracts.files.devices.shapes import Preference
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.nudges import Nudges, serve, type_of
from headwater.web.reply import Reply
from headwater.web.services import Services
from headwater.web.sockets import CLOSE_UNKNOWN, Closed, Socket

Changed = list[Preference]
"""Preferences as they now are."""

_REFRESH_SECONDS = 5.0
_FORCED_AT_ONCE = 32


class DeviceDoor:
    """The handlers of ``/api/v1/sync/devices`` and ``/api/v1/sync/ws``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[str, set[_Line]] = {}
        self._readership = Readership(services)

    async def list(self, call: Call) -> Reply:
        """GET /devices: the caller's devices."""
        found = await call.read(lambda tx: rules.of_caller(tx, call.principal))
        return reply.json([device.shown() for device in found])

    async def register(self, call: Call) -> Reply:
        """POST /devices: 201 for a new device, 200 for one that the caller registered before."""
        fields = call.decoded(shapes.read_device)
        return await call.act(
            lambda tx: rules.register(tx, call.principal, fields),
            lambda found: reply.json(found[0].shown(), 201 if found[1] else 200),
        )

    async def change(self, call: Call) -> Reply:
        """PATCH /devices/{device_id}: name and activity."""
        patch = call.decoded(shapes.read_patch)
        found = await call.write(lambda tx: rules.change(tx, call.principal, call.params["device_id"], patch))
        return reply.json(found.shown())

    async def remove(self, call: Call) -> Reply:
        """DELETE /devices/{device_id}: 204; its sockets close."""
        device = await call.write(lambda tx: rules.remove(tx, call.principal, call.params["device_id"]))
        for line in list(self._open.get(device.id, ())):
            await line.socket.close(CLOSE_UNKNOWN, "the device was removed")
        return reply.empty()

    async def heartbeat(self, call: Call) -> Reply:
        """POST /devices/{device_id}/heartbeat: 204; written at most once in ten seconds."""

        async def deed() -> Reply:
            device = await call.read(lambda tx: rules.find(tx, call.principal, call.params["device_id"]))
            if not rules.was_seen_lately(device, self._services.clock()):
                await call.write(lambda tx: rules.heartbeat(tx, device))
            return reply.empty()

        return await call.act_after(deed)

    async def preferences(self, call: Call) -> Reply:
        """GET /devices/{device_id}/preferences."""

        def work(tx: Transaction) -> Changed:
            device = rules.find(tx, call.principal, call.params["device_id"])
            return rules.preferences(tx, call.principal, device)

        return reply.json(shapes.Preferences(await call.read(work)))

    async def set_preference(self, call: Call) -> Reply:
        """PUT /devices/{device_id}/preferences/{share_id}: one preference."""
        fields = call.decoded(shapes.read_preference)

        def work(tx: Transaction) -> tuple[DeviceRow, Changed]:
            device = rules.find(tx, call.principal, call.params["device_id"])
            return device, [rules.set_preference(tx, call.principal, device, call.params["share_id"], fields)]

        device, changed = await call.write(work)
        self._tell(device, changed)
        return reply.json(changed[0])

    async def set_preferences(self, call: Call) -> Reply:
        """PUT /devices/{device_id}/preferences: several at once, all or none."""
        wanted = call.decoded(shapes.read_preferences).preferences

        def work(tx: Transaction) -> tuple[DeviceRow, Changed]:
            device = rules.find(tx, call.principal, call.params["device_id"])
            return device, rules.set_preferences(tx, call.principal, device, wanted)

        device, changed = await call.write(work)
        self._tell(device, changed)
        return reply.json(shapes.Preferences(changed))

    async def socket(self, socket: Socket) -> None:
        """WebSocket /ws/{device_id}: nudges for every share that the user may read, once it subscribed."""
        principal, wanted = socket.principal, socket.params["device_id"]
        device = await self._services.database.read(lambda tx: rules.find(tx, principal, wanted))
        line = _Line(self._services, socket, device, self._readership)
        self._readership.begin()
        self._open.setdefault(device.id, set()).add(line)
        refreshing = asyncio.create_task(line.refresh())
        try:
            await serve(socket, line.nudges, line.nudge, line.received)
        finally:
            refreshing.cancel()
            self._readership.end()
            self._open[device.id].discard(line)
            if not self._open[device.id]:
                del self._open[device.id]

    def _tell(self, device: DeviceRow, changed: Changed) -> None:
        """Let the device's sockets know that it wants other folders now."""
        for preference in changed:
            frame = _frame("sync_preference_updated", share_id=preference.share_id, device_id=device.device_id)
            for line in self._open.get(device.id, ()):
                line.nudges.post(frame)


class _Line:
    """One open socket of a device: what it subscribed to, and what it is sent."""

    def __init__(self, services: Services, socket: Socket, device: DeviceRow, readership: Readership) -> None:
        self.socket = socket
        self.nudges = Nudges(services.wake, services.settings.sockets.nudges_per_second)
        self._services = services
        self._device = device
        self._readership = readership
        self._subscribed = False
        self._shares: dict[int, str] = {}
        self._listed: dict[str, int] = {}

    async def nudge(self, feed: int, _head: int) -> None:
        """One share moved; who may not read it any more hears nothing."""
        try:
            share = await self._readership.share(self.socket.principal, feed)
        except HeadwaterError:
            return
        if share is not None:
            await self.socket.send(_frame("change", share_id=share, data={}))

    async def received(self, text: str) -> None:
        """A client's frame: ``ping`` or ``subscribe``; anything else is ignored."""
        kind = type_of(text)
        if kind == "ping":
            await self.socket.send(_frame("pong"))
        elif kind == "subscribe":
            self._subscribed = True
            behind = await self._watch_shares()
            await self.socket.send(_frame("subscribed"))
            self._force(behind)

    async def refresh(self) -> None:
        """Follow shares that come and go, say what must be listed, and end the socket of a removed device."""
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
        """Be nudged for what the user may read now; of that, what the device must list and was not told yet."""
        principal = self.socket.principal

        def work(tx: Transaction) -> tuple[dict[int, str], list[Behind]]:
            shares = {row.feed: row.id for row in access.readable(tx, principal)}
            return shares, checkpoints.behind(tx, self._device, list(shares.values()))

        # Not on the loop: every socket asks for all of its shares every few seconds.
        shares, behind = await self._services.database.read(work, slow=True)
        watched = set(self._shares.values())
        self._shares = shares
        self.nudges.watch(shares)
        news = [share for share in behind if self._listed.get(share.share, -1) < share.upto][:_FORCED_AT_ONCE]
        self._listed |= {share.share: share.upto for share in news}
        # Of a device that never told where it stands, we know only that it missed what came while it listened.
        return [share for share in news if share.known or share.share in watched]

    def _force(self, behind: list[Behind]) -> None:
        """Tell the device to list these shares: following their log does not give it all."""
        for share in behind:
            self.nudges.post(_frame("force_sync", share_id=share.share))


def _frame(kind: str, **content: Any) -> dict[str, Any]:
    """A server frame; the origin's clients read ``type`` or ``event_type``, so both are there."""
    return {"type": kind, "event_type": kind, **content}

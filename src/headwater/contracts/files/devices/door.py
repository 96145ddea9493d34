"""The door of devices, preferences and the socket; decides nothing.

Source: files contract, "Devices", "Sync preferences", "Real-time".
"""

from __future__ import annotations

import asyncio

from headwater.contracts.files.devices import rules, shapes
from headwater.contracts.files.devices.access_cache import AccessCache
from headwater.contracts.files.devices.readable_shares import ReadableShares
from headwater.contracts.files.devices.relist_cache import RelistCache
from headwater.contracts.files.devices.rules import DeviceRow
from headwater.contracts.files.devices.shapes import Preference
from headwater.contracts.files.devices.socket_session import SharedReads, SocketSession, frame
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.nudges import serve
from headwater.web.reply import Reply
from headwater.web.services import Services
from headwater.web.sockets import CLOSE_UNKNOWN, Socket

Changed = list[Preference]
"""Preferences as they now are."""


class DeviceDoor:
    """The handlers of ``/api/v1/sync/devices`` and ``/api/v1/sync/ws``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[str, set[SocketSession]] = {}
        database, wake = services.database, services.wake
        self._reads = SharedReads(AccessCache(database, wake), ReadableShares(database, wake), RelistCache(database))

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
        for session in list(self._open.get(device.id, ())):
            await session.socket.close(CLOSE_UNKNOWN, "the device was removed")
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

        def transaction(tx: Transaction) -> Changed:
            device = rules.find(tx, call.principal, call.params["device_id"])
            return rules.preferences(tx, call.principal, device)

        return reply.json(shapes.Preferences(await call.read(transaction)))

    async def set_preference(self, call: Call) -> Reply:
        """PUT /devices/{device_id}/preferences/{share_id}: one preference."""
        fields = call.decoded(shapes.read_preference)

        def transaction(tx: Transaction) -> tuple[DeviceRow, Changed]:
            device = rules.find(tx, call.principal, call.params["device_id"])
            return device, [rules.set_preference(tx, call.principal, device, call.params["share_id"], fields)]

        device, changed = await call.write(transaction)
        self._notify(device, changed)
        return reply.json(changed[0])

    async def set_preferences(self, call: Call) -> Reply:
        """PUT /devices/{device_id}/preferences: several at once, all or none."""
        wanted = call.decoded(shapes.read_preferences).preferences

        def transaction(tx: Transaction) -> tuple[DeviceRow, Changed]:
            device = rules.find(tx, call.principal, call.params["device_id"])
            return device, rules.set_preferences(tx, call.principal, device, wanted)

        device, changed = await call.write(transaction)
        self._notify(device, changed)
        return reply.json(shapes.Preferences(changed))

    async def socket(self, socket: Socket) -> None:
        """WebSocket /ws/{device_id}: nudges for every share that the user may read, once it subscribed."""
        principal, wanted = socket.principal, socket.params["device_id"]
        device = await self._services.database.read(lambda tx: rules.find(tx, principal, wanted))
        session = SocketSession(self._services, socket, device, self._reads)
        self._reads.access.begin()
        self._reads.shares.begin()
        self._open.setdefault(device.id, set()).add(session)
        refreshing = asyncio.create_task(session.refresh())
        try:
            await serve(socket, session.nudges, session.nudge, session.received)
        finally:
            refreshing.cancel()
            self._reads.access.end()
            self._reads.shares.end()
            self._open[device.id].discard(session)
            if not self._open[device.id]:
                del self._open[device.id]

    def _notify(self, device: DeviceRow, changed: Changed) -> None:
        """Notifies the device's sockets of its changed preferences."""
        for preference in changed:
            changed_frame = frame("sync_preference_updated", share_id=preference.share_id, device_id=device.device_id)
            for session in self._open.get(device.id, ()):
                session.nudges.post(changed_frame)

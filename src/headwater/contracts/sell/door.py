"""The sell door: start, drain, ack, as Zendesk Sell's own clients expect them; decides nothing.

Source: sell contract, all headings. 204 and 202 have no body and no content type, and nothing redirects.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from headwater.base.errors import HeadwaterError, Invalid, NotFound, Unavailable
from headwater.contracts.sell import rules, sessions, shapes
from headwater.contracts.sell.ack_keys import device_seed
from headwater.contracts.sell.rules import Prospect, SellDevice, ShownPage
from headwater.contracts.sell.sessions import DeviceKey, PageToShow, SessionIds, SessionLimits
from headwater.identity import organisations
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.errors import error_headers
from headwater.web.reply import Reply
from headwater.web.services import Services

DEVICE_HEADER = "X-Basecrm-Device-UUID"
_MAX_DEVICE_ID = 255
_TRIES = 5
_SLOW_ABOVE = 1_000
_MAX_REMEMBERED = 10_000


class SellDoor:
    """The handlers of ``/v2/sync``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings.sell
        self._ids = SessionIds(services.master_key)
        self._limits = SessionLimits(self._settings.sessions_per_account, self._settings.session_idle_seconds)
        self._feeds: dict[str, int] = {}
        self._restored_upto: dict[DeviceKey, int] = {}

    async def start(self, call: Call) -> Reply:
        """POST /start: 201 with a new session, or 204 when there is nothing to download."""
        device = await self._device(call)
        return await call.act_after(lambda: self._started(call, device), device=device.device_id)

    async def _started(self, call: Call, device: SellDevice) -> Reply:
        types = self._settings.resource_types
        for _ in range(_TRIES):
            found = await self._prospect(call, device, types)
            if found.floor and await self._restore_deletions(call, device, found.floor):
                continue
            id = self._ids.issue(device.key)
            if (found.news or found.positions) and not await self._begin(call, device, found, id):
                continue
            if not found.positions:
                return reply.empty(204)
            return reply.json(self._envelope(call, id, len(found.positions)), 201)
        raise Unavailable("the device's state changes too fast to start a session", retry_after_seconds=1)

    async def drain(self, call: Call) -> Reply:
        """GET /{session}/queues/main: the next page, or 204 at the end."""
        device = await self._device(call)
        id, count = call.params["session_id"], self._settings.page_items
        self._ids.check(id, device.key)
        if call.params["queue"] != "main":
            raise NotFound(f"no queue {call.params['queue']!r}; the only one is 'main'")

        def transaction(tx: Transaction) -> PageToShow | None:
            return sessions.take(tx, device.key, id, count, self._limits)

        while (page := await call.write(transaction, feed=device.feed)) is not None:
            shown = await self._show(call, device, page.positions)
            if shown.items or shown.failed:
                return reply.json_bytes(shapes.page(shown.items, page.left, shown.failed))
        return reply.empty(204)

    async def ack(self, call: Call) -> Reply:
        """POST /ack: note what the device has stored, durably, and only then 202."""
        device = await self._device(call)
        texts = call.decoded(shapes.read_ack).data.ack_keys
        keys, old = rules.keys_of(texts, device), rules.old_keys_of(texts, device)
        if not keys and not old and call.header(b"idempotency-key") is None:
            return reply.empty(202)

        def transaction(tx: Transaction) -> None:
            rules.ack(tx, device, keys)
            if old:
                rules.note_held(tx, device, old)

        return await call.act(
            transaction,
            lambda _: reply.empty(202),
            feed=device.feed,
            device=device.device_id,
        )

    async def _show(self, call: Call, device: SellDevice, positions: list[int]) -> ShownPage:
        return await call.read(lambda tx: rules.show(tx, device, positions))

    async def _restore_deletions(self, call: Call, device: SellDevice, floor: int) -> bool:
        """True when deletions were put back that compaction dropped while the device was away.

        The read is long, so each device is read once for each floor.
        """
        key = device.key
        if self._restored_upto.get(key) == floor:
            return False
        restored = 0
        if await call.read(lambda tx: rules.lost_deletions(tx, device), slow=True):
            restored = await call.write(lambda tx: rules.restore_deletions(tx, device), feed=device.feed)
        if len(self._restored_upto) >= _MAX_REMEMBERED:
            self._restored_upto.clear()
        self._restored_upto[key] = floor
        return restored > 0

    async def _begin(self, call: Call, device: SellDevice, found: Prospect, id: str) -> bool:
        """Stores the state and the session of a device; False when its state changed meanwhile."""

        def transaction(tx: Transaction) -> bool:
            if found.news and not rules.commit_prospect(tx, device, found):
                return False
            if found.positions:
                sessions.begin(tx, device.key, id, found.queue, found.head, self._limits)
            return True

        return await call.write(transaction, feed=device.feed)

    async def _prospect(self, call: Call, device: SellDevice, types: Sequence[str]) -> Prospect:
        """The session that would start now; of a device that is far behind it is read off the event loop."""

        def near(tx: Transaction) -> Prospect | None:
            return None if rules.lag(tx, device) > _SLOW_ABOVE else rules.prospect(tx, device, types)

        found: Prospect | None = await call.read(near)
        if found is not None:
            return found
        return await call.read(lambda tx: rules.prospect(tx, device, types), slow=True)

    async def _device(self, call: Call) -> SellDevice:
        device_id = call.header(DEVICE_HEADER.lower().encode())
        if device_id is None:
            raise Invalid.of(DEVICE_HEADER, "missing", "every request names its device in this header")
        device_id = device_id.strip()
        if not device_id:
            raise Invalid.of(DEVICE_HEADER, "blank", "the device's id is blank")
        if len(device_id) > _MAX_DEVICE_ID or not device_id.isprintable():
            raise Invalid.of(DEVICE_HEADER, "incorrect_value", f"at most {_MAX_DEVICE_ID} printable characters")
        call.note_device("sell", device_id)
        organisation = call.principal.organisation
        feed = self._feeds.get(organisation)
        if feed is None:
            feed = self._feeds[organisation] = await call.read(lambda tx: organisations.feed_of(tx, organisation))
        cursors = self._services.cursors
        seed = device_seed(str(cursors.epoch), organisation, device_id)
        past = tuple(device_seed(str(epoch), organisation, device_id) for epoch in cursors.past_epochs)
        return SellDevice(organisation, feed, device_id, call.principal.user_id, seed, past)

    def _envelope(self, call: Call, id: str, total: int) -> shapes.SessionEnvelope:
        pages = -(-total // self._settings.page_items)
        links = shapes.Links(f"{call.base_url}/v2/sync/{id}/queues/main")
        queue = shapes.QueueEnvelope(shapes.Queue("main", pages, total), shapes.QueueMeta(links))
        return shapes.SessionEnvelope(shapes.SellSession(id, [queue]), shapes.TypeMeta("sync_session"))


def envelope(failure: HeadwaterError, status: int, request_id: str) -> Reply:
    """An error as Sell's clients read it; every 4xx and 5xx under ``/v2`` has this body."""
    return reply.json_bytes(
        shapes.errors(failure, status, HTTPStatus(status).phrase, request_id), status, error_headers(failure, status)
    )

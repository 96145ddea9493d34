"""The record feed's door: pull by cursor, push, conflicts, nudges; decides nothing. Source: readings, section 8."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.base.clock import SECOND_US, monotonic_seconds
from headwater.base.errors import CursorInvalid, Invalid
from headwater.base.ids import is_acceptable
from headwater.base.log import get_log
from headwater.base.wire import encode, format_seconds
from headwater.contracts.record_feed import queries, rules, shapes
from headwater.contracts.record_feed.queries import FieldConflict
from headwater.contracts.record_feed.rules import Kinds, Pusher
from headwater.contracts.record_feed.shapes import ConflictRecord, PushOutcome
from headwater.feed import devices, reader
from headwater.feed.cursor import Place, invalid
from headwater.feed.reader import FeedPage
from headwater.feed.runs import Runs, size_of
from headwater.feed.sightings import CallingDevice
from headwater.identity.roles import allows
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http.paging import boolean, integer, link, pagination, paging
from headwater.web.nudges import Nudges, serve, type_of
from headwater.web.reply import Reply
from headwater.web.services import Services
from headwater.web.sockets import Socket
from headwater.web.tenancy import scope_of

DEVICE_HEADER = b"x-device-id"
"""Names the device that reads, so that its position and lag are known."""

_HEAD = "SELECT value FROM counters WHERE feed = ? AND name = 'head'"
_INLINE_CHANGES = 500
_MAX_REMEMBERED = 10_000
_MAX_KINDS = 20
log = get_log(__name__)


class RecordFeedDoor:
    """The handlers of ``/api/v1/feed``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kinds: Kinds = {kind.name: kind for kind in services.kinds}
        self._feeds: dict[str, int] = {}
        self._opened: dict[str, tuple[int, Place]] = {}
        self._own: set[CallingDevice] = set()
        self._runs = Runs(services.settings.feed.runs_bytes)

    async def changes(self, call: Call) -> Reply:
        """GET: changes after a cursor; without one the present state first; ``wait`` long-polls."""
        feed = await self._feed(call)
        try:
            return await self._changes(call, feed)
        except CursorInvalid as failure:
            reason = str(failure.extra["reason"])
            if reason not in reader.START_AGAIN:
                raise
            head = await call.read(lambda tx: tx.counter(feed, "head"))
            start = self._services.cursors.encode(feed, Place(0, head))
            raise invalid(reason, reader.REASONS[reason], cursor=start) from None

    async def _changes(self, call: Call, feed: int) -> Reply:
        limits = self._services.settings.feed
        limit = integer(call.query, "limit", 1000, 1, limits.page_changes)
        wait_seconds = integer(call.query, "wait", 0, 0, limits.wait_seconds_max)
        kinds = _kinds(call.query.get("kinds", ""))
        text = call.query.get("cursor")
        place = None if text is None else self._open(text, feed)
        await self._note_device(call, feed, place)
        if text is not None and place is not None and not wait_seconds and self._at_head(feed, place):
            return reply.json_bytes(b'{"changes":[],"cursor":%b,"has_more":false}' % encode(text))
        with self._services.wake.waiter((feed,)) as waiter:
            ends_seconds = monotonic_seconds() + wait_seconds
            page = await self._page(call, feed, place, limit, kinds)
            while not page.size and (left_seconds := ends_seconds - monotonic_seconds()) > 0:
                if not await call.news(waiter, left_seconds):
                    break
                page = await self._page(call, feed, page.place, limit, kinds)
        cursor = self._services.cursors.encode(feed, page.place)
        more = b"true" if page.has_more else b"false"
        tail = b'],"cursor":"%b","has_more":%b}' % (cursor.encode(), more)
        return reply.json_parts((b'{"changes":[', *page.parts, tail))

    async def push(self, call: Call) -> Reply:
        """POST /push: edits made offline; one outcome each."""
        pushed = call.decoded(shapes.read_push)
        keep_us = self._services.settings.idempotency.keep_seconds * SECOND_US
        scope = scope_of(call)

        def transaction(tx: Transaction) -> list[PushOutcome]:
            oldest_us = tx.at_us - keep_us
            pusher = Pusher(call.principal, scope.organisation, scope.feed(tx), pushed.device_id, oldest_us)
            return rules.push(tx, pusher, pushed.changes, self._kinds)

        outcomes: list[PushOutcome] = []

        def render(results: list[PushOutcome]) -> Reply:
            outcomes[:] = results
            return reply.json(shapes.PushAnswer(results))

        answer = await call.act(transaction, render, again=True)
        _log_deletions(call, pushed, outcomes)
        return answer

    async def conflicts(self, call: Call) -> Reply:
        """GET /conflicts: conflicts newest first; ``include_resolved=true`` shows all."""
        asked = paging(call.query)
        resolved = boolean(call.query, "include_resolved")
        scope = scope_of(call)

        def transaction(tx: Transaction) -> tuple[list[FieldConflict], int]:
            return queries.page(tx, scope.feed(tx), asked.limit, asked.offset, resolved=resolved)

        found, total = await call.read(transaction, slow=True)
        body = b'{"data":%b,"pagination":%b}' % (encode([_shown(row) for row in found]), pagination(asked, total))
        return reply.json_bytes(body, headers=(link(call.path, call.query, asked, total),))

    async def resolve(self, call: Call) -> Reply:
        """POST /conflicts/{id}/resolve: put one side's values in force."""
        take, scope = call.decoded(shapes.read_resolution).take, scope_of(call)

        def transaction(tx: Transaction) -> FieldConflict:
            return rules.resolve(tx, call.principal, scope.feed(tx), call.params["id"], take, self._kinds)

        return await call.act(transaction, lambda conflict: reply.json(_shown(conflict)), again=True)

    async def socket(self, socket: Socket) -> None:
        """Nudges ``{feed, head}``: hints to read the feed, never content."""
        organisation = socket.principal.organisation
        feed = await self._feed_named(organisation)
        nudges = Nudges(self._services.wake, self._services.settings.sockets.nudges_per_second)
        nudges.watch((feed,))

        async def nudge(feed: int, head: int) -> None:
            known = head or await self._services.database.read(lambda tx: tx.counter(feed, "head"))
            await socket.send({"type": "moved", "feed": "org:" + organisation, "head": known})

        async def received(text: str) -> None:
            if type_of(text) == "ping":
                await socket.send({"type": "pong"})

        await nudge(feed, 0)
        await serve(socket, nudges, nudge, received)

    async def _note_device(self, call: Call, feed: int, place: Place | None) -> None:
        """Notes the device that a header names; the cursor that it sends is its ack. A scope that only reads has none.

        Raises: Invalid (no acceptable id), DeviceOfAnother.
        """
        device_id = call.header(DEVICE_HEADER)
        if device_id is None or not allows(call.principal.scopes, "sync", write=True):
            return
        if not is_acceptable(device_id):
            raise Invalid.of("X-Device-Id", "incorrect_value", "must have 1-128 printable characters")
        device = CallingDevice(scope_of(call).organisation, "feed", device_id, call.principal.user_id)
        if device not in self._own:
            registered = await call.read(lambda tx: devices.require_own(tx, device))
            if not registered:
                await call.write(lambda tx: devices.claim(tx, device), feed=feed)
            if len(self._own) >= _MAX_REMEMBERED:
                self._own.clear()
            self._own.add(device)
        position = 0 if place is None or place.snapshot_head else place.position
        call.note_device("feed", device_id, organisation=device.organisation, feed=feed, position=position)

    def _open(self, text: str, feed: int) -> Place:
        """The place of a cursor; the last ones are remembered, since an idle device sends the same one again."""
        known = self._opened.get(text)
        if known is not None and known[0] == feed:
            return known[1]
        place = self._services.cursors.decode(text, feed)
        if len(self._opened) >= _MAX_REMEMBERED:
            self._opened.clear()
        self._opened[text] = (feed, place)
        return place

    def _at_head(self, feed: int, place: Place) -> bool:
        """True when a cheap read shows that nothing is new."""
        database = self._services.database
        if not database.embedded or place.snapshot_head:
            return False
        row = database.committed_row(_HEAD, feed)
        return row is not None and row[0] == place.position

    async def _page(self, call: Call, feed: int, place: Place | None, limit: int, kinds: tuple[str, ...]) -> FeedPage:
        def transaction(tx: Transaction) -> FeedPage:
            return reader.read(tx, feed, place, limit, kinds, self._runs)

        slow = limit > _INLINE_CHANGES and self._is_long(feed, place, limit, kinds)
        return await call.read(transaction, slow=slow)

    def _is_long(self, feed: int, place: Place | None, limit: int, kinds: tuple[str, ...]) -> bool:
        """True when so much must be read that it would block other requests."""
        database = self._services.database
        if not database.embedded:
            return False
        row = database.committed_row(_HEAD, feed)
        head = row[0] if row else 0
        after, upto = place or (0, head)
        known = 0 if kinds else size_of(self._runs.chain(feed, after, upto, limit))
        return min(limit, head - after) - known > _INLINE_CHANGES

    async def _feed(self, call: Call) -> int:
        if "org_id" in call.query:
            return await call.read(scope_of(call).feed)
        return await self._feed_named(call.principal.organisation)

    async def _feed_named(self, organisation: str) -> int:
        feed = self._feeds.get(organisation)
        if feed is None:
            from_store = await self._services.database.read(lambda tx: rules.feed_of(tx, organisation))
            feed = self._feeds[organisation] = from_store
        return feed


def _log_deletions(call: Call, pushed: shapes.Push, outcomes: Sequence[PushOutcome]) -> None:
    """Logs who deleted what, as the log does for each DELETE request."""
    for change, outcome in zip(pushed.changes, outcomes, strict=False):
        if change.op == "delete" and outcome.outcome == "applied":
            log.info(
                "record_deleted", kind=change.kind, record_id=change.id, device_id=pushed.device_id,
                user_id=call.principal.user_id, token_id=call.principal.token_id, request_id=call.request_id,
            )  # fmt: skip


def _kinds(text: str) -> tuple[str, ...]:
    """The kinds that a query names, each once. Raises: Invalid (too many)."""
    kinds = tuple(dict.fromkeys(kind for kind in text.split(",") if kind))
    if len(kinds) > _MAX_KINDS:
        raise Invalid.of("kinds", "too_long", f"at most {_MAX_KINDS} kinds")
    return kinds


def _shown(conflict: FieldConflict) -> ConflictRecord:
    resolved_us = conflict.resolved_us
    return ConflictRecord(
        conflict.id,
        conflict.kind,
        conflict.record_id,
        conflict.device_id,
        conflict.base_revision,
        conflict.revision,
        shapes.read_sides.decode(bytes(conflict.fields)),
        conflict.winner,
        format_seconds(conflict.created_us),
        None if resolved_us is None else format_seconds(resolved_us),
        conflict.deleted,
    )

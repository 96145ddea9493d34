"""The door of changes, cursors and status; decides nothing. Source: files contract, "Change tracking"."""

from __future__ import annotations

from collections.abc import Collection

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import Invalid
from headwater.base.wire import encode, format_seconds
from headwater.contracts.files import access
from headwater.contracts.files.access import Access
from headwater.contracts.files.apply import conflicts
from headwater.contracts.files.caller import DEVICE_HEADER
from headwater.contracts.files.changes import all_shares, rules
from headwater.contracts.files.changes.rules import ChangesPage, ChangesQuery
from headwater.contracts.files.changes.shapes import CursorSet, SyncStatus
from headwater.contracts.files.devices import checkpoints
from headwater.contracts.files.devices import rules as device_rules
from headwater.contracts.files.devices.checkpoints import Checkpoint
from headwater.feed import cursor_bases
from headwater.identity.roles import allows
from headwater.store.database import Transaction
from headwater.store.log import feeds, lost
from headwater.store.log.feeds import ACCESS
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http.paging import integer
from headwater.web.reply import Reply
from headwater.web.services import Services

_MAX_FEED_SETS = 100


class ChangesDoor:
    """The handlers of ``/api/v1/sync/changes``, ``/status`` and ``/cursor``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._feed_sets: dict[frozenset[int], frozenset[int]] = {}

    async def changes(self, call: Call) -> Reply:
        """GET /changes: the changes after a cursor; ``wait`` long-polls."""
        limits = self._services.settings.feed
        limit = integer(call.query, "limit", min(1000, limits.page_changes), 1, limits.page_changes)
        wait_seconds = integer(call.query, "wait", 0, 0, limits.wait_seconds_max)
        call.note_device("files", call.header(DEVICE_HEADER) or "")
        query = ChangesQuery(call.query.get("share_id"), call.query.get("cursor"), limit)
        page = await self._page(call, query)
        if wait_seconds and not page.size and not page.has_more:
            page = await self._wait(call, query._replace(cursor=page.cursor), page.feeds, wait_seconds)
        return reply.json_bytes(
            b'{"changes":[%b],"cursor":"%b","has_more":%b,"share_id":%b}'
            % (page.wires, page.cursor.encode(), b"true" if page.has_more else b"false", encode(query.share_id))
        )

    async def status(self, call: Call) -> Reply:
        """GET /status: the position of a device in a share; created at the head when it never reported one.

        A token that only reads is shown the head in place of a position, and none is created.
        """
        share_id, device_id = _needed(call, "share_id"), _needed(call, "device_id")
        call.note_device("files", device_id)

        only_reads = not allows(call.principal.scopes, "files", write=True)

        def shown(tx: Transaction, *, begin: bool) -> SyncStatus | None:
            row = access.require(tx, call.principal, share_id, Access.READ)
            device = device_rules.find(tx, call.principal, device_id)
            if begin:
                checkpoint: Checkpoint | None = checkpoints.begin(tx, row.feed, device)
            else:
                checkpoint = checkpoints.find(tx, row.feed, device)
                if checkpoint is None and only_reads:
                    checkpoint = Checkpoint(feeds.head(tx, row.feed), tx.now_us)
            if checkpoint is None:
                return None
            return SyncStatus(
                cursor_position=checkpoint.position,
                last_sync_at=format_seconds(checkpoint.at_us),
                pending_changes=max(
                    0,
                    feeds.head(tx, row.feed)
                    - checkpoint.position
                    - lost.skipped_after(tx, row.feed, checkpoint.position),
                ),
                has_conflicts=conflicts.has_open(tx, row.feed, device.device_id),
            )

        found = await call.read(lambda tx: shown(tx, begin=False))
        return reply.json(found or await call.write(lambda tx: shown(tx, begin=True)))

    async def cursor(self, call: Call) -> Reply:
        """POST /cursor: note the position up to which a device holds everything."""
        share_id, device_id = _needed(call, "share_id"), _needed(call, "device_id")
        call.note_device("files", device_id)
        text = _needed(call, "position")

        def transaction(tx: Transaction) -> Checkpoint:
            row = access.require(tx, call.principal, share_id, Access.READ)
            device = device_rules.find(tx, call.principal, device_id)
            place = rules.place_of(tx, self._services.cursors, row.feed, text)
            return checkpoints.put(tx, row.feed, device, checkpoints.complete_upto(place))

        return await call.act(transaction, lambda at: reply.json(
            CursorSet(cursor_position=at.position, last_sync_at=format_seconds(at.at_us))
        ))  # fmt: skip

    async def _page(self, call: Call, query: ChangesQuery, *, sent: bool = True) -> ChangesPage:
        """The next page, whose cursor can be sent; ``sent`` is False for a cursor that the caller has not sent."""
        read = all_shares.read if query.share_id is None else rules.read

        def quick(tx: Transaction) -> ChangesPage | None:
            return read(tx, self._services.cursors, call.principal, query, quick=True)

        def whole(tx: Transaction) -> ChangesPage:
            page = read(tx, self._services.cursors, call.principal, query)
            assert page is not None, "only a quick read gives up"
            return page

        found = await call.read(quick)
        page = found if found is not None else await call.read(whole, slow=True)
        used = page.used if sent else None
        if page.new_base is None and used is None:
            return page
        organisation, base = call.principal.organisation, page.new_base

        def note(tx: Transaction) -> None:
            if used is not None:
                cursor_bases.note_use(tx, used)
            if base is not None:
                cursor_bases.put(tx, organisation, base, page.replaces)

        await call.write(note)
        return page

    async def _wait(self, call: Call, query: ChangesQuery, feeds: Collection[int], wait_seconds: int) -> ChangesPage:
        """The next page that holds something, or the empty one when time runs out.

        A caller that waits for every share also waits for those that become readable to it.
        """
        everything = (ACCESS,) if query.share_id is None else ()
        with self._services.wake.waiter(everything) as waiter:
            waiter.add(self._shared(feeds))
            ends_seconds = monotonic_seconds() + wait_seconds
            page = await self._page(call, query, sent=False)
            while not page.size and not page.has_more and (left_seconds := ends_seconds - monotonic_seconds()) > 0:
                # A change from before the listener was added is in the page that is read next.
                if not waiter.add(self._shared(page.feeds)) and not await call.news(waiter, left_seconds):
                    break
                page = await self._page(call, query, sent=False)
            return page

    def _shared(self, feeds: Collection[int]) -> Collection[int]:
        """The same feeds as one set for all waits for them, of which a thousand may be under way."""
        if len(self._feed_sets) >= _MAX_FEED_SETS:
            self._feed_sets.clear()
        found = frozenset(feeds)
        return self._feed_sets.setdefault(found, found)


def _needed(call: Call, name: str) -> str:
    text = call.query.get(name)
    if text is None:
        raise Invalid.of(name, "missing", "this parameter is required")
    return text

"""The terminology-sync door: reads the request's shape, calls a rule, writes the answer's shape; decides nothing.

Source: terminology contract, all endpoints.
"""

from __future__ import annotations

from urllib.parse import quote

from msgspec import UNSET

from headwater.base.clock import SECOND_US, monotonic_seconds
from headwater.base.wire import encode, format_millis
from headwater.contracts.terminology import queries, rules, shapes, sync_rules
from headwater.contracts.terminology.flight import Flights
from headwater.contracts.terminology.queries import State
from headwater.contracts.terminology.rules import StalenessTimes
from headwater.contracts.terminology.upstream import Upstream
from headwater.identity import organisations
from headwater.identity.scope import Scope
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.http.paging import integer, link, pagination, paging
from headwater.web.reply import Header, Reply
from headwater.web.services import Services
from headwater.web.tenancy import scope_of

_SHORTEST_WAIT_SECONDS = 0.01


class SyncDoor:
    """The handlers of ``/api/v1/terminology-sync``."""

    def __init__(self, services: Services, flights: Flights | None = None) -> None:
        self._services = services
        settings = services.settings.terminology
        self._flights = flights or Flights(services.database, settings, Upstream(settings))

    async def list(self, call: Call) -> Reply:
        """GET: tracking records by organisation: the caller's own, all of them for a global admin."""
        asked, scope = paging(call.query), scope_of(call)

        def transaction(tx: Transaction) -> tuple[list[State], int]:
            organisation = scope.filter(tx)
            return queries.states(tx, organisation, asked.limit, asked.offset), queries.count(tx, organisation)

        found, total = await call.read(transaction, slow=True)
        now_us = self._services.clock()
        rows = [_listed(state, rules.staleness_of(state, now_us)) for state in found]
        body = b'{"data":%b,"pagination":%b}' % (encode(rows), pagination(asked, total))
        return reply.json_bytes(body, headers=(link(call.path, call.query, asked, total),))

    async def get(self, call: Call) -> Reply:
        """GET /{organization_id}: one tracking record with its ETag."""
        _, state, staleness = await self._staleness(call)
        tag = _tag(state, staleness)
        given = call.header(b"if-none-match")
        header: Header = (b"etag", tag.encode())
        if given is not None and etags.matches(given, tag, weak=True):
            return reply.empty(304, (header,))
        listed = _listed(state, staleness)
        details = shapes.SyncStateDetails(
            listed.organization_id,
            listed.is_stale,
            listed.last_sync_at,
            listed.next_sync_due_at,
            state.tracked.ttl_seconds,
        )
        return reply.json(details, headers=(header,))

    async def create(self, call: Call) -> Reply:
        """POST: begin to track an organisation; 201."""
        fields = call.decoded(shapes.read_record)
        settings = self._services.settings
        ttl_seconds = settings.terminology.ttl_seconds if fields.ttl_seconds is UNSET else fields.ttl_seconds
        scope = Scope.of(call.principal).narrow(fields.organization_id)
        is_open = settings.effective_provisioning == "open"

        def transaction(tx: Transaction) -> State:
            provide(tx, scope, open_provisioning=is_open)
            return rules.create(tx, scope.organisation, ttl_seconds)

        return await call.act(transaction, _created)

    async def update(self, call: Call) -> Reply:
        """PUT /{organization_id}: change the time to live, or reset the last sync."""
        fields = call.decoded(shapes.read_record_change)
        organisation, feed = await place(call)
        if_match = call.header(b"if-match")

        def transaction(tx: Transaction) -> State:
            _require(if_match, rules.find(tx, organisation), tx.now_us)
            return rules.change(tx, feed, organisation, fields)

        tracked = (await call.write(transaction, feed=feed)).tracked
        return reply.json(
            shapes.ChangedSyncRecord(organisation, tracked.ttl_seconds, format_millis(tracked.updated_us))
        )

    async def remove(self, call: Call) -> Reply:
        """DELETE /{organization_id}: stop tracking; the labels stay."""
        organisation, feed = await place(call)
        if_match = call.header(b"if-match")

        def transaction(tx: Transaction) -> None:
            _require(if_match, rules.find(tx, organisation), tx.now_us)
            rules.remove(tx, feed, organisation)

        await call.write(transaction, feed=feed)
        return reply.json(shapes.Removed(organisation, True))

    async def sync_if_stale(self, call: Call) -> Reply:
        """POST /{organization_id}/sync-if-stale: sync unless the labels are fresh."""

        async def deed() -> Reply:
            feed, state, staleness = await self._staleness(call)
            tracked = state.tracked
            if not staleness.is_stale:
                fresh_us = tracked.last_sync_us or 0
                return reply.json(shapes.SyncIfStale(tracked.organisation, False, False, format_millis(fresh_us)))
            sync_rules.require_rested(tracked, self._services.clock(), self._services.settings.terminology)
            with call.counted_as_waiting():
                outcome = await self._flights.sync(feed, tracked.organisation)
            synced = outcome.done or outcome.synced_us != tracked.last_sync_us
            answer = shapes.SyncIfStale(tracked.organisation, True, synced, format_millis(outcome.synced_us))
            return reply.json(answer)

        return await call.act_after(deed)

    async def force_sync(self, call: Call) -> Reply:
        """POST /{organization_id}/force-sync: sync fresh labels too."""

        async def deed() -> Reply:
            organisation, feed = await place(call)
            with call.counted_as_waiting():
                outcome = await self._flights.sync(feed, organisation, force=True)
            return reply.json(
                shapes.ForcedSync(
                    organisation, format_millis(outcome.synced_us), outcome.updated_keys, outcome.duration_ms
                )
            )

        return await call.act_after(deed)

    async def stale(self, call: Call) -> Reply:
        """GET /{organization_id}/stale: whether the labels are stale; ``wait`` long-polls until they are."""
        wait_seconds = integer(call.query, "wait", 0, 0, self._services.settings.feed.wait_seconds_max)
        _, feed = await place(call)
        ends_seconds = monotonic_seconds() + wait_seconds
        with self._services.wake.waiter((feed,)) as waiter:
            _, state, staleness = await self._staleness(call)
            while not staleness.is_stale and (left_seconds := ends_seconds - monotonic_seconds()) > 0:
                moved = await call.news(waiter, min(left_seconds, self._fresh_seconds(staleness)))
                if not moved and call.is_over:
                    break
                _, state, staleness = await self._staleness(call)
        tracked = state.tracked
        return reply.json(
            shapes.Staleness(
                tracked.organisation, staleness.is_stale, _millis(tracked.last_sync_us), _millis(staleness.since_us)
            )
        )

    async def _staleness(self, call: Call) -> tuple[int, State, StalenessTimes]:
        """The feed of the path's organisation, its record, and the record's state now. Raises: NotFound."""
        scope = _path_scope(call)

        def transaction(tx: Transaction) -> tuple[int, State]:
            return scope.feed(tx), rules.find(tx, scope.organisation)

        feed, state = await call.read(transaction)
        return feed, state, rules.staleness_of(state, self._services.clock())

    def _fresh_seconds(self, staleness: StalenessTimes) -> float:
        """The seconds until fresh labels are stale if nothing happens; never so few that waiting becomes spinning."""
        left_us = (staleness.due_us or 0) - self._services.clock()
        return max(_SHORTEST_WAIT_SECONDS, left_us / SECOND_US)


async def place(call: Call) -> tuple[str, int]:
    """The path's organisation and its feed. Raises: NotFound when it is unknown or another tenant's."""
    scope = _path_scope(call)
    return scope.organisation, await call.read(scope.feed)


def provide(tx: Transaction, scope: Scope, *, open_provisioning: bool) -> int:
    """The feed of the organisation that a body names. Raises: Invalid (unknown, and provisioning is closed)."""
    return organisations.provide(tx, scope.organisation, open_provisioning=open_provisioning, field="organization_id")


def _path_scope(call: Call) -> Scope:
    return Scope.of(call.principal).narrow(call.params["organization_id"])


def _listed(state: State, staleness: StalenessTimes) -> shapes.SyncState:
    tracked = state.tracked
    return shapes.SyncState(
        tracked.organisation, staleness.is_stale, _millis(tracked.last_sync_us), _millis(staleness.due_us)
    )


def _created(state: State) -> Reply:
    tracked = state.tracked
    answer = shapes.CreatedSyncRecord(tracked.organisation, True, None, format_millis(tracked.created_us))
    return reply.json(answer, 201, (location("terminology-sync", tracked.organisation),))


def location(door: str, organisation: str) -> Header:
    """The Location header of a new resource under an organisation's id."""
    return b"location", f"/api/v1/{door}/{quote(organisation, safe='')}".encode()


def _tag(state: State, staleness: StalenessTimes) -> str:
    tracked = state.tracked
    return etags.etag(tracked.created_us, tracked.edition, state.version, "stale" if staleness.is_stale else "fresh")


def _require(if_match: str | None, state: State, now_us: int) -> None:
    if if_match is not None:
        etags.require(if_match, _tag(state, rules.staleness_of(state, now_us)))


def _millis(at_us: int | None) -> str | None:
    return None if at_us is None else format_millis(at_us)

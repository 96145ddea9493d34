"""The cache door: reads the request's shape, calls a rule, writes the answer's shape; decides nothing.

Source: cache contract, all endpoints; and the read side of our own.
"""

from __future__ import annotations

import asyncio
import base64
import binascii

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import Invalid, NotFound, TooLarge
from headwater.base.ids import sync_id
from headwater.base.log import get_log
from headwater.base.wire import encode, format_seconds
from headwater.contracts.cache import batches, queries, rules, shapes
from headwater.contracts.cache.batches import Prepared
from headwater.contracts.cache.queries import CacheFilter, Sync
from headwater.contracts.cache.shapes import Cleared, LastSync, SyncRecord, SyncRecordDetails, SyncResult
from headwater.feed.cursor import invalid
from headwater.identity import organisations
from headwater.identity.scope import Scope
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.http.paging import integer, link, pagination, paging, search_text
from headwater.web.reply import Reply
from headwater.web.services import Services

_INLINE_BYTES = 16 * 1024
_MAX_PAGE = 1000
_WARN_EVERY_SECONDS = 60.0

_log = get_log(__name__)


class CacheDoor:
    """The handlers of ``/api/v1/cache``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._warn_again_seconds = 0.0

    async def list(self, call: Call) -> Reply:
        """GET: sync records of every organisation in sight, newest first."""
        asked = paging(call.query)
        named = call.query.get("org_id")
        scope = _scope(call) if named is None else _scope(call).narrow(named)

        def transaction(tx: Transaction) -> tuple[list[Sync], int]:
            return queries.page(tx, scope.filter(tx), asked.limit, asked.offset)

        found, total = await call.read(transaction, slow=True)
        body = b'{"data":%b,"pagination":%b}' % (encode([_record(sync) for sync in found]), pagination(asked, total))
        return reply.json_bytes(body, headers=(link(call.path, call.query, asked, total),))

    async def get(self, call: Call) -> Reply:
        """GET /{id}: one sync record."""
        number, scope = rules.number_of(call.params["id"]), _scope(call)

        def transaction(tx: Transaction) -> tuple[Sync, tuple[int, int] | None]:
            found = _sync_in_scope(tx, scope, number)
            return found, queries.last_success(tx, found.organisation)

        found, success = await call.read(transaction)
        tag = _tag(found, success)
        header = (b"etag", tag.encode())
        given = call.header(b"if-none-match")
        if given is not None and etags.matches(given, tag, weak=True):
            return reply.empty(304, (header,))
        details = SyncRecordDetails(
            sync_id(number),
            found.organisation,
            found.contacts_synced,
            found.notes_synced,
            format_seconds(found.synced_us),
            found.status,
            format_seconds(success[1]) if success else None,
        )
        return reply.json(details, headers=(header,))

    async def timestamp(self, call: Call) -> Reply:
        """GET /timestamp: an organisation's last successful sync."""
        scope = _named_scope(call)
        organisation = scope.organisation

        def transaction(tx: Transaction) -> tuple[int, int] | None:
            scope.feed(tx)
            return queries.last_success(tx, organisation)

        found = await call.read(transaction)
        if found is None:
            return reply.json(LastSync(organisation, None, None, "never"))
        return reply.json(LastSync(organisation, format_seconds(found[1]), sync_id(found[0]), "success"))

    async def sync(self, call: Call) -> Reply:
        """POST: accept a batch; 201."""
        organisation, contacts, notes = await self._batch(call)
        _scope(call).narrow(organisation)
        is_open = self._services.settings.effective_provisioning == "open"

        def transaction(tx: Transaction) -> SyncResult:
            feed = organisations.provide(tx, organisation, open_provisioning=is_open)
            return rules.sync(tx, feed, organisation, contacts, notes)

        return await call.act(transaction, _created)

    async def extend(self, call: Call) -> Reply:
        """PUT /{id}: accept a further batch under the same record."""
        number = rules.number_of(call.params["id"])
        organisation, contacts, notes = await self._batch(call)
        scope, if_match = _scope(call), call.header(b"if-match")

        def transaction(tx: Transaction) -> SyncResult:
            found = _sync_in_scope(tx, scope, number)
            _require(tx, found, if_match)
            feed = organisations.feed_of(tx, found.organisation)
            return rules.extend(tx, feed, number, organisation, contacts, notes)

        return reply.json(await call.write(transaction))

    async def clear(self, call: Call) -> Reply:
        """DELETE /{id}: empty the cache of the record's organisation."""
        number = rules.number_of(call.params["id"])
        scope, if_match = _scope(call), call.header(b"if-match")

        def transaction(tx: Transaction) -> Cleared:
            found = _sync_in_scope(tx, scope, number)
            _require(tx, found, if_match)
            return rules.clear(tx, organisations.feed_of(tx, found.organisation), found)

        return reply.json(await call.write(transaction))

    async def contacts(self, call: Call) -> Reply:
        """GET /contacts: the cached contacts by id; filtered by ``q``."""
        return await _cached(call, rules.CONTACT)

    async def notes(self, call: Call) -> Reply:
        """GET /notes: the cached notes by id; filtered by ``contact_id``."""
        return await _cached(call, rules.NOTE)

    async def _batch(self, call: Call) -> tuple[str, Prepared, Prepared]:
        """The body's organisation and rows; large batches are read on a thread, so that others are served."""
        most = self._services.settings.limits.cache_rows
        now_us = self._services.clock()

        def prepare() -> tuple[str, Prepared, Prepared]:
            batch = call.decoded(shapes.read_batch)
            rules.require_acceptable(batch.org_id)
            rows = len(batch.contacts) + len(batch.notes)
            if rows > most:
                raise TooLarge(f"the batch has {rows} rows; at most {most} are taken in one call")
            return batch.org_id, batches.contacts(batch.contacts, now_us), batches.notes(batch.notes, now_us)

        found = prepare() if len(call.body) <= _INLINE_BYTES else await asyncio.to_thread(prepare)
        self._compare_clocks(batches.ahead_of_clock(*found[1:]))
        return found

    def _compare_clocks(self, rows_ahead: int) -> None:
        """Warns the operator, at most once a minute: most rows of a batch are ahead only where our clock is behind."""
        if rows_ahead and monotonic_seconds() >= self._warn_again_seconds:
            self._warn_again_seconds = monotonic_seconds() + _WARN_EVERY_SECONDS
            _log.warning(
                "most rows of a cache batch are in the future: is this server's clock behind?",
                ahead_rows=rows_ahead,
            )


async def _cached(call: Call, kind: str) -> Reply:
    scope = _named_scope(call)
    limit = integer(call.query, "limit", 100, 1, _MAX_PAGE)
    wanted = CacheFilter(
        kind,
        _after(call.query.get("cursor")),
        limit,
        text=search_text(call.query),
        contact_id=call.query.get("contact_id"),
    )

    def transaction(tx: Transaction) -> tuple[bytes, str | None, bool]:
        return queries.cached_page(tx, scope.feed(tx), wanted)

    data, last, more = await call.read(transaction, slow=True)
    cursor = _cursor(last) if last is not None else call.query.get("cursor")
    return reply.json_bytes(
        b'{"data":[%b],"cursor":%b,"has_more":%b}' % (data, encode(cursor), b"true" if more else b"false")
    )


def _cursor(last_id: str) -> str:
    """The cursor after an id; it opens nothing that ``org_id`` does not, so it is not signed."""
    return base64.urlsafe_b64encode(last_id.encode()).rstrip(b"=").decode()


def _after(cursor: str | None) -> str:
    if not cursor:
        return ""
    try:
        after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise invalid("malformed", "the cursor is not one of this server's") from None
    if not after.isprintable():
        raise invalid("malformed", "the cursor is not one of this server's")
    return after


def _scope(call: Call) -> Scope:
    """The caller's scope; in this contract a caller without a token reaches every organisation."""
    scope = Scope.of(call.principal)
    return scope._replace(reaches_all=True) if call.principal.anonymous else scope


def _sync_in_scope(tx: Transaction, scope: Scope, number: int) -> Sync:
    found = queries.sync(tx, number)
    if found is None or not scope.reaches(found.organisation):
        raise NotFound(f"no sync {sync_id(number)!r}")
    return found


def _named_scope(call: Call) -> Scope:
    """The scope of the organisation that the query or the token names. Raises: Invalid (neither), NotFound."""
    scope = _scope(call)
    named = call.query.get("org_id")
    if named is not None:
        return scope.narrow(named)
    if scope.reaches_all:
        raise Invalid.of("org_id", "missing", "name the organisation with ?org_id=")
    return scope


def _require(tx: Transaction, found: Sync, if_match: str | None) -> None:
    if if_match is not None:
        etags.require(if_match, _tag(found, queries.last_success(tx, found.organisation)))


def _tag(found: Sync, success: tuple[int, int] | None) -> str:
    return etags.etag(sync_id(found.number), found.updated_us, success[1] if success else 0)


def _record(sync: Sync) -> SyncRecord:
    return SyncRecord(
        sync_id(sync.number),
        sync.organisation,
        sync.contacts_synced,
        sync.notes_synced,
        format_seconds(sync.synced_us),
        sync.status,
    )


def _created(result: SyncResult) -> Reply:
    return reply.json(result, 201, ((b"location", b"/api/v1/cache/sync/" + result.id.encode()),))

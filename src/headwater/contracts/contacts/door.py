"""The contacts door: reads the request's shape, calls a rule, writes the answer's shape; decides nothing.

Source: contacts contract, all endpoints.
"""

from __future__ import annotations

from headwater.base.errors import Invalid
from headwater.base.wire import parse_time
from headwater.contracts.contacts import queries, rules, shapes
from headwater.contracts.contacts.queries import ContactFilter, feed_of_contact
from headwater.store.database import Transaction
from headwater.store.idempotency import RecordName
from headwater.store.log import records
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.http.paging import link, pagination, paging, search_text
from headwater.web.reply import Header, Reply
from headwater.web.services import Services
from headwater.web.tenancy import scope_of


class ContactsDoor:
    """The handlers of ``/api/v1/contacts``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, call: Call) -> Reply:
        """GET: a page of contacts by id, filtered by ``q``, ``chapter_id`` and ``updated_since``."""
        asked = paging(call.query)
        since = call.query.get("updated_since")
        wanted = ContactFilter(
            None,
            text=search_text(call.query),
            chapter_id=call.query.get("chapter_id"),
            updated_since_us=None if since is None else parse_time(since, "updated_since"),
            limit=asked.limit,
            offset=asked.offset,
        )
        scope = scope_of(call)

        def transaction(tx: Transaction) -> tuple[bytes, int]:
            return queries.page(tx, wanted._replace(feed=None if scope.reaches_all else scope.feed(tx)))

        data, total = await call.read(transaction, slow=True)
        body = b'{"data":[%b],"pagination":%b}' % (data, pagination(asked, total))
        return reply.json_bytes(body, headers=(link(call.path, call.query, asked, total),))

    async def get(self, call: Call) -> Reply:
        """GET /{id}: one contact with its ETag; 304 when If-None-Match names it."""
        id, scope = call.params["id"], scope_of(call)

        def transaction(tx: Transaction) -> tuple[int, bytes]:
            return rules.show(tx, feed_of_contact(tx, scope, id), id)

        committed = (
            records.committed_body(self._services.database, scope.known_feed, rules.KIND, id)
            if scope.known_feed and self._services.database.embedded and not scope.reaches_all
            else None
        )
        revision, body = committed if committed is not None else await call.read(transaction)
        tag = etags.etag(id, revision)
        if is_known(call, tag):
            return reply.empty(304, (etag_header(tag),))
        return reply.json_bytes(body, headers=(etag_header(tag),))

    async def create(self, call: Call) -> Reply:
        """POST: a new contact; 201."""
        try:
            fields, scope = call.decoded(shapes.read_fields), scope_of(call)
        except Invalid as failure:
            raise rules.with_missing_name(failure, call.body) from None

        def transaction(tx: Transaction) -> tuple[int, rules.Stored]:
            feed = scope.feed(tx)
            rules.require_organisation(tx, feed, fields.org_id)
            return feed, rules.create(tx, feed, fields)

        return await call.act(transaction, lambda created: _shown(created[1], 201), shows=_shows)

    async def update(self, call: Call) -> Reply:
        """PUT and PATCH /{id}: merge the given fields; 200."""
        id, fields, scope = call.params["id"], call.decoded(shapes.read_fields), scope_of(call)
        if_match = call.header(b"if-match")

        def transaction(tx: Transaction) -> rules.Stored:
            feed = feed_of_contact(tx, scope, id)
            rules.require_organisation(tx, feed, fields.org_id)
            return rules.update(tx, feed, id, fields, _expected(tx, feed, id, if_match))

        return _shown(await call.write(transaction), 200)

    async def delete(self, call: Call) -> Reply:
        """DELETE /{id}: leave a tombstone; 200 with the answer's body."""
        id, scope, if_match = call.params["id"], scope_of(call), call.header(b"if-match")

        def transaction(tx: Transaction) -> int:
            feed = feed_of_contact(tx, scope, id)
            return rules.delete(tx, feed, id, _expected(tx, feed, id, if_match))

        return reply.json_bytes(shapes.deleted(id, await call.write(transaction)))


def is_known(call: Call, tag: str) -> bool:
    """True when If-None-Match names this tag."""
    given = call.header(b"if-none-match")
    return given is not None and etags.matches(given, tag, weak=True)


def etag_header(tag: str) -> Header:
    """The ETag header of a tag."""
    return b"etag", tag.encode("utf-8")


def _expected(tx: Transaction, feed: int, id: str, if_match: str | None) -> int | None:
    """The present revision, compared with If-Match; None without If-Match. Raises: PreconditionFailed."""
    if if_match is None:
        return None
    current = records.find(tx, feed, rules.KIND, id)
    revision = current.revision if current else 0
    etags.require(if_match, etags.etag(id, revision))
    return revision


def _shows(created: tuple[int, rules.Stored]) -> RecordName:
    """The contact that the answer to a creation shows."""
    feed, stored = created
    return RecordName(feed, rules.KIND, shapes.id_of(stored.body))


def _shown(stored: rules.Stored, status: int) -> Reply:
    contact_id = shapes.id_of(stored.body)
    headers: tuple[Header, ...] = (etag_header(etags.etag(contact_id, stored.revision)),)
    if status == 201:
        headers += ((b"location", b"/api/v1/contacts/" + contact_id.encode()),)
    return reply.json_bytes(stored.body, status, headers)

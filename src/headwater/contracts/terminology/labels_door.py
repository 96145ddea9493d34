"""The door of the labels themselves, the sibling of terminology-sync; decides nothing.

Source: readings, section 5.6.
"""

from __future__ import annotations

from headwater.base.wire import encode, format_millis
from headwater.contracts.terminology import label_rules, label_sets, queries, shapes, source_rules
from headwater.contracts.terminology.door import location, place, provide
from headwater.contracts.terminology.label_rules import Edited, ShownLabels
from headwater.contracts.terminology.queries import OWN, URL, LabelCount, LabelSource, State
from headwater.contracts.terminology.shapes import SourceKind
from headwater.identity.scope import Scope
from headwater.store.database import Transaction
from headwater.store.log import feeds
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.http.paging import link, pagination, paging
from headwater.web.reply import Header, Reply
from headwater.web.services import Services
from headwater.web.tenancy import scope_of


class LabelsDoor:
    """The handlers of ``/api/v1/terminology``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, call: Call) -> Reply:
        """GET: the organisations that have labels: the caller's own, all of them for a global admin."""
        asked, scope = paging(call.query), scope_of(call)

        def transaction(tx: Transaction) -> tuple[list[LabelCount], int]:
            return queries.listed(tx, scope.filter(tx), asked.limit, asked.offset)

        found, total = await call.read(transaction, slow=True)
        rows = [shapes.LabelSummary(row.organisation, row.label_count, format_millis(row.updated_us)) for row in found]
        body = b'{"data":%b,"pagination":%b}' % (encode(rows), pagination(asked, total))
        return reply.json_bytes(body, headers=(link(call.path, call.query, asked, total),))

    async def get(self, call: Call) -> Reply:
        """GET /{organization_id}: the labels; 304 when If-None-Match names them."""
        organisation, feed = await place(call)

        def transaction(tx: Transaction) -> tuple[ShownLabels, int]:
            state = queries.state(tx, organisation)
            ttl_seconds = (
                self._services.settings.terminology.ttl_seconds if state is None else state.tracked.ttl_seconds
            )
            return label_rules.show(tx, feed, organisation), ttl_seconds

        shown, ttl_seconds = await call.read(transaction)
        tag = _tag(shown)
        # Labels may be shown while a client revalidates them, for as long as a sync of them is fresh.
        caching = f"private, max-age=0, stale-while-revalidate={ttl_seconds}"
        headers: tuple[Header, ...] = ((b"etag", tag.encode()), (b"cache-control", caching.encode()))
        given = call.header(b"if-none-match")
        if given is not None and etags.matches(given, tag, weak=True):
            return reply.empty(304, headers)
        return reply.json_bytes(shown.body, headers=headers)

    async def create(self, call: Call) -> Reply:
        """POST: store a first set of labels; 201."""
        fields = call.decoded(shapes.read_labels)
        labels = label_sets.checked(fields.labels)
        scope = Scope.of(call.principal).narrow(fields.organization_id)
        is_open = self._services.settings.effective_provisioning == "open"

        def transaction(tx: Transaction) -> tuple[int, str]:
            feed = provide(tx, scope, open_provisioning=is_open)
            return label_rules.create(tx, feed, scope.organisation, labels), format_millis(tx.at_us)

        def render(made: tuple[int, str]) -> Reply:
            answer = shapes.CreatedLabels(fields.organization_id, made[0], made[1], made[1])
            return reply.json(answer, 201, (location("terminology", fields.organization_id),))

        # Two first sets at once are one after the other, so that the second is a conflict.
        feed = await call.read(lambda tx: feeds.organisation_feed(tx, fields.organization_id))
        return await call.act(transaction, render, feed=feed or 0)

    async def update(self, call: Call) -> Reply:
        """PUT /{organization_id}: merge labels into the present ones, or replace them."""
        fields = call.decoded(shapes.read_labels_change)
        given = label_sets.checked(fields.labels, removals=True)
        organisation, feed = await place(call)
        if_match = call.header(b"if-match")

        def transaction(tx: Transaction) -> Edited:
            _require(tx, feed, organisation, if_match)
            return label_rules.change(tx, feed, organisation, given, merge=fields.merge)

        edited = await call.write(transaction, feed=feed)
        return reply.json(
            shapes.ChangedLabels(organisation, edited.updated_keys, edited.total, format_millis(edited.updated_us))
        )

    async def remove(self, call: Call) -> Reply:
        """DELETE /{organization_id}: drop the labels, those that devices have too."""
        organisation, feed = await place(call)
        if_match = call.header(b"if-match")

        def transaction(tx: Transaction) -> None:
            _require(tx, feed, organisation, if_match)
            label_rules.delete(tx, feed, organisation)

        await call.write(transaction, feed=feed)
        return reply.json(shapes.Removed(organisation, True))

    async def source(self, call: Call) -> Reply:
        """GET /{organization_id}/source: the source of the labels, and the state of its last fetches."""
        organisation, _ = await place(call)
        return reply.json(await call.read(lambda tx: _source(tx, organisation)))

    async def name_source(self, call: Call) -> Reply:
        """PUT /{organization_id}/source: name this server or a URL as the source of the labels."""
        fields = call.decoded(shapes.read_source)
        kind: SourceKind = OWN
        where = ""
        if isinstance(fields, shapes.UrlSource):
            kind, where = URL, fields.url
        source_rules.check(kind, where, self._services.settings.terminology.allowed_hosts)
        organisation, feed = await place(call)

        def transaction(tx: Transaction) -> shapes.SourceShown:
            source_rules.name(tx, feed, organisation, kind, where)
            return _source(tx, organisation)

        return reply.json(await call.write(transaction, feed=feed))


def _source(tx: Transaction, organisation: str) -> shapes.SourceShown:
    kept: LabelSource = queries.kept(tx, organisation)
    state: State | None = queries.state(tx, organisation)
    retry_us = state.tracked.retry_us if state else None
    return shapes.SourceShown(
        organisation,
        kept.source,
        None if kept.source == OWN else kept.location,
        format_millis(kept.changed_us) if kept.version else None,
        state.tracked.failures if state else 0,
        None if retry_us is None else format_millis(retry_us),
    )


def _tag(shown: ShownLabels) -> str:
    return etags.etag(shown.state, shown.updated_us)


def _require(tx: Transaction, feed: int, organisation: str, if_match: str | None) -> None:
    if if_match is not None:
        etags.require(if_match, _tag(label_rules.show(tx, feed, organisation)))

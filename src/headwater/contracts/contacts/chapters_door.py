"""The doors of chapters: a contact's affiliations, and an organisation's chapters; both decide nothing.

Source: contacts contract, "chapter-affiliations"; readings 6.3.
"""

from __future__ import annotations

from urllib.parse import quote

from headwater.base.errors import NotFound
from headwater.base.wire import encode, format_seconds
from headwater.contracts.contacts import affiliations, shapes
from headwater.contracts.contacts.affiliations import AffiliationState
from headwater.contracts.contacts.door import etag_header, is_known
from headwater.contracts.contacts.queries import feed_of_contact
from headwater.contracts.contacts.shapes import Affiliation, AffiliationsSet
from headwater.identity import chapters
from headwater.identity.chapters import Chapter
from headwater.identity.scope import Scope
from headwater.store.database import Transaction
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.http.paging import link, pagination, paging
from headwater.web.reply import Reply
from headwater.web.services import Services
from headwater.web.tenancy import scope_of


class AffiliationsDoor:
    """The handlers of ``/api/v1/contacts/{id}/chapter-affiliations``."""

    def __init__(self, services: Services) -> None:
        self._is_open = services.settings.effective_provisioning == "open"

    async def list(self, call: Call) -> Reply:
        """GET: a page of the contact's chapters, in the order in which they were set."""
        id, asked, scope = call.params["id"], paging(call.query), scope_of(call)

        def transaction(tx: Transaction) -> tuple[AffiliationState, list[Affiliation], int]:
            feed = feed_of_contact(tx, scope, id)
            found = affiliations.state_of(tx, feed, id)
            return found, *affiliations.page(tx, feed, id, asked.limit, asked.offset)

        found, shown, total = await call.read(transaction)
        tag = etags.etag(id, *found)
        if is_known(call, tag):
            return reply.empty(304, (etag_header(tag),))
        body = b'{"data":%b,"pagination":%b}' % (encode(shown), pagination(asked, total))
        return reply.json_bytes(body, headers=(etag_header(tag), link(call.path, call.query, asked, total)))

    async def replace(self, call: Call) -> Reply:
        """PUT: the contact belongs to these chapters and no others; 200."""
        id, ids = call.params["id"], call.decoded(shapes.read_affiliations).chapter_ids
        scope, if_match = scope_of(call), call.header(b"if-match")

        def transaction(tx: Transaction) -> tuple[AffiliationsSet, AffiliationState]:
            feed = feed_of_contact(tx, scope, id)
            etags.require(if_match, etags.etag(id, *affiliations.state_of(tx, feed, id)))
            done = affiliations.replace(tx, feed, id, ids, open_provisioning=self._is_open)
            return done, affiliations.state_of(tx, feed, id)

        done, found = await call.write(transaction)
        return reply.json(done, headers=(etag_header(etags.etag(id, *found)),))


class ChaptersDoor:
    """The handlers of ``/api/v1/chapters``."""

    async def list(self, call: Call) -> Reply:
        """GET: a page of an organisation's chapters by id: the caller's own, or the one that ``org_id`` names."""
        asked, scope = paging(call.query), scope_of(call)

        def transaction(tx: Transaction) -> list[Chapter]:
            return chapters.read_all(tx, _organisation(tx, scope))

        found = await call.read(transaction)
        shown = [_chapter(row) for row in found[asked.offset : asked.offset + asked.limit]]
        body = b'{"data":%b,"pagination":%b}' % (encode(shown), pagination(asked, len(found)))
        return reply.json_bytes(body, headers=(link(call.path, call.query, asked, len(found)),))

    async def get(self, call: Call) -> Reply:
        """GET /{id}: one chapter with its ETag."""
        id, scope = call.params["id"], scope_of(call)

        def transaction(tx: Transaction) -> Chapter:
            return _found(tx, _organisation(tx, scope), id)

        found = await call.read(transaction)
        tag = _tag(found)
        if is_known(call, tag):
            return reply.empty(304, (etag_header(tag),))
        return reply.json(_chapter(found), headers=(etag_header(tag),))

    async def create(self, call: Call) -> Reply:
        """POST: a new chapter; 201."""
        fields, scope = call.decoded(shapes.read_chapter), scope_of(call)

        def transaction(tx: Transaction) -> Chapter:
            return chapters.create(tx, _organisation(tx, scope), fields.name, fields.chapter_id)

        return await call.act(transaction, _created)

    async def rename(self, call: Call) -> Reply:
        """PUT and PATCH /{id}: another name for the same chapter; 200."""
        id, name = call.params["id"], call.decoded(shapes.read_chapter_name).name
        scope, if_match = scope_of(call), call.header(b"if-match")

        def transaction(tx: Transaction) -> Chapter:
            organisation = _organisation(tx, scope)
            etags.require(if_match, _tag(_found(tx, organisation, id)))
            return chapters.rename(tx, organisation, id, name)

        renamed = await call.write(transaction)
        return reply.json(_chapter(renamed), headers=(etag_header(_tag(renamed)),))


def _organisation(tx: Transaction, scope: Scope) -> str:
    """The organisation whose chapters a request is about. Raises: NotFound (no such organisation)."""
    scope.feed(tx)
    return scope.organisation


def _found(tx: Transaction, organisation: str, id: str) -> Chapter:
    found = chapters.find(tx, organisation, id)
    if found is None:
        raise NotFound(f"no chapter {id!r}")
    return found


def _tag(chapter: Chapter) -> str:
    return etags.etag(chapter.id, chapter.updated_us, chapter.name)


def _chapter(row: Chapter) -> shapes.ChapterAnswer:
    return shapes.ChapterAnswer(row.id, row.name, format_seconds(row.created_us), format_seconds(row.updated_us))


def _created(row: Chapter) -> Reply:
    location = b"/api/v1/chapters/" + quote(row.id, safe="").encode()
    return reply.json(_chapter(row), 201, (etag_header(_tag(row)), (b"location", location)))

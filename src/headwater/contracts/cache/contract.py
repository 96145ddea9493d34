"""The cache contract: its routes under one name, and the read side of our own. Source: cache contract."""

from __future__ import annotations

from headwater.contracts.cache import shapes
from headwater.contracts.cache.door import CacheDoor
from headwater.contracts.cache.kinds import CACHED_CONTACT_KIND, NOTE_KIND
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route
from headwater.web.errors import problem
from headwater.web.http.paging import SEARCH_SCHEMA
from headwater.web.services import Services

_READ = AccessRule("cache", public=True)
_WRITE = AccessRule("cache", write=True, public=True)
_PREFIX = "/api/v1/cache/sync"
_ORG = Param("org_id", "The organisation; a token of one organisation may leave it out.")
_PAGE = (
    Param("page", "Page number, from 1.", {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 1}),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
)
_CURSOR = (
    Param("cursor", "The cursor of the page before."),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
)


def build(services: Services) -> Contract:
    """The cache door of one server."""
    door = CacheDoor(services)
    routes = (
        Route("GET", "", door.list, _READ, "List sync records", answer=shapes.SyncList, params=(*_PAGE, _ORG)),
        Route("GET", "/timestamp", door.timestamp, _READ, "Last successful sync of an organisation",
              answer=shapes.LastSync, params=(_ORG,), answer_example=shapes.LAST_SYNC_EXAMPLE),
        Route("GET", "/{id}", door.get, _READ, "Fetch a sync record", answer=shapes.SyncRecordDetails,
              answer_example=shapes.DETAILS_EXAMPLE),
        Route("POST", "", door.sync, _WRITE, "Bring contacts and notes", body=shapes.BatchBody,
              answer=shapes.SyncResult, status=201, example=shapes.SYNC_EXAMPLE, body_limit="cache_body_bytes",
              errors=(404,)),
        Route("PUT", "/{id}", door.extend, _WRITE, "Retry or extend a sync", body=shapes.BatchBody,
              answer=shapes.SyncResult, example=shapes.EXTEND_EXAMPLE, body_limit="cache_body_bytes", errors=(409,)),
        Route("DELETE", "/{id}", door.clear, _WRITE, "Clear the organisation's cache", answer=shapes.Cleared,
              answer_example=shapes.CLEARED_EXAMPLE),
    )  # fmt: skip
    return Contract(
        "cache", "Contact Cache Sync Repository", (_PREFIX, _PREFIX + _PREFIX), routes, problem, source="cache contract"
    )


def build_reading(services: Services) -> Contract:
    """The read side of the cache, which the contract leaves out."""
    door = CacheDoor(services)
    routes = (
        Route("GET", "/contacts", door.contacts, _READ, "Read cached contacts", answer=shapes.ContactPage,
              params=(_ORG, *_CURSOR, Param("q", "Beginning of a name, an email or a phone number.", SEARCH_SCHEMA))),
        Route("GET", "/notes", door.notes, _READ, "Read cached notes", answer=shapes.NotePage,
              params=(_ORG, *_CURSOR, Param("contact_id", "Only notes of this contact."))),
    )  # fmt: skip
    return Contract("cache-reading", "Cached contacts and notes", ("/api/v1/cache",), routes, problem)


BUILDERS = (build, build_reading)
KINDS = (CACHED_CONTACT_KIND, NOTE_KIND)

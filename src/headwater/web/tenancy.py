"""Which organisations a request reaches: a token's own, all for a global admin, narrowed by ``?org_id=``."""

from __future__ import annotations

from headwater.base.errors import NotFound
from headwater.identity import organisations
from headwater.store.database import Transaction
from headwater.store.log import feeds
from headwater.web.call import Call


def organisation_in_sight(tx: Transaction, call: Call, organisation: str) -> int:
    """The feed of an organisation that a path or query names. Raises: NotFound when unknown or another tenant's."""
    feed = feeds.organisation_feed(tx, organisation) if call.principal.sees(organisation) else None
    if feed is None:
        raise NotFound(f"no organisation {organisation!r}")
    return feed


def sees_every_feed(call: Call) -> bool:
    """Whether the request reaches every organisation, because nothing narrows it."""
    return call.principal.sees_all and "org_id" not in call.query


def feed_to_write(tx: Transaction, call: Call) -> int:
    """The feed that a request is about: the caller's own, or the one that ``?org_id=`` names. Raises: NotFound."""
    named = call.query.get("org_id")
    if named is not None:
        return organisation_in_sight(tx, call, named)
    return _own_feed(tx, call)


def home_feed(call: Call) -> int:
    """The caller's own feed where it is known and nothing narrows the request elsewhere; else 0."""
    return 0 if b"org_id" in call.query_string else call.principal.feed


def _own_feed(tx: Transaction, call: Call) -> int:
    return call.principal.feed or organisations.feed_of(tx, call.principal.organisation)

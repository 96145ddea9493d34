"""What both doors of this contract ask first: whose contact this is, and whether the caller has it already."""

from __future__ import annotations

from headwater.base.errors import NotFound
from headwater.contracts.contacts import queries
from headwater.store.database import Transaction
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.reply import Header
from headwater.web.tenancy import feed_to_write, sees_every_feed


def feed_of_contact(tx: Transaction, call: Call, id: str) -> int:
    """The feed of a contact that the caller may see. Raises: NotFound."""
    own = feed_to_write(tx, call)
    feed = own if queries.holds(tx, own, id) else None
    if feed is None and sees_every_feed(call):
        feed = queries.feed_of_contact(tx, id)
    if feed is None:
        raise NotFound(f"no contact {id!r}")
    return feed


def is_known(call: Call, tag: str) -> bool:
    """True when If-None-Match names this tag."""
    given = call.header(b"if-none-match")
    return given is not None and etags.matches(given, tag, weak=True)


def etag_header(tag: str) -> Header:
    """The ETag header of a tag."""
    return b"etag", tag.encode("utf-8")

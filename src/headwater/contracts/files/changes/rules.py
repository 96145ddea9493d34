"""The next page of changes for a device, of one share or of all readable ones, and the cursors that are accepted.

A cursor is opaque and signed; with a share it may also be the bare position. ``0`` means the whole tree first,
none means from now on.

Source: files contract, "Change tracking"; reading "Cursors".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from headwater.base.errors import CursorInvalid
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.changes import snapshot
from headwater.contracts.files.changes.snapshot import SharePage
from headwater.feed.cursor import BEFORE_RESTORE, CursorCodec, Place, invalid
from headwater.feed.cursor_bases import CursorBase
from headwater.feed.reader import START_AGAIN, below_floor
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.log import changes, feeds

INLINE_CHANGES = 500
"""So many changes are read without making others wait."""

_MAX_DIGITS = 30
REASONS = {
    "ahead": "the cursor is ahead of the share's log",
    "restored": BEFORE_RESTORE,
    "unused": "the cursor was not used for too long; list again from the cursor in this answer",
    "expired": "the changes after this cursor have been compacted away; list again from the cursor in this answer",
}


class ChangesQuery(NamedTuple):
    """A request for changes; ``share_id`` None means every share."""

    share_id: str | None
    cursor: str | None
    limit: int


class ChangesPage(NamedTuple):
    """Changes as wire bytes joined with commas, the cursor to continue with, and the feeds that were read.

    ``new_base`` must be stored before the cursor is sent, and the use of the base ``used`` must be noted.
    """

    wires: bytes
    size: int
    cursor: str
    has_more: bool
    feeds: Collection[int]
    new_base: CursorBase | None = None
    replaces: str | None = None
    used: str | None = None


def read(
    tx: Transaction, codec: CursorCodec, principal: Principal, query: ChangesQuery, *, quick: bool = False
) -> ChangesPage | None:
    """The next page of one share; None when ``quick`` is set and a long read is needed.

    Raises: NotFound (share), CursorInvalid (malformed, forged, foreign, ahead; expired and restored with a start
    ``cursor``).
    """
    row = access.require(tx, principal, query.share_id or "", Access.READ)
    place = place_of(tx, codec, row.feed, query.cursor)
    if quick and _is_long(tx, row.feed, place, query.limit):
        return None
    page = read_share(tx, row, place, query.limit)
    return ChangesPage(page.wires, page.size, codec.encode(row.feed, page.place), page.has_more, (row.feed,))


def place_of(tx: Transaction, codec: CursorCodec, feed: int, text: str | None) -> Place:
    """The place in a share that a cursor names, in either form. Raises: CursorInvalid."""
    head = feeds.head(tx, feed)
    if text is None:
        return Place(head)
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        place = Place(int(text)) if int(text) else snapshot.begin(tx, feed)
    else:
        try:
            place = codec.decode(text, feed)
        except CursorInvalid as failure:
            if failure.extra["reason"] == "restored":
                raise start_again("restored", codec.encode(feed, snapshot.begin(tx, feed))) from None
            raise
    reason = _refusal(tx, feed, place, head)
    if reason in START_AGAIN:
        raise start_again(reason, codec.encode(feed, snapshot.begin(tx, feed)))
    if reason is not None:
        raise invalid(reason, REASONS[reason])
    return place


def read_share(tx: Transaction, row: ShareRow, place: Place, limit: int) -> SharePage:
    """The next changes of a share after a place that was checked."""
    if place.snapshot_head:
        return snapshot.read(tx, row, place, limit)
    head = feeds.head(tx, row.feed)
    if place.position == head:
        return SharePage(b"", 0, place, has_more=False)
    page = changes.page(tx, row.feed, place.position, head, limit)
    last = page.last if page.size == limit else head
    return SharePage(page.wires, page.size, Place(last), has_more=last < head)


def refusal_of(tx: Transaction, feed: int, place: Place, head: int, floor: int) -> str | None:
    """The reason for which a place cannot be read from; None when it can."""
    complete_upto = place.snapshot_head or place.position
    if complete_upto > head:
        return "ahead"
    return below_floor(tx, feed, complete_upto) if complete_upto < floor else None


def _refusal(tx: Transaction, feed: int, place: Place, head: int) -> str | None:
    """The reason for which a place cannot be read from; None when it can.

    As ``feed.reader.check``, except that a place at the head needs no look-up of the floor.
    """
    if place.position == head and not place.snapshot_head:
        return None
    return refusal_of(tx, feed, place, head, feeds.floor(tx, feed))


def start_again(reason: str, cursor: str, detail: str | None = None) -> CursorInvalid:
    """The error of a cursor that cannot be used any more, with the one to start from."""
    return invalid(reason, detail or REASONS[reason], cursor=cursor)


def _is_long(tx: Transaction, feed: int, place: Place, limit: int) -> bool:
    if limit <= INLINE_CHANGES:
        return False
    return bool(place.snapshot_head) or feeds.head(tx, feed) - place.position > INLINE_CHANGES

"""The next page of changes for a device, of one share or of all readable ones, and the cursors that are accepted.

A cursor is opaque and signed; with a share it may also be the bare position. ``0`` means the whole tree first,
none means from now on.

Source: files contract, "Change tracking"; reading "Cursors".
"""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import CursorInvalid
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.changes import snapshot
from headwater.contracts.files.changes.snapshot import SharePage
from headwater.feed.cursor import BEFORE_RESTORE, CursorCodec, Place, invalid
from headwater.feed.reader import START_AGAIN, below_floor
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.log import changes, feeds

INLINE_CHANGES = 500
"""So many changes are read without making others wait."""

_MAX_DIGITS = 30
_REASONS = {
    "ahead": "the cursor is ahead of the share's log",
    "restored": BEFORE_RESTORE,
    "expired": "the changes after this cursor have been compacted away; list again from the cursor in this answer",
}


class ChangesQuery(NamedTuple):
    """A request for changes; ``share_id`` None means every share."""

    share_id: str | None
    cursor: str | None
    limit: int


class ChangesPage(NamedTuple):
    """Changes as wire bytes joined with commas, the cursor to continue with, and the feeds that were read."""

    wires: bytes
    size: int
    cursor: str
    has_more: bool
    feeds: tuple[int, ...]


def read(
    tx: Transaction, codec: CursorCodec, principal: Principal, query: ChangesQuery, *, quick: bool = False
) -> ChangesPage | None:
    """The next page; None when ``quick`` is set and a long read is needed.

    Raises: NotFound (share), CursorInvalid (malformed, forged, foreign, ahead; expired and restored with a start
    ``cursor``).
    """
    if query.share_id is None:
        return _read_all(tx, codec, principal, query, quick=quick)
    row = access.require(tx, principal, query.share_id, Access.READ)
    place = place_of(tx, codec, row.feed, query.cursor)
    if quick and _is_long(tx, row.feed, place, query.limit):
        return None
    page = _read_share(tx, row, place, query.limit)
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
                raise _start_again("restored", codec.encode(feed, snapshot.begin(tx, feed))) from None
            raise
    reason = _refusal(tx, feed, place, head)
    if reason in START_AGAIN:
        raise _start_again(reason, codec.encode(feed, snapshot.begin(tx, feed)))
    if reason is not None:
        raise invalid(reason, _REASONS[reason])
    return place


def _read_share(tx: Transaction, row: ShareRow, place: Place, limit: int) -> SharePage:
    """The next changes of a share after a place that was checked."""
    if place.snapshot_head:
        return snapshot.read(tx, row, place, limit)
    head = feeds.head(tx, row.feed)
    if place.position == head:
        return SharePage(b"", 0, place, has_more=False)
    page = changes.page(tx, row.feed, place.position, head, limit)
    last = page.last if page.size == limit else head
    return SharePage(page.wires, page.size, Place(last), has_more=last < head)


def _read_all(
    tx: Transaction, codec: CursorCodec, principal: Principal, query: ChangesQuery, *, quick: bool
) -> ChangesPage | None:
    rows = {row.feed: row for row in access.readable(tx, principal)}
    places = _places_of(tx, codec, principal, tuple(rows), query.cursor)
    if quick and any(_is_long(tx, feed, place, query.limit) for feed, place in places.items()):
        return None
    wires: list[bytes] = []
    left = query.limit
    has_more = False
    for feed, place in places.items():
        if left <= 0:
            has_more = has_more or bool(place.snapshot_head) or place.position < feeds.head(tx, feed)
            continue
        page = _read_share(tx, rows[feed], place, left)
        if page.size:
            wires.append(page.wires)
        left -= page.size
        places[feed] = page.place
        has_more = has_more or page.has_more
    cursor = codec.encode_many(principal.organisation, places)
    return ChangesPage(b",".join(wires), query.limit - left, cursor, has_more, tuple(rows))


def _places_of(
    tx: Transaction, codec: CursorCodec, principal: Principal, readable: tuple[int, ...], text: str | None
) -> dict[int, Place]:
    """The places in all readable shares; one that the cursor does not contain yet is sent whole."""
    if text is None:
        return {feed: Place(feeds.head(tx, feed)) for feed in readable}
    start = {feed: snapshot.begin(tx, feed) for feed in readable}
    if text == "0":
        return start
    try:
        known = codec.decode_many(text, principal.organisation)
    except CursorInvalid as failure:
        if failure.extra["reason"] == "restored":
            raise _start_again("restored", codec.encode_many(principal.organisation, start)) from None
        if _opens(codec, text):
            raise invalid("foreign", "this is the cursor of one share: name it with share_id") from None
        raise
    places = {feed: known.get(feed, start[feed]) for feed in readable}
    reasons = {feed: _refusal(tx, feed, place, feeds.head(tx, feed)) for feed, place in places.items()}
    if "ahead" in reasons.values():
        raise invalid("ahead", _REASONS["ahead"])
    for reason in START_AGAIN:
        if reason in reasons.values():
            fresh = {feed: start[feed] if reasons[feed] else place for feed, place in places.items()}
            raise _start_again(reason, codec.encode_many(principal.organisation, fresh))
    return places


def _opens(codec: CursorCodec, text: str) -> bool:
    try:
        codec.open(text)
    except CursorInvalid:
        return False
    return True


def _refusal(tx: Transaction, feed: int, place: Place, head: int) -> str | None:
    """The reason for which a place cannot be read from; None when it can.

    As ``feed.reader.check``, except that a place at the head needs no look-up of the floor.
    """
    if place.position == head and not place.snapshot_head:
        return None
    complete_upto = place.snapshot_head or place.position
    if complete_upto > head:
        return "ahead"
    return below_floor(tx, feed, complete_upto) if complete_upto < feeds.floor(tx, feed) else None


def _start_again(reason: str, cursor: str) -> CursorInvalid:
    return invalid(reason, _REASONS[reason], cursor=cursor)


def _is_long(tx: Transaction, feed: int, place: Place, limit: int) -> bool:
    if limit <= INLINE_CHANGES:
        return False
    return bool(place.snapshot_head) or feeds.head(tx, feed) - place.position > INLINE_CHANGES

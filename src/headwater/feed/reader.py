"""What a reader gets next from a freshest-only feed: the present state first, then every change, without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.feed.cursor import Place, invalid
from headwater.store import changes, feeds
from headwater.store.database import Transaction


class FeedPage(NamedTuple):
    """Changes as wire bytes joined with commas, where the reader then stands, and whether more stand ready."""

    wires: bytes
    size: int
    place: Place
    has_more: bool


def start(tx: Transaction, feed: int) -> Place:
    """Where a reader without a cursor begins: before everything, at a fixed head."""
    return Place(0, feeds.head(tx, feed))


def check(tx: Transaction, feed: int, place: Place, head: int) -> str | None:
    """Why a place cannot be read from: ``ahead`` of the head or ``expired`` below the floor; None when it can."""
    if max(place) > head:
        return "ahead"
    # While the present state is read, what counts is the moment at which that reading began.
    complete_upto = max(place.position, place.snapshot_head)
    return "expired" if complete_upto < feeds.floor(tx, feed) else None


def read(tx: Transaction, feed: int, place: Place | None, limit: int, kinds: Sequence[str] = ()) -> FeedPage:
    """At most ``limit`` changes after a place (None: from the beginning).

    The present state leaves tombstones out; what changes while it is read comes after it, tombstones included.
    Raises: CursorInvalid (ahead, expired).
    """
    head = feeds.head(tx, feed)
    if place is None:
        place = Place(0, head)
    elif (reason := check(tx, feed, place, head)) is not None:
        raise invalid(reason, _REASONS[reason])
    pages: list[changes.Page] = []
    left = limit
    if place.position < place.snapshot_head:
        state = changes.page(tx, feed, place.position, place.snapshot_head, left, live_only=True, kinds=kinds)
        pages.append(state)
        left -= state.size
    if left:
        after = max(place.position, place.snapshot_head)
        pages.append(changes.page(tx, feed, after, head, left, kinds=kinds))
        left -= pages[-1].size
    full = [page for page in pages if page.size]
    wires = b",".join([page.wires for page in full])
    if left:
        # Everything up to the head was looked at, in one snapshot.
        return FeedPage(wires, limit - left, Place(head), has_more=False)
    last = full[-1].last
    following = Place(last, place.snapshot_head if last < place.snapshot_head else 0)
    return FeedPage(wires, limit, following, _more(tx, feed, following, head, kinds))


def _more(tx: Transaction, feed: int, place: Place, head: int, kinds: Sequence[str]) -> bool:
    """Whether a further page would hold anything."""
    if place.position == head:
        return False
    if (
        place.snapshot_head
        and changes.page(tx, feed, place.position, place.snapshot_head, 1, live_only=True, kinds=kinds).size
    ):
        return True
    after = max(place.position, place.snapshot_head)
    return after < head and changes.page(tx, feed, after, head, 1, kinds=kinds).size > 0


_REASONS = {
    "ahead": "the cursor is ahead of the feed",
    "expired": "the changes after this cursor have been compacted away; begin again without a cursor",
}

"""What a reader gets next from a freshest-only feed: the present state first, then every change, without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.feed.cursor import Place, invalid
from headwater.feed.runs import Run, Runs, size_of
from headwater.store.database import Transaction
from headwater.store.log import changes, feeds

Parts = tuple[bytes | memoryview, ...]


class FeedPage(NamedTuple):
    """Changes as wire bytes joined with commas, where the reader then stands, and whether more stand ready.

    The bytes are in parts, to be put one after the other.
    """

    parts: Parts
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


def read(
    tx: Transaction, feed: int, place: Place | None, limit: int, kinds: Sequence[str] = (), runs: Runs | None = None
) -> FeedPage:
    """At most ``limit`` changes after a place (None: from the beginning).

    The present state leaves tombstones out; what changes while it is read comes after it, tombstones included.
    ``runs`` keeps joined parts of the present state for others; with it, a page of that may hold some fewer changes
    than there are and ``limit`` lets in. Raises: CursorInvalid (ahead, expired).
    """
    head = feeds.head(tx, feed)
    if place is None:
        place = Place(0, head)
    elif (reason := check(tx, feed, place, head)) is not None:
        raise invalid(reason, _REASONS[reason])
    state = _Stretch((), 0, place.position, ended=True)
    if place.position < place.snapshot_head:
        if runs is None or kinds or limit < runs.changes:
            state = _at_once(tx, feed, place, limit, kinds)
        else:
            state = _in_runs(tx, feed, place, limit, runs)
    if not state.ended or state.size == limit:
        following = _place(state.last, place)
        return FeedPage(state.parts, state.size, following, _more(tx, feed, following, head, kinds))
    left = limit - state.size
    news = changes.page(tx, feed, max(place.position, place.snapshot_head), head, left, kinds=kinds)
    parts = _spliced(state.parts, news.wires)
    if news.size < left:
        # Everything up to the head was looked at, in one snapshot.
        return FeedPage(parts, state.size + news.size, Place(head), has_more=False)
    following = _place(news.last, place)
    return FeedPage(parts, limit, following, _more(tx, feed, following, head, kinds))


class _Stretch(NamedTuple):
    """What a page holds of the present state, where that ends, and whether the state does."""

    parts: Parts
    size: int
    last: int
    ended: bool


def _place(last: int, place: Place) -> Place:
    return Place(last, place.snapshot_head if last < place.snapshot_head else 0)


def _spliced(parts: Parts, wires: bytes) -> Parts:
    if not wires:
        return parts
    return (*parts, b",", wires) if parts else (wires,)


def _at_once(tx: Transaction, feed: int, place: Place, limit: int, kinds: Sequence[str]) -> _Stretch:
    page = changes.page(tx, feed, place.position, place.snapshot_head, limit, live_only=True, kinds=kinds)
    return _Stretch(_spliced((), page.wires), page.size, page.last, ended=page.size < limit)


def _in_runs(tx: Transaction, feed: int, place: Place, limit: int, runs: Runs) -> _Stretch:
    """The present state after a place in whole runs, and in what is left of it at its end."""
    found = _standing(tx, feed, place, limit, runs)
    size = size_of(found)
    last = found[-1].last if found else place.position
    rest = b""
    ended = last == place.snapshot_head
    while not ended and size + runs.changes <= limit:
        page = changes.page(tx, feed, last, place.snapshot_head, runs.changes, live_only=True)
        size += page.size
        if page.size < runs.changes:
            rest, ended = page.wires, True
            break
        run = Run(page.last, page.size, b"," + page.wires)
        runs.keep(feed, last, run)
        found.append(run)
        last = run.last
        ended = last == place.snapshot_head
    parts: Parts = tuple(run.wires if number else memoryview(run.wires)[1:] for number, run in enumerate(found))
    return _Stretch(_spliced(parts, rest), size, last, ended)


def _standing(tx: Transaction, feed: int, place: Place, limit: int, runs: Runs) -> list[Run]:
    """The kept runs after a place, as the feed has them now."""
    chain = runs.chain(feed, place.position, place.snapshot_head, limit)
    if not chain or changes.live_between(tx, feed, place.position, chain[-1].last) == size_of(chain):
        return chain
    fresh: list[Run] = []
    after = place.position
    for run in chain:
        if changes.live_between(tx, feed, after, run.last) != run.size:
            page = changes.page(tx, feed, after, run.last, runs.changes, live_only=True)
            if page.size < max(1, runs.changes // 2):
                # It has lost too much to be worth a look of its own: the next reader makes one of full length.
                runs.drop(feed, after)
                break
            run = Run(run.last, page.size, b"," + page.wires)  # noqa: PLW2901 - the same run, read again
            runs.keep(feed, after, run)
        if size_of(fresh) + run.size > limit:
            break
        fresh.append(run)
        after = run.last
    return fresh


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

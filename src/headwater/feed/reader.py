"""Reads pages of a feed without history: first the present state, then every change, without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.feed.cursor import BEFORE_RESTORE, Place, invalid
from headwater.feed.runs import Run, Runs, size_of
from headwater.store.database import Transaction
from headwater.store.log import changes, feeds, lost

Parts = tuple[bytes | memoryview, ...]


class FeedPage(NamedTuple):
    """A page: changes as wire bytes joined with commas, the reader's place after them, and True when more exist.

    The bytes are in parts, which the caller concatenates or sends one after the other.
    """

    parts: Parts
    size: int
    place: Place
    has_more: bool


def check(tx: Transaction, feed: int, place: Place, head: int) -> str | None:
    """Returns the reason why a place is invalid, else None.

    The reasons: ``ahead`` of the head, ``restored`` before the present epoch, ``expired`` below the floor.
    """
    if max(place) > head:
        return "ahead"
    # While the present state is read, the head at the start of that reading is compared with the floor.
    complete_upto = max(place.position, place.snapshot_head)
    return below_floor(tx, feed, complete_upto) if complete_upto < feeds.floor(tx, feed) else None


def below_floor(tx: Transaction, feed: int, complete_upto: int) -> str:
    """Returns the reason why a place below the floor is invalid: ``restored``, or ``expired`` by compaction.

    A bare position carries no epoch. The positions before the present epoch end with the gap that the restore left,
    so the position alone shows it.
    """
    return "restored" if complete_upto < lost.renewed_upto(tx, feed) else "expired"


def read(
    tx: Transaction, feed: int, place: Place | None, limit: int, kinds: Sequence[str] = (), runs: Runs | None = None
) -> FeedPage:
    """Returns a page of at most ``limit`` changes after a place (None: from the beginning).

    The present state leaves tombstones out. Changes that are written while it is read follow it, tombstones included.
    ``runs`` caches parts of the present state for all readers; with it, a page may have fewer than ``limit`` changes
    although more exist. Raises: CursorInvalid (ahead, restored, expired).
    """
    head = feeds.head(tx, feed)
    if place is None:
        place = Place(0, head)
    elif (reason := check(tx, feed, place, head)) is not None:
        raise invalid(reason, REASONS[reason])
    state = _StatePart((), 0, place.position, ended=True)
    if place.position < place.snapshot_head:
        if runs is None or kinds or limit < runs.changes:
            state = _from_log(tx, feed, place, limit, kinds)
        else:
            state = _from_runs(tx, feed, place, limit, runs)
    if not state.ended or state.size == limit:
        following = _place(state.last, place)
        return FeedPage(state.parts, state.size, following, _more(tx, feed, following, head, kinds))
    left = limit - state.size
    news = changes.page(tx, feed, max(place.position, place.snapshot_head), head, left, kinds=kinds)
    parts = _concatenated(state.parts, news.wires)
    if news.size < left:
        # Everything up to the head was read, in one snapshot.
        return FeedPage(parts, state.size + news.size, Place(head), has_more=False)
    following = _place(news.last, place)
    return FeedPage(parts, limit, following, _more(tx, feed, following, head, kinds))


class _StatePart(NamedTuple):
    """A page's part of the present state: its changes, its last position, and True when the state ends there."""

    parts: Parts
    size: int
    last: int
    ended: bool


def _place(last: int, place: Place) -> Place:
    return Place(last, place.snapshot_head if last < place.snapshot_head else 0)


def _concatenated(parts: Parts, wires: bytes) -> Parts:
    if not wires:
        return parts
    return (*parts, b",", wires) if parts else (wires,)


def _from_log(tx: Transaction, feed: int, place: Place, limit: int, kinds: Sequence[str]) -> _StatePart:
    page = changes.page(tx, feed, place.position, place.snapshot_head, limit, live_only=True, kinds=kinds)
    return _StatePart(_concatenated((), page.wires), page.size, page.last, ended=page.size < limit)


def _from_runs(tx: Transaction, feed: int, place: Place, limit: int, runs: Runs) -> _StatePart:
    """Returns the present state after a place in whole runs, and a shorter rest at its end."""
    found = _cached_runs(tx, feed, place, limit, runs)
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
    return _StatePart(_concatenated(parts, rest), size, last, ended)


def _cached_runs(tx: Transaction, feed: int, place: Place, limit: int, runs: Runs) -> list[Run]:
    """Returns the cached runs after a place, after a comparison with the feed and with outdated ones read again."""
    chain = runs.chain(feed, place.position, place.snapshot_head, limit)
    if not chain or changes.live_between(tx, feed, place.position, chain[-1].last) == size_of(chain):
        return chain
    fresh: list[Run] = []
    after = place.position
    for run in chain:
        if changes.live_between(tx, feed, after, run.last) != run.size:
            page = changes.page(tx, feed, after, run.last, runs.changes, live_only=True)
            if page.size < max(1, runs.changes // 2):
                # The run has become too short to cache: the next reader creates one of full length.
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
    """True when a further page would contain changes."""
    if place.position == head:
        return False
    if (
        place.snapshot_head
        and changes.page(tx, feed, place.position, place.snapshot_head, 1, live_only=True, kinds=kinds).size
    ):
        return True
    after = max(place.position, place.snapshot_head)
    return after < head and changes.page(tx, feed, after, head, 1, kinds=kinds).size > 0


START_AGAIN = ("restored", "expired")
"""The reasons whose answers contain the cursor of a new beginning; a restore forbids more, so it is named first."""

REASONS = {
    "ahead": "the cursor is ahead of the feed",
    "restored": BEFORE_RESTORE,
    "expired": "the changes after this cursor have been compacted away; start again from the cursor in this answer",
}

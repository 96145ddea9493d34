"""The next page of changes of all shares that a caller may read.

A share that the cursor does not contain is sent whole; so a share that is not begun yet needs no place in it. The
shares are read in the order of their feeds, whatever their number in one query.

Source: files contract, "Change tracking"; reading "Cursors".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from headwater.base.errors import CursorInvalid
from headwater.contracts.files import access
from headwater.contracts.files.access import ShareState
from headwater.contracts.files.changes.rules import (
    INLINE_CHANGES,
    REASONS,
    ChangesPage,
    ChangesQuery,
    read_share,
    refusal_of,
    start_again,
)
from headwater.feed import cursor_bases, wide_cursor
from headwater.feed.cursor import CursorCodec, Place, invalid
from headwater.feed.cursor_bases import CursorBase
from headwater.feed.reader import START_AGAIN
from headwater.identity.principal import Principal
from headwater.store.database import Transaction

INLINE_SHARES = 300
"""The shares of so many are read without making others wait."""

_LEAST_ROWS = 500
"""A page of a tree reads at least so many rows."""


class Begun(NamedTuple):
    """The places that a cursor contains, and the base that it names."""

    places: Mapping[int, Place]
    base: CursorBase | None = None


def read(
    tx: Transaction, codec: CursorCodec, principal: Principal, query: ChangesQuery, *, quick: bool = False
) -> ChangesPage | None:
    """The next page of every readable share; None when ``quick`` is set and a long read is needed.

    Raises: CursorInvalid (malformed, forged, foreign, ahead; expired and restored with a start ``cursor``).
    """
    most = INLINE_SHARES + 1 if quick else None
    states = access.readable_states(tx, principal, most)
    if most is not None and len(states) == most:
        return None
    begun = _begun(tx, codec, principal, states, query.cursor)
    if quick and _cost(states, begun.places, query.limit) > INLINE_CHANGES:
        return None
    wires: list[bytes] = []
    places: dict[int, Place] = {}
    left = query.limit
    has_more = False
    for state in states:
        place = begun.places.get(state.feed)
        if place is not None and place.position == state.head and not place.snapshot_head:
            places[state.feed] = place
        elif left > 0:
            part = read_share(tx, access.row_of(tx, state.feed), place or _start(state), left)
            places[state.feed] = part.place
            wires += [part.wires] if part.size else []
            left -= part.size
            has_more = has_more or part.has_more
        else:
            has_more = True
            places |= {} if place is None else {state.feed: place}
    page = ChangesPage(b",".join(wires), query.limit - left, "", has_more, frozenset(state.feed for state in states))
    return _with_cursor(codec, principal.organisation, page, places, begun.base)


def _with_cursor(
    codec: CursorCodec, owner: str, page: ChangesPage, places: Mapping[int, Place], base: CursorBase | None
) -> ChangesPage:
    used = base.id if base is not None and base.due else None
    text = wide_cursor.encode(codec, owner, places, base)
    if text is not None:
        return page._replace(cursor=text, used=used)
    new = cursor_bases.begin(places)
    text = wide_cursor.encode(codec, owner, places, new)
    assert text is not None, "a cursor without differences is short"
    return page._replace(cursor=text, new_base=new, replaces=base.id if base else None, used=used)


def _begun(
    tx: Transaction, codec: CursorCodec, principal: Principal, states: list[ShareState], text: str | None
) -> Begun:
    """The places in the readable shares that the cursor contains."""
    if text is None:
        return Begun({state.feed: Place(state.head) for state in states})
    if text == "0":
        return Begun({})
    owner = principal.organisation
    try:
        found = _decoded(tx, codec, owner, text)
    except CursorInvalid as failure:
        if failure.extra["reason"] in START_AGAIN:
            raise start_again(failure.extra["reason"], _start_cursor(codec, owner, states), failure.detail) from None
        if _is_of_one_share(codec, text):
            raise invalid("foreign", "this is the cursor of one share: name it with share_id") from None
        raise
    _require_usable(tx, codec, owner, states, found)
    return found


def _decoded(tx: Transaction, codec: CursorCodec, owner: str, text: str) -> Begun:
    """The places of a cursor. Raises: CursorInvalid."""
    if not wide_cursor.opens(text):
        return Begun(codec.decode_many(text, owner))
    differences = wide_cursor.decode(codec, owner, text)
    base = cursor_bases.find(tx, differences.base_id)
    if base is None:
        raise invalid("expired", REASONS["unused"])
    return Begun(differences.over(base), base)


def _require_usable(tx: Transaction, codec: CursorCodec, owner: str, states: list[ShareState], begun: Begun) -> None:
    """Refuses places that cannot be read from; where logs expired or were restored, those shares begin anew.

    Raises: CursorInvalid.
    """
    reasons = {
        state.feed: reason
        for state in states
        if (place := begun.places.get(state.feed)) is not None
        and place != (state.head, 0)
        and (reason := refusal_of(tx, state.feed, place, state.head, state.floor)) is not None
    }
    if "ahead" in reasons.values():
        raise invalid("ahead", REASONS["ahead"])
    if reasons:
        heads = {state.feed: _start(state) for state in states}
        fresh = {
            feed: heads[feed] if feed in reasons else place for feed, place in begun.places.items() if feed in heads
        }
        text = wide_cursor.encode(codec, owner, fresh, begun.base)
        reason = next(reason for reason in START_AGAIN if reason in reasons.values())
        raise start_again(reason, _start_cursor(codec, owner, states) if text is None else text)


def _start_cursor(codec: CursorCodec, owner: str, states: Iterable[ShareState]) -> str:
    """The cursor at which the trees of all shares begin; of very many shares one that contains none."""
    start = {state.feed: _start(state) for state in states}
    return wide_cursor.encode(codec, owner, start, None) or codec.encode_many(owner, {})


def _start(state: ShareState) -> Place:
    """The place at which a share's whole tree begins."""
    return Place(0, state.head)


def _is_of_one_share(codec: CursorCodec, text: str) -> bool:
    try:
        codec.open(text)
    except CursorInvalid:
        return False
    return True


def _cost(states: Iterable[ShareState], places: Mapping[int, Place], limit: int) -> int:
    """About how many rows the page reads."""
    cost = 0
    for state in states:
        place = places.get(state.feed, _start(state))
        if place.snapshot_head:
            cost += max(limit, _LEAST_ROWS)
        else:
            cost += min(state.head - place.position, limit)
        if cost > INLINE_CHANGES:
            break
    return cost

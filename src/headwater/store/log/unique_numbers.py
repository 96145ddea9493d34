"""Integers for ids that are unique in the installation, in blocks for each organisation.

An organisation's integers depend only on its place among the organisations and on the number of its own ids. So two
organisations never receive the same integer, and none can count the rows of another by its own ids.
"""

from __future__ import annotations

from headwater.store.database import Transaction

BLOCK = 10_000
"""Integers of one block; an organisation uses up its block before its next one."""


def take(tx: Transaction, feed: int, sequence: str, count: int = 1) -> list[int]:
    """Returns the next integers of an organisation, ascending; ``sequence`` is ``contact`` or ``sync``."""
    place = reserve_place(tx, feed, sequence)
    base, last = tx.counter(feed, "base:" + sequence), tx.bump(feed, "ids:" + sequence, count)
    return [base + number_of(place, own) for own in range(last - count + 1, last + 1)]


def reserve_place(tx: Transaction, feed: int, sequence: str) -> int:
    """Returns an organisation's place among those that have ids, from 1; it is fixed with the first use."""
    name, base = "place:" + sequence, "base:" + sequence
    place = tx.counter(feed, name)
    if not place:
        place = tx.bump(feed, name, tx.mint(name)[0])
        # Read here once, so that later ids need no counter of the server.
        if before := tx.counter(0, base):
            tx.bump(feed, base, before)
    return place


def number_of(place: int, own: int) -> int:
    """Returns the integer of an organisation's ``own``-th id, both from 1.

    Cantor's pairing gives each block of each place a number of its own, which grows with both.
    """
    block, offset = divmod(own - 1, BLOCK)
    diagonal = place - 1 + block
    return (diagonal * (diagonal + 1) // 2 + place - 1) * BLOCK + offset + 1

"""A sell device after a restore: nothing is done any more, and whatever it may hold is kept, so that it gets all anew.

Source: readings, section 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyroaring import BitMap64

from headwater.contracts.sell.acks import AckState
from headwater.store.database import Row, Transaction
from headwater.store.log import lost

HELD_TYPES = ("contact", "note")
"""The sell types that a device may hold; each is also the name of its sequence of integers."""


def state_after(tx: Transaction, feed: int, own: bytes | None, replaced: Sequence[Row]) -> AckState:
    """The state of a device that has not come since a restore.

    ``own`` is its state in the backup. ``replaced`` are the states that restores replaced, ``(state, is_exact)``, the
    last one at the end: where that one is exact, it says all that the device holds. Otherwise the device may hold
    what any of them names, and what was given out since the backup.
    """
    if replaced and replaced[-1][1]:
        return AckState.from_bytes(bytes(replaced[-1][0])).forgotten(keep_acked=True)
    state = AckState()
    stored = [bytes(row[0]) for row in replaced] + ([] if own is None else [own])
    for older in map(AckState.from_bytes, stored):
        for sell_type in HELD_TYPES:
            state = state.add_offered(sell_type, older.held(sell_type))
    for sell_type in HELD_TYPES:
        for ended in lost.numbers(tx, feed, sell_type):
            assumed = BitMap64()
            assumed.add_range(ended.first, ended.given + 1)
            state = state.add_offered(sell_type, assumed)
    return state


def state_of_unknown(tx: Transaction, feed: int, deleted: Iterable[tuple[str, int]]) -> AckState:
    """The state of a device of which nothing is stored.

    Where a restore could not read what it replaced, the device may have come first after the backup. Then it may hold
    what was given out since, and what was ``deleted`` after the restore, as (sell type, number).
    """
    state = AckState()
    ended = {sell_type: lost.numbers(tx, feed, sell_type) for sell_type in HELD_TYPES}
    if not any(one.is_assumed for found in ended.values() for one in found):
        return state
    held = {sell_type: BitMap64() for sell_type in HELD_TYPES}
    for sell_type, number in deleted:
        held[sell_type].add(number)
    for sell_type, found in ended.items():
        for one in found:
            held[sell_type].add_range(one.first, one.given + 1)
        state = state.add_offered(sell_type, held[sell_type])
    return state


def held_of_old_keys(tx: Transaction, feed: int, state: AckState, old: Iterable[tuple[str, int]]) -> AckState:
    """The state of a device that names resources by keys of an ended epoch: it may hold those that a restore lost."""
    for sell_type in HELD_TYPES:
        named = {number for its_type, number in old if its_type == sell_type}
        if named:
            ended = lost.numbers(tx, feed, sell_type)
            held = [number for number in named if any(one.first <= number <= one.last for one in ended)]
            state = state.add_offered(sell_type, held)
    return state

"""Faults to plant into a server, one for each promise that the adversaries judge; each patches one function.

A checker counts only when it finds faults that were planted for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

Plant = Callable[[], None]
PLANTS: dict[str, Plant] = {}
Function = TypeVar("Function", bound=Plant)
_DICE = random.Random(7)


def plant(function: Function) -> Function:
    """Registers a planted fault under its name."""
    PLANTS[function.__name__] = function
    return function


def patch(module: Any, name: str, function: Any) -> None:
    """Puts a function in the place of a module's own, which must exist."""
    assert hasattr(module, name), f"{module} has no {name} to plant a fault in"
    setattr(module, name, function)


@plant
def feed_skips_a_change() -> None:
    """Now and then a page of a feed begins one change too late."""
    from headwater.store.log import changes

    page = changes.page

    def skipping(tx: Any, feed: int, after: int, *rest: Any, **more: Any) -> Any:
        return page(tx, feed, after + (_DICE.random() < 0.1), *rest, **more)

    patch(changes, "page", skipping)


@plant
def feed_hides_deletions() -> None:
    """Devices that follow the record feed receive no tombstones."""
    from headwater.store.log import changes

    page = changes.page

    def hiding(tx: Any, feed: int, *rest: Any, live_only: bool = False, **more: Any) -> Any:
        return page(tx, feed, *rest, live_only=True, **more)

    patch(changes, "page", hiding)


@plant
def ack_hides_the_next() -> None:
    """An ack of position N also acknowledges N + 1."""
    from headwater.contracts.sell import acks, rules

    acknowledge = acks.acknowledge

    def hiding(state: Any, keys: Any, *rest: Any) -> Any:
        return acknowledge(state, [*keys, *(key._replace(position=key.position + 1) for key in keys)], *rest)

    patch(rules, "acknowledge", hiding)


@plant
def write_is_lost() -> None:
    """Some acknowledged writes were rolled back."""
    from headwater.web.call import Call

    write = Call.write

    class Undone(Exception):
        pass

    async def losing(self: Call, function: Any, **more: Any) -> Any:
        if _DICE.random() >= 0.08:
            return await write(self, function, **more)
        results: list[Any] = []

        def undone(tx: Any) -> None:
            results.append(function(tx))
            raise Undone

        try:
            await write(self, undone, **more)
        except Undone:
            return results[-1]

    patch(Call, "write", losing)


@plant
def key_is_forgotten() -> None:
    """A repeated request is carried out again."""
    from headwater.store import idempotency

    patch(idempotency, "find", lambda *_: None)


@plant
def links_stay_wrong() -> None:
    """A record is not sent again when what it is linked to comes or goes."""
    from headwater.store.log import records

    patch(records, "resend", lambda *_: None)


@plant
def compacted_deletions_are_lost() -> None:
    """A sell device that was away when a tombstone was compacted keeps the record."""
    from headwater.contracts.sell import rules

    patch(rules, "lost_deletions", lambda *_: [])


@plant
def history_is_dropped() -> None:
    """A new version of a file takes the older ones away."""
    from headwater.store.tree import versions

    keep = versions.keep

    def dropping(tx: Any, feed: int, version: Any, node: str, *rest: Any, **more: Any) -> Any:
        kept = keep(tx, feed, version, node, *rest, **more)
        tx.run("DELETE FROM versions WHERE feed = ? AND node = ? AND number < ?", feed, node, kept.number)
        return kept

    patch(versions, "keep", dropping)


@plant
def twin_numbers() -> None:
    """Integers that were given out are given out again."""
    from headwater.store.log import records

    create = records.create

    def again(tx: Any, feed: int, kind: str, *rest: Any) -> Any:
        if _DICE.random() < 0.05:
            tx.bump(feed, "number:" + records.family(kind), -1)
        return create(tx, feed, kind, *rest)

    patch(records, "create", again)


@plant
def erased_content_is_kept() -> None:
    """A deletion leaves the copies of a record's content where they are."""
    from headwater.store.log import copies

    patch(copies, "erase", lambda *_: None)


@plant
def restore_renews_nothing() -> None:
    """A restore continues every sequence where the backup left it."""
    from headwater.store import renewal

    patch(renewal, "renew", lambda *_: renewal.Renewal(is_exact=True, lost_positions=0))


@plant
def times_fall() -> None:
    """Records get the time of the clock, also of one that stepped back."""
    from headwater.store.database import Transaction

    patch(Transaction, "at_us", property(lambda self: self.now_us))

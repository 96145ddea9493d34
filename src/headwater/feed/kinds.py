"""What a door that writes records of any kind must know of one kind; each contract describes its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.store.database import Transaction
from headwater.store.log.records import Draft, Record

Values = Mapping[str, Any]
"""A record's fields by name."""


After = Callable[[Transaction, int, str, bool], None]
"""What a written record entails: it gets the feed, the record's id, and True when the record is new."""


@dataclass(frozen=True)
class RecordKind:
    """A kind of record that devices may write.

    ``scope`` is what a token needs for it. ``values`` takes a stored body apart into the fields that a device
    may set; ``draft`` puts a whole record together again, from all its fields, or raises Invalid; its third
    argument is the row and body of the record that it replaces. ``after`` does what else a new record entails,
    and ``gone`` what else a deleted one does. ``follows`` says what a record of another kind, by that kind's name,
    entails here; ``joined`` adds it to the ``after`` of that kind.
    """

    name: str
    scope: str
    fields: frozenset[str]
    values: Callable[[bytes], dict[str, Any]]
    draft: Callable[[Transaction, str, Values, tuple[Record, bytes] | None], Draft]
    after: After = lambda _tx, _feed, _id, _created: None
    gone: Callable[[Transaction, int, str], None] = lambda _tx, _feed, _id: None
    follows: Mapping[str, After] = field(default_factory=dict)


def joined(kinds: Iterable[RecordKind]) -> tuple[RecordKind, ...]:
    """The kinds of all contracts, each with what the others do after it; no contract imports another for that."""
    found = tuple(kinds)
    return tuple(
        _followed(kind, [other.follows[kind.name] for other in found if kind.name in other.follows]) for kind in found
    )


def _followed(kind: RecordKind, followers: list[After]) -> RecordKind:
    def after(tx: Transaction, feed: int, id: str, created: bool) -> None:
        for follow in (kind.after, *followers):
            follow(tx, feed, id, created)

    return replace(kind, after=after) if followers else kind

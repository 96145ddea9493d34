"""The description of a record kind, for doors that write records of any kind; each contract describes its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.store.database import Transaction
from headwater.store.log.records import Draft, Record

Values = Mapping[str, Any]
"""A record's fields by name."""


After = Callable[[Transaction, int, str, bool], None]
"""A function that runs after a record was written, with the feed, the record's id, and True for a new record."""


@dataclass(frozen=True)
class RecordKind:
    """A kind of record that devices may write.

    ``scope`` is the scope that a token needs for it. ``values`` returns the fields of a stored body that a device may
    set. ``draft`` builds a whole record from all its fields, or raises Invalid; its third argument is the row and body
    of the record that it replaces. ``after`` runs after a record was written.
    ``follows`` maps the names of other kinds to functions that run after a record of that kind was written; ``joined``
    adds them to the ``after`` of that kind.
    """

    name: str
    scope: str
    fields: frozenset[str]
    values: Callable[[bytes], dict[str, Any]]
    draft: Callable[[Transaction, str, Values, tuple[Record, bytes] | None], Draft]
    after: After = lambda _tx, _feed, _id, _created: None
    follows: Mapping[str, After] = field(default_factory=dict)


def joined(kinds: Iterable[RecordKind]) -> tuple[RecordKind, ...]:
    """Returns the kinds of all contracts, each with the functions of other kinds that follow it.

    So a contract reacts to the records of another without importing it.
    """
    found = tuple(kinds)
    return tuple(
        _followed(kind, [other.follows[kind.name] for other in found if kind.name in other.follows]) for kind in found
    )


def _followed(kind: RecordKind, followers: list[After]) -> RecordKind:
    def after(tx: Transaction, feed: int, id: str, created: bool) -> None:
        for follow in (kind.after, *followers):
            follow(tx, feed, id, created)

    return replace(kind, after=after) if followers else kind

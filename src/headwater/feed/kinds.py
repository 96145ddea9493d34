"""What a door that writes records of any kind must know of one kind; each contract describes its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.store.database import Transaction
from headwater.store.log.records import Draft, Record

Values = Mapping[str, Any]
"""A record's fields by name."""


@dataclass(frozen=True)
class RecordKind:
    """A kind of record that devices may write.

    ``scope`` is what a token needs for it. ``values`` takes a stored body apart into the fields that a device
    may set; ``draft`` puts a whole record together again, from all its fields, or raises Invalid; its third
    argument is the row and body of the record that it replaces. ``after`` does what else a new record entails,
    and ``gone`` what else a deleted one does.
    """

    name: str
    scope: str
    fields: frozenset[str]
    values: Callable[[bytes], dict[str, Any]]
    draft: Callable[[Transaction, str, Values, tuple[Record, bytes] | None], Draft]
    after: Callable[[Transaction, int, str, bool], None] = lambda _tx, _feed, _id, _created: None
    gone: Callable[[Transaction, int, str], None] = lambda _tx, _feed, _id: None

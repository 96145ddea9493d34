"""The description of a record kind, for doors that write records of any kind; each contract describes its own."""

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

    ``scope`` is the scope that a token needs for it. ``values`` returns the fields of a stored body that a device may
    set. ``draft`` builds a whole record from all its fields, or raises Invalid; its third argument is the row and body
    of the record that it replaces.
    """

    name: str
    scope: str
    fields: frozenset[str]
    values: Callable[[bytes], dict[str, Any]]
    draft: Callable[[Transaction, str, Values, tuple[Record, bytes] | None], Draft]

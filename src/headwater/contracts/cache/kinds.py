"""Cached contacts and notes as the record feed writes them: split into fields, merged, and put together again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headwater.base.errors import Invalid
from headwater.base.wire import encode, format_seconds
from headwater.contracts.cache import batches, rules
from headwater.contracts.cache.shapes import StoredContact, StoredNote
from headwater.feed.kinds import RecordKind, Values
from headwater.store.database import Transaction
from headwater.store.log.records import Draft, Record

_CONTACT_FIELDS = ("name", "email", "phone", "org_name")
_NOTE_FIELDS = ("contact_id", "content", "author_name")


def _taker(shape: type[StoredContact | StoredNote], names: tuple[str, ...]) -> Callable[[bytes], dict[str, Any]]:
    decoder = msgspec.json.Decoder(shape)

    def values(body: bytes) -> dict[str, Any]:
        stored = decoder.decode(body)
        return {name: getattr(stored, name) for name in names}

    return values


def _contact(tx: Transaction, id: str, values: Values, current: tuple[Record, bytes] | None) -> Draft:
    return _draft(batches.contacts, tx, id, values, current)


def _note(tx: Transaction, id: str, values: Values, current: tuple[Record, bytes] | None) -> Draft:
    return _draft(batches.notes, tx, id, values, current)


def _draft(
    prepare: Callable[[list[msgspec.Raw], int], batches.Prepared],
    tx: Transaction,
    id: str,
    values: Values,
    current: tuple[Record, bytes] | None,
) -> Draft:
    """The draft that the cache door would make of this row. Raises: Invalid."""
    row = {"id": id, "updated_at": format_seconds(tx.now_us), **values}
    prepared = prepare(
        [msgspec.Raw(encode({name: value for name, value in row.items() if value is not None}))], tx.now_us
    )
    for error in prepared.errors:
        raise Invalid.of("fields", error.code, error.detail)
    draft = prepared.rows[0][1]
    return draft if current is None else draft._replace(created_us=current[0].created_us)


CACHED_CONTACT_KIND = RecordKind(
    rules.CONTACT, "cache", frozenset(_CONTACT_FIELDS), _taker(StoredContact, _CONTACT_FIELDS), _contact
)
"""Cached contacts, as the record feed writes them."""

NOTE_KIND = RecordKind(rules.NOTE, "cache", frozenset(_NOTE_FIELDS), _taker(StoredNote, _NOTE_FIELDS), _note)
"""Notes, as the record feed writes them."""

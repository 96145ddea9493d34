"""Reads a batch row by row, before any transaction: each row becomes a draft, or an error with its place.

This is most of a large batch's work; it is plain CPU time on whatever thread the door chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from headwater.base.clock import SECOND_US
from headwater.base.errors import Invalid
from headwater.base.ids import is_acceptable
from headwater.base.textkeys import fold, phone_digits
from headwater.base.wire import decode, encode, format_seconds, parse_time
from headwater.contracts.cache.shapes import RowError, StoredContact, StoredNote, read_contact, read_note
from headwater.store.log.records import Draft

FUTURE_US = 300 * SECOND_US
"""The time by which a row may be ahead of our clock."""

IN_THE_FUTURE = "in_the_future"
"""The code of a row whose time is too far ahead of our clock."""

CONTACTS, NOTES = "contacts", "notes"
_fields = msgspec.json.Decoder(dict[str, Any])


class Prepared(NamedTuple):
    """A collection's rows as ``(index, draft)`` in their order, and the rows that were refused."""

    rows: list[tuple[int, Draft]]
    errors: list[RowError]


def contacts(raw: Sequence[msgspec.Raw], now_us: int) -> Prepared:
    """The contacts of a batch as drafts."""
    return _prepare(raw, CONTACTS, now_us, _contact)


def notes(raw: Sequence[msgspec.Raw], now_us: int) -> Prepared:
    """The notes of a batch as drafts."""
    return _prepare(raw, NOTES, now_us, _note)


def ahead_of_clock(*collections: Prepared) -> int:
    """The number of rows that were refused as in the future, where they are most of a batch; else 0."""
    total = sum(len(each.rows) + len(each.errors) for each in collections)
    ahead = sum(error.code == IN_THE_FUTURE for each in collections for error in each.errors)
    return ahead if 2 * ahead > total else 0


def changed_fields(before: bytes, after: bytes) -> list[str]:
    """The fields that differ between two stored rows, their times aside."""
    old, new = _fields.decode(before), _fields.decode(after)
    return [name for name in old.keys() | new.keys() if name != "updated_at" and old.get(name) != new.get(name)]


def _prepare(
    raw: Sequence[msgspec.Raw], collection: str, now_us: int, make: Callable[[msgspec.Raw, int], Draft]
) -> Prepared:
    rows: list[tuple[int, Draft]] = []
    errors: list[RowError] = []
    for index, row in enumerate(raw):
        try:
            rows.append((index, make(row, now_us)))
        except Invalid as failure:
            errors.append(RowError(index, collection, _id_in(row), failure.fields[0].code, failure.detail))
    return Prepared(rows, errors)


def _contact(raw: msgspec.Raw, now_us: int) -> Draft:
    row = decode(read_contact, raw)
    at_us = _instant(row.id, row.updated_at, now_us)
    stored = StoredContact(row.id, row.name, row.email, row.phone, row.org_name, format_seconds(at_us))
    digits = (phone_digits(row.phone) or "") if row.phone else ""
    last = row.name.partition(" ")[2]
    search = fold(f"\n{row.name}\n{last}\n{row.email or ''}\n{digits}")
    return Draft(row.id, encode(stored), search, None, now_us, at_us)


def _note(raw: msgspec.Raw, now_us: int) -> Draft:
    row = decode(read_note, raw)
    at_us = _instant(row.id, row.updated_at, now_us)
    stored = StoredNote(row.id, row.contact_id, row.content, row.author_name, format_seconds(at_us))
    _acceptable(row.contact_id, "contact_id")
    return Draft(row.id, encode(stored), "", row.contact_id, now_us, at_us)


def _instant(row_id: str, text: str, now_us: int) -> int:
    """A row's time. Raises: Invalid for a bad id, a bad time, or one over five minutes ahead."""
    _acceptable(row_id, "id")
    at_us = _parsed(text)
    if at_us > now_us + FUTURE_US:
        raise Invalid.of("updated_at", IN_THE_FUTURE, "the time is more than 5 minutes ahead of the server's")
    return at_us


def _acceptable(text: str, field: str) -> None:
    if not is_acceptable(text):
        raise Invalid.of(field, "incorrect_value", "an id has 1-128 printable characters")


@lru_cache(maxsize=4096)
def _parsed(text: str) -> int:
    return parse_time(text, "updated_at")


def _id_in(raw: msgspec.Raw) -> str | None:
    """A refused row's id, when it has one that can be shown."""
    try:
        found = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get("id")
        shown = None if found is None else msgspec.json.decode(found)
    except (msgspec.DecodeError, RecursionError):
        return None
    return shown[:128] if isinstance(shown, str) else None

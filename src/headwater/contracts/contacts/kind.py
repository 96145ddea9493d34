"""Contacts as the record feed writes them: split into fields, merged, and put together again."""

from __future__ import annotations

from typing import Any

from headwater.base.errors import Invalid
from headwater.base.wire import convert, encode, format_seconds
from headwater.contracts.contacts import rules
from headwater.contracts.contacts.shapes import FIELDS, Contact, ContactFields, read_contact
from headwater.feed.kinds import RecordKind, Values
from headwater.store.database import Transaction
from headwater.store.log.records import Draft, Record


def _values(body: bytes) -> dict[str, Any]:
    contact = read_contact.decode(body)
    return {name: getattr(contact, name) for name in FIELDS}


def _draft(tx: Transaction, id: str, values: Values, current: tuple[Record, bytes] | None) -> Draft:
    """Raises: Invalid, as the contacts door would."""
    try:
        fields = convert(values, ContactFields)
    except Invalid as failure:
        raise Invalid(f"fields.{failure.detail}", fields=failure.fields) from None
    rules.check(values)
    rules.check_named(fields.first_name, fields.last_name)
    at_us = rules.next_us(tx, current[0]) if current else tx.at_us
    at = format_seconds(at_us)
    old = read_contact.decode(current[1]) if current else None
    contact = Contact(
        contact_id=id,
        created_at=old.created_at if old else at,
        updated_at=at,
        chapter_ids=old.chapter_ids if old else [],
        **{name: values.get(name) for name in FIELDS},
    )
    created_us = current[0].created_us if current else at_us
    return Draft(id, encode(contact), rules.search_terms(contact), None, created_us, at_us)


CONTACT_KIND = RecordKind(rules.KIND, "contacts", frozenset(FIELDS), _values, _draft)
"""Contacts, as the record feed writes them."""

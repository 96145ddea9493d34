"""The decisions of the contacts contract: a valid contact, and how one is created, changed and deleted.

Every function takes a transaction and the feed of the organisation; none knows HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from headwater.base.errors import FieldError, Invalid, NotFound, PreconditionFailed
from headwater.base.ids import contact_id
from headwater.base.textkeys import fold, phone_digits
from headwater.base.wire import encode, format_seconds, invalid
from headwater.contracts.contacts import shapes
from headwater.contracts.contacts.shapes import FIELDS, Contact, ContactFields, date_fault, email_fault, read_contact
from headwater.store.database import Transaction
from headwater.store.log import feeds, records, unique_numbers
from headwater.store.log.records import Draft, Record

KIND = "contact"
"""The kind of a contact in the log."""


_NAMES = ("first_name", "last_name")
_NAMELESS = FieldError("first_name", "missing", "a contact needs a first or a last name")


class Stored(NamedTuple):
    """A contact's revision and its JSON."""

    revision: int
    body: bytes


def require_organisation(tx: Transaction, feed: int, named: str | UnsetType | None) -> None:
    """Compares the organisation that a body names with the one that its request acts in. Raises: Invalid."""
    if not named:
        return
    found = feeds.read(tx, feed)
    if found is None or found.organisation != named:
        raise Invalid.of("org_id", "incorrect_value", "this request acts in another organisation; see ?org_id=")


def create(tx: Transaction, feed: int, fields: ContactFields) -> Stored:
    """Creates a contact. Raises: Invalid (no name, bad email, impossible date)."""
    given = {name: value for name in FIELDS if (value := getattr(fields, name)) is not UNSET}
    check_whole(given)
    at = format_seconds(tx.at_us)
    values: dict[str, Any] = dict.fromkeys(FIELDS) | given
    contact = Contact(contact_id=_new_id(tx, feed), created_at=at, updated_at=at, **values)
    draft = draft_of(contact, tx.at_us, tx.at_us)
    record = records.create(tx, feed, KIND, draft)
    return Stored(record.revision, draft.body)


def update(tx: Transaction, feed: int, id: str, fields: ContactFields, expected: int | None = None) -> Stored:
    """Merges the given fields into a contact: null clears one. An empty or unchanging update writes nothing.

    Raises: NotFound, Invalid, PreconditionFailed (``expected`` is not the present revision).
    """
    current, contact = read(tx, feed, id)
    _expect(current, expected)
    given = {name: value for name in FIELDS if (value := getattr(fields, name)) is not UNSET}
    check(given)
    changed = [name for name, value in given.items() if value != getattr(contact, name)]
    for name in changed:
        setattr(contact, name, given[name])
    check_named(contact.first_name, contact.last_name)
    if not changed:
        return Stored(current.revision, encode(contact))
    return write(tx, feed, current, contact, changed)


def write(tx: Transaction, feed: int, current: Record, contact: Contact, changed: list[str]) -> Stored:
    """Stores a changed contact with the present time; ``changed`` names the fields that differ."""
    at_us = next_us(tx, current)
    contact.updated_at = format_seconds(at_us)
    draft = draft_of(contact, current.created_us, at_us)
    record = records.replace(tx, feed, KIND, current, draft, changed)
    return Stored(record.revision, draft.body)


def delete(tx: Transaction, feed: int, id: str, expected: int | None = None) -> int:
    """Leaves only a contact's tombstone; returns the instant of the deletion. Raises: NotFound, PreconditionFailed."""
    current = live(tx, feed, id)
    _expect(current, expected)
    records.delete(tx, feed, KIND, current)
    return next_us(tx, current)


def next_us(tx: Transaction, current: Record) -> int:
    """The time of a contact's next state, which is never before that of its last one."""
    return max(tx.at_us, current.updated_us, current.created_us)


def live(tx: Transaction, feed: int, id: str) -> Record:
    """A contact's row. Raises: NotFound, also for a tombstone."""
    current = records.find(tx, feed, KIND, id)
    if current is None or current.deleted:
        raise NotFound(f"no contact {id!r}")
    return current


def read(tx: Transaction, feed: int, id: str) -> tuple[Record, Contact]:
    """A contact with its row. Raises: NotFound."""
    current = records.find(tx, feed, KIND, id)
    found = records.body(tx, feed, KIND, id)
    if current is None or found is None:
        raise NotFound(f"no contact {id!r}")
    return current, read_contact.decode(found[1])


def show(tx: Transaction, feed: int, id: str) -> Stored:
    """A contact as it is shown. Raises: NotFound."""
    found = records.body(tx, feed, KIND, id)
    if found is None:
        raise NotFound(f"no contact {id!r}")
    return Stored(*found)


def check(given: Mapping[str, Any]) -> None:
    """Checks the values of a contact's fields. Raises: Invalid naming every wrong field."""
    if wrong := _faults(given):
        raise invalid(wrong)


def check_named(first_name: object, last_name: object) -> None:
    """Refuses a contact without any name. Raises: Invalid."""
    if not any(isinstance(name, str) and name.strip() for name in (first_name, last_name)):
        raise Invalid(_NAMELESS.detail, fields=(_NAMELESS,))


def with_missing_name(failure: Invalid, body: bytes) -> Invalid:
    """Returns the refusal of a new contact's body with its missing name, when it names no one either."""
    try:
        names = shapes.read_names.decode(body)
    except msgspec.DecodeError:  # no object, or one that is malformed behind the field that was refused
        return failure
    if names.first_name or names.last_name:
        return failure
    return invalid((*failure.fields, _NAMELESS))


def check_whole(values: Mapping[str, Any]) -> None:
    """Checks the values of a whole contact, and that it has a name. Raises: Invalid naming every wrong field."""
    wrong = _faults(values)
    if wrong and not any(isinstance(name, str) and name.strip() for name in map(values.get, _NAMES)):
        raise invalid((*wrong, _NAMELESS))
    if wrong:
        raise invalid(wrong)
    check_named(values.get("first_name"), values.get("last_name"))


def _faults(given: Mapping[str, Any]) -> tuple[FieldError, ...]:
    wrong = []
    for name, fault_of in (("email", email_fault), ("date_of_birth", date_fault)):
        value = given.get(name)
        if value is not None and (fault := fault_of(value)) is not None:
            code, end = ("incorrect_value", "") if value.strip() else ("blank", "; send null for none")
            wrong.append(FieldError(name, code, fault + end))
    return tuple(wrong)


def search_terms(contact: Contact) -> str:
    """The folded terms by which a contact is found: names, email, phone digits."""
    first, last = fold(contact.first_name or ""), fold(contact.last_name or "")
    phone = (phone_digits(contact.phone) or "") if contact.phone else ""
    return records.search_text((first, last, f"{first} {last}".strip(), fold(contact.email or ""), phone))


def draft_of(contact: Contact, created_us: int, updated_us: int) -> Draft:
    """The record that is stored of a contact."""
    return Draft(contact.contact_id, encode(contact), search_terms(contact), None, created_us, updated_us)


def _new_id(tx: Transaction, feed: int) -> str:
    """The next id that no device has used for a record of its own."""
    while records.find(tx, feed, KIND, id := contact_id(unique_numbers.take(tx, feed, KIND)[0])) is not None:
        pass
    return id


def _expect(current: Record, expected: int | None) -> None:
    if expected is not None and current.revision != expected:
        raise PreconditionFailed(f"the contact is at revision {current.revision}, not {expected}")

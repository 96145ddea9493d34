"""Requests and replies of the contacts contract, with the contract's own examples.

Source: contacts contract, all headings.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from headwater.base.textkeys import check_email
from headwater.base.wire import Pagination, encode, format_seconds


def email_fault(text: str) -> str | None:
    """The fault of an email address; None when its syntax is sound."""
    return check_email(text) if text else "must be an email address like ola@example.no"


def date_fault(text: str) -> str | None:
    """The fault of a text as a date; None for a day of the calendar."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return "there is no such date"
    return None


Name = Annotated[str, Meta(max_length=200)]
EmailText = Annotated[str, Meta(max_length=254, extra={"check": email_fault})]
PhoneText = Annotated[str, Meta(max_length=64)]
AddressText = Annotated[str, Meta(max_length=1000)]
DateText = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="A date, YYYY-MM-DD",
        extra={"form": "a date like 1988-04-21", "check": date_fault},
    ),
]
Id = Annotated[str, Meta(min_length=1, max_length=128)]


class ContactFields(msgspec.Struct, gc=False, kw_only=True):
    """The fields of a contact that a caller may write: an absent one stays, null clears it."""

    first_name: Name | UnsetType | None = UNSET
    last_name: Name | UnsetType | None = UNSET
    email: EmailText | UnsetType | None = UNSET
    phone: PhoneText | UnsetType | None = UNSET
    address: AddressText | UnsetType | None = UNSET
    date_of_birth: DateText | UnsetType | None = UNSET


class ContactBody(ContactFields, gc=False, kw_only=True):
    """The body of a contact's request; an organisation that it names must be the one that it acts in."""

    org_id: Id | UnsetType | None = UNSET


class Contact(msgspec.Struct, gc=False, kw_only=True):
    """A contact as every door of ours stores and shows it."""

    contact_id: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    address: str | None
    date_of_birth: str | None
    created_at: str
    updated_at: str
    chapter_ids: list[str] = []


class ContactList(msgspec.Struct, gc=False):
    """A page of contacts."""

    data: list[Contact]
    pagination: Pagination


class DeletedContact(msgspec.Struct, gc=False):
    """The answer to a deletion."""

    contact_id: str
    deleted: bool
    deleted_at: str


class Affiliation(msgspec.Struct, gc=False):
    """A chapter that a contact belongs to, and the time since it does."""

    chapter_id: str
    chapter_name: str
    joined_at: str


class AffiliationList(msgspec.Struct, gc=False):
    """The chapters of a contact."""

    data: list[Affiliation]
    pagination: Pagination


class AffiliationFields(msgspec.Struct, gc=False):
    """The chapters that a contact shall have, in order."""

    chapter_ids: Annotated[list[Id], Meta(max_length=100)]


class AffiliationsSet(msgspec.Struct, gc=False):
    """The answer to a replaced set of chapters."""

    contact_id: str
    chapter_affiliations: list[str]
    updated_at: str


class ChapterFields(msgspec.Struct, gc=False, kw_only=True):
    """A chapter to create; the server chooses an absent id."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    chapter_id: Id | None = None


class ChapterName(msgspec.Struct, gc=False):
    """A chapter's new name."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]


class ChapterAnswer(msgspec.Struct, gc=False):
    """A chapter of an organisation."""

    chapter_id: str
    name: str
    created_at: str
    updated_at: str


class ChapterList(msgspec.Struct, gc=False):
    """A page of chapters."""

    data: list[ChapterAnswer]
    pagination: Pagination


class _OnlyId(msgspec.Struct, gc=False):
    contact_id: str


class _OnlyNames(msgspec.Struct, gc=False):
    first_name: Any = None
    last_name: Any = None


FIELDS = ContactFields.__struct_fields__
"""The names of the fields that a caller may write."""

_read_id = msgspec.json.Decoder(_OnlyId)
read_names = msgspec.json.Decoder(_OnlyNames)
read_fields = msgspec.json.Decoder(ContactBody)
read_contact = msgspec.json.Decoder(Contact)
read_affiliations = msgspec.json.Decoder(AffiliationFields)
read_chapter = msgspec.json.Decoder(ChapterFields)
read_chapter_name = msgspec.json.Decoder(ChapterName)


def deleted(contact_id: str, at_us: int) -> bytes:
    """The JSON of a deletion's answer."""
    return encode(DeletedContact(contact_id, True, format_seconds(at_us)))


def id_of(body: bytes) -> str:
    """The id inside a contact's JSON."""
    return _read_id.decode(body).contact_id


CREATE_EXAMPLE: dict[str, Any] = {
    "first_name": "Bjørn",
    "last_name": "Dahl",
    "email": "bjorn.dahl@example.no",
    "phone": "+47 906 78 901",
    "address": "Rosenkrantz gate 3, 0159 Oslo",
    "date_of_birth": "1982-07-25",
}
CONTACT_EXAMPLE: dict[str, Any] = {
    "contact_id": "c-00209",
    **CREATE_EXAMPLE,
    "created_at": "2026-03-26T11:25:00Z",
    "updated_at": "2026-03-26T11:25:00Z",
}
UPDATE_EXAMPLE: dict[str, Any] = {
    "email": "bjorn.dahl@newemail.no",
    "address": "Rosenkrantz gate 5, 0159 Oslo",
}
DELETED_EXAMPLE: dict[str, Any] = {
    "contact_id": "c-00209",
    "deleted": True,
    "deleted_at": "2026-03-26T13:00:00Z",
}
AFFILIATIONS_EXAMPLE: dict[str, Any] = {"chapter_ids": ["ch-01", "ch-04"]}
AFFILIATIONS_SET_EXAMPLE: dict[str, Any] = {
    "contact_id": "c-00123",
    "chapter_affiliations": ["ch-01", "ch-04"],
    "updated_at": "2026-03-26T12:35:00Z",
}
AFFILIATIONS_LIST_EXAMPLE: dict[str, Any] = {
    "data": [
        {"chapter_id": "ch-01", "chapter_name": "Oslo Sentrum", "joined_at": "2025-09-14T10:22:00Z"},
        {"chapter_id": "ch-07", "chapter_name": "Grünerløkka", "joined_at": "2026-01-03T09:10:00Z"},
    ],
    "pagination": {"page": 1, "limit": 20, "total": 2},
}

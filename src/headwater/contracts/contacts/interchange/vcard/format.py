"""Contacts from vCard 2.1, 3.0 and 4.0, and to vCard 4.0, card by card.

Source: RFC 6350 (4.0), RFC 2426 (3.0), RFC 9554 (CREATED).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from headwater.base.errors import Malformed
from headwater.base.ids import is_acceptable
from headwater.base.textkeys import check_email
from headwater.contracts.contacts.interchange.content_lines import (
    ContentLine,
    LineUnreadable,
    escaped,
    folded,
    read_line,
    split_value,
    text_line,
    unescaped,
)
from headwater.contracts.contacts.interchange.dates import basic_time, read_date
from headwater.contracts.contacts.interchange.draft import ContactDraft, is_extra_line
from headwater.contracts.contacts.interchange.keys import SeenKeys, replaced_key
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed, quoted
from headwater.contracts.contacts.interchange.vcard.cards import REASON, Card, Cards
from headwater.contracts.contacts.interchange.vcard.fields import (
    KEPT_FIELDS,
    email_text,
    lines_to_keep,
    lines_to_write,
    phone_text,
    preferred,
    read_address,
    read_birthday,
    read_email,
    read_names,
    read_phone,
    without_unknown_year,
)

CONTACT_ID = "X-HEADWATER-CONTACT-ID"
"""The property that carries a contact's own id."""

_READ = frozenset({"UID", "CATEGORIES", "REV", "CREATED", CONTACT_ID, *(n for f in KEPT_FIELDS for n in f.names)})
_DROPPED = frozenset({"VERSION", "PRODID", "BEGIN", "END", REASON})
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-\[\]-~]+")
_GIVEN = {
    "N": ("first_name", "last_name"),
    "FN": ("first_name", "last_name"),
    "EMAIL": ("email",),
    "TEL": ("phone",),
    "ADR": ("address",),
    "BDAY": ("date_of_birth",),
    "CATEGORIES": ("chapter_ids",),
}
_GROUP_KINDS = ("KIND", "X-ADDRESSBOOKSERVER-KIND")


def read_vcard(stream: BinaryIO) -> Iterator[Parsed]:
    """The contacts of a vCard file, each with its problems; read as it is iterated over.

    Raises: Malformed, when the file as a whole is no vCard file.
    """
    reader = Cards(stream)
    cards = iter(reader)
    try:
        first = next(cards)
    except StopIteration:
        raise Malformed("the file is empty") from None
    if first.problem and first.problem.code == "outside_card" and not reader.are_refused:
        raise Malformed("this is no vCard file: it does not begin with BEGIN:VCARD")
    return _parsed_cards(first, cards)


def _parsed_cards(first: Card, others: Iterator[Card]) -> Iterator[Parsed]:
    seen = SeenKeys()
    yield _parsed(1, first, seen)
    for number, card in enumerate(others, start=2):
        yield _parsed(number, card, seen)


def _parsed(number: int, card: Card, seen: SeenKeys) -> Parsed:
    if card.problem:
        return Parsed(row_number=number, contact=ContactRow(), problems=(card.problem,), raw=(card.text,))
    draft = ContactDraft()
    if card.guessed:
        draft.warn("", "encoding_guessed", "the card is not UTF-8; it was read as Windows-1252")
    lines = _lines_by_name(card, draft)
    if any(line.value.casefold() == "group" for kind in _GROUP_KINDS for line in lines.get(kind, ())):
        draft.refuse("", "card_of_group", "the card describes a group, not a person")
    _put_person(draft, lines)
    _put_dates(draft, lines)
    _put_identity(draft, lines)
    draft.given.update(field for name, fields in _GIVEN.items() if name in lines for field in fields)
    contact = draft.row()
    for kept in KEPT_FIELDS:
        for name, texts in lines_to_keep(kept, contact, lines).items():
            for text in texts:
                draft.keep_line(name, text)
    for name, others in lines.items():
        if name not in _READ and name not in _DROPPED:
            for line in others:
                draft.keep_line(name, line.text)
    return draft.parsed(number, (card.text,), seen)


def _lines_by_name(card: Card, draft: ContactDraft) -> dict[str, list[ContentLine]]:
    version = next((text[8:].strip() for text in card.lines if text[:8].upper() == "VERSION:"), "3.0")
    lines: dict[str, list[ContentLine]] = {}
    for text in card.lines:
        try:
            line = read_line(text, version)
        except LineUnreadable:
            draft.warn("", "line_unreadable", f"{quoted(text)} is no vCard line; it was left out")
        else:
            lines.setdefault(line.name, []).append(without_unknown_year(line) if line.name == "BDAY" else line)
    return lines


def _put_person(draft: ContactDraft, lines: dict[str, list[ContentLine]]) -> None:
    draft.fields["first_name"], draft.fields["last_name"] = read_names(lines)
    draft.needs_name = True
    (draft.fields["email"],) = read_email(lines)
    (draft.fields["phone"],) = read_phone(lines)
    if (any_number := preferred(lines.get("TEL", ()))) and (number := phone_text(any_number)) != draft.fields["phone"]:
        draft.former["phone"] = number or ""
    (draft.fields["address"],) = read_address(lines)
    for line in lines.get("EMAIL", ()):
        address = email_text(line)
        if address and (reason := check_email(address)):
            draft.doubt(
                "email", "email_invalid", f"{quoted(address)} is no email address, it is kept as a line: {reason}"
            )
    if any(line.value.strip() for line in lines.get("TEL", ())) and draft.fields["phone"] is None:
        draft.doubt("phone", "phone_not_voice", "all numbers are of a fax or pager; they are kept as lines")


def _put_dates(draft: ContactDraft, lines: dict[str, list[ContentLine]]) -> None:
    (draft.fields["date_of_birth"],) = read_birthday(lines)
    birthday = preferred(lines.get("BDAY", ()))
    problem = read_date(unescaped(birthday.value))[1] if birthday else None
    if birthday and birthday.value.startswith("--") and len(birthday.value) == len("--0421"):
        draft.former["date_of_birth"] = f"1604-{birthday.value[2:4]}-{birthday.value[4:]}"
    if problem:
        draft.doubt("date_of_birth", problem.code, f"{problem.detail}; it is kept as a line")
    draft.put_time("created_at", _text(lines, "CREATED"))
    draft.put_time("updated_at", _text(lines, "REV"))


def _put_identity(draft: ContactDraft, lines: dict[str, list[ContentLine]]) -> None:
    uid = _text(lines, "UID")
    draft.put("uid", uid)
    draft.put("contact_id", _text(lines, CONTACT_ID))
    if uid and not is_acceptable(uid):
        draft.keep_line("UID", lines["UID"][0].text)
    items = (unescaped(item).strip() for line in lines.get("CATEGORIES", ()) for item in split_value(line.value, ","))
    draft.chapter_ids = tuple(dict.fromkeys(item for item in items if item))


def _text(lines: dict[str, list[ContentLine]], name: str) -> str | None:
    line = preferred(lines.get(name, ()))
    return unescaped(line.value) if line else None


def write_vcard(stream: BinaryIO, contacts: Iterable[ContactRow]) -> int:
    """Writes the contacts as cards of version 4.0; returns their number.

    Lines end with CRLF and are folded at 75 bytes. A contact without a uid gets its contact id as UID.
    """
    count = 0
    for contact in contacts:
        stream.write(b"".join(map(folded, _card_lines(contact))))
        count += 1
    return count


def _card_lines(contact: ContactRow) -> Iterator[str]:
    yield "BEGIN:VCARD"
    yield "VERSION:4.0"
    yield from _uid_lines(contact)
    for kept in KEPT_FIELDS:
        yield from lines_to_write(kept, contact)
    if contact.chapter_ids:
        yield "CATEGORIES:" + ",".join(map(escaped, contact.chapter_ids))
    if contact.contact_id:
        yield text_line(CONTACT_ID, contact.contact_id)
    for name, time in (("CREATED", contact.created_at), ("REV", contact.updated_at)):
        if time and (basic := basic_time(time)):
            yield f"{name}:{basic}"
    for name, texts in contact.extra.items():
        if name not in _READ and name not in _DROPPED:
            yield from (text for text in texts if is_extra_line(name, text))
    yield "END:VCARD"


def _uid_lines(contact: ContactRow) -> Iterator[str]:
    uid = contact.uid or contact.contact_id
    for text in contact.extra.get("UID", ()):
        if is_extra_line("UID", text) and replaced_key(unescaped(read_line(text).value)) == uid:
            yield text
            return
    if uid:
        yield f"UID:{uid}" if _URI.fullmatch(uid) else f"UID;VALUE=text:{escaped(uid)}"

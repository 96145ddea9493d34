"""Contacts from and to JSON Lines: one JSON object a line, with the contract's own field names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from headwater.contracts.contacts.interchange.draft import ContactDraft
from headwater.contracts.contacts.interchange.keys import SeenKeys
from headwater.contracts.contacts.interchange.lines import LineTooLong, TextLines
from headwater.contracts.contacts.interchange.names import split_name
from headwater.contracts.contacts.interchange.record import FIELDS, ContactRow, Parsed, RowProblem

JSON_LINE_MAX_CHARS = 1_000_000
"""Longest line that is read, in characters."""

_OBJECT = msgspec.json.Decoder(dict[str, Any])
_TEXTS = ("uid", "contact_id", "first_name", "last_name", "phone", "address")
_CHAPTERS = ("chapter_ids", "chapter_affiliations")


def read_jsonl(stream: BinaryIO) -> Iterator[Parsed]:
    """The contacts of a JSON Lines file, each with its problems; read as it is iterated over.

    Unknown keys are ignored, as in the contract; ``name`` is split when it is the only name.
    """
    lines, seen = TextLines(stream, JSON_LINE_MAX_CHARS), SeenKeys()
    number = 0
    while True:
        number += 1
        try:
            line = lines.read()
        except LineTooLong as failure:
            yield _refused(number, failure.head, RowProblem("", "row_too_long", str(failure)))
            continue
        if not line:
            return
        if line.strip():
            yield _parsed(number, line.rstrip("\r\n"), seen)


def _refused(number: int, raw: str, problem: RowProblem) -> Parsed:
    return Parsed(row_number=number, contact=ContactRow(), problems=(problem,), raw=(raw,))


def _parsed(number: int, line: str, seen: SeenKeys) -> Parsed:
    try:
        fields = _OBJECT.decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as failure:
        return _refused(number, line, RowProblem("", "json_invalid", f"the line is no JSON object: {failure}"))
    draft = ContactDraft()
    draft.given.update(field for field in FIELDS if field in fields)
    for field in _TEXTS:
        draft.fields[field] = _text(draft, fields, field)
    if not draft.name() and (name := _text(draft, fields, "name")):
        draft.fields["first_name"], draft.fields["last_name"] = split_name(name)
        draft.given.update(("first_name", "last_name"))
    draft.put_email(_text(draft, fields, "email"))
    draft.put_date(_text(draft, fields, "date_of_birth"))
    draft.put_time("created_at", _text(draft, fields, "created_at"))
    draft.put_time("updated_at", _text(draft, fields, "updated_at"))
    if {"first_name", "last_name"} & draft.given and not draft.name():
        draft.refuse("name", "name_missing", "the row has neither a first nor a last name")
    _put_chapters(draft, fields)
    _put_extra(draft, fields)
    return draft.parsed(number, (line,), seen)


def _text(draft: ContactDraft, fields: dict[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if value is None or isinstance(value, str):
        return value or None
    draft.refuse(field, "invalid_type", f"{field} has to be a text or null")
    return None


def _put_chapters(draft: ContactDraft, fields: dict[str, Any]) -> None:
    for field in _CHAPTERS:
        value = fields.get(field)
        if value is None:
            continue
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            draft.chapter_ids = tuple(dict.fromkeys(item for item in value if item))
            draft.given.add("chapter_ids")
        else:
            draft.refuse(field, "invalid_type", f"{field} has to be a list of texts")


def _put_extra(draft: ContactDraft, fields: dict[str, Any]) -> None:
    try:
        lines = msgspec.convert(fields.get("extra") or {}, dict[str, list[str]])
    except msgspec.ValidationError:
        draft.warn("extra", "extra_invalid", "extra is no object of lists of texts; it was left out")
        return
    for name, texts in lines.items():
        draft.put_extra(name, texts)


def write_jsonl(stream: BinaryIO, contacts: Iterable[ContactRow]) -> int:
    """Writes the contacts, one JSON object a line, every field in each; returns their number."""
    count = 0
    encode = msgspec.json.Encoder().encode_into
    line = bytearray()
    for contact in contacts:
        encode(contact, line)
        stream.write(line + b"\n")
        count += 1
    return count

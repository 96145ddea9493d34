"""Contacts from and to JSON Lines: one JSON object a line, with the contract's own field names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from headwater.base.wire import encode
from headwater.contracts.contacts.interchange.content_lines import escaped, text_line
from headwater.contracts.contacts.interchange.draft import ContactDraft
from headwater.contracts.contacts.interchange.keys import SeenKeys
from headwater.contracts.contacts.interchange.lines import LineTooLong, TextLines
from headwater.contracts.contacts.interchange.names import split_name
from headwater.contracts.contacts.interchange.record import (
    COLUMNS,
    FIELDS,
    ContactRow,
    Parsed,
    RowProblem,
    UnusedColumn,
    reason_of,
)

JSON_LINE_MAX_CHARS = 4_000_000
"""Longest line that is read, in characters."""

REASON_KEYS = ("rejected_row", "rejected_field", "rejected_code", "rejected_because")
"""The keys that state in a file of refused lines why a line was refused; a reader skips them."""

UNUSED_MAX_KEYS = 200
"""Most unknown keys of a file that are counted by name."""

_OBJECT = msgspec.json.Decoder(dict[str, Any])
_REASONS = frozenset(REASON_KEYS)
_IDENTITY = frozenset({"uid", "contact_id", "first_name", "last_name", "name"})
_TEXTS = ("uid", "contact_id", "first_name", "last_name", "phone", "address")
_CHAPTERS = ("chapter_ids", "chapter_affiliations")
_KNOWN = frozenset({*COLUMNS, *_CHAPTERS, "name", *REASON_KEYS})
_ASIDE = {"email": "EMAIL", "phone": "TEL", "address": "ADR", "date_of_birth": "BDAY;VALUE=text"}


class JsonLines:
    """Iterates over the contacts of a JSON Lines file, each with its problems; once, as the file is read.

    Unknown keys are counted in ``unused``; ``name`` is split when it is the only name.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = TextLines(stream, JSON_LINE_MAX_CHARS)
        self._unused: dict[str, int] = {}

    @property
    def unused(self) -> list[UnusedColumn]:
        """The keys that were in objects so far and are not read."""
        return [UnusedColumn(name, rows) for name, rows in self._unused.items()]

    def __iter__(self) -> Iterator[Parsed]:
        seen, number = SeenKeys(), 0
        while True:
            number += 1
            try:
                line = self._lines.read()
            except LineTooLong as failure:
                yield _refused(number, failure.head, RowProblem("", "row_too_long", str(failure)))
                continue
            if not line:
                return
            if line.strip() and (parsed := self._parsed(number, line.rstrip("\r\n"), seen)) is not None:
                yield parsed

    def _parsed(self, number: int, line: str, seen: SeenKeys) -> Parsed | None:
        try:
            fields = _OBJECT.decode(line)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return _refused(number, line, RowProblem("", "json_invalid", "the line is not one whole JSON object"))
        if fields and fields.keys() <= _REASONS:
            return None
        for name in fields.keys() - _KNOWN:
            if name in self._unused or len(self._unused) < UNUSED_MAX_KEYS:
                self._unused[name] = self._unused.get(name, 0) + 1
        return _draft(fields).parsed(number, (line,), seen)


def read_jsonl(stream: BinaryIO) -> JsonLines:
    """The contacts of a JSON Lines file, each with its problems; read as it is iterated over."""
    return JsonLines(stream)


def _refused(number: int, raw: str, problem: RowProblem) -> Parsed:
    return Parsed(row_number=number, contact=ContactRow(), problems=(problem,), raw=(raw,))


def _draft(fields: dict[str, Any]) -> ContactDraft:
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
    draft.needs_name = not {"first_name", "last_name"}.isdisjoint(draft.given)
    _put_chapters(draft, fields)
    _put_extra(draft, fields)
    return draft


def _text(draft: ContactDraft, fields: dict[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if value is None or isinstance(value, str):
        return value or None
    if field in _IDENTITY:
        draft.refuse(field, "invalid_type", f"{field} has to be a text or null")
        return None
    draft.doubt(field, "invalid_type", f"{field} has to be a text or null; it is kept as a line")
    if head := _ASIDE.get(field):
        text = encode(value).decode()
        draft.keep_line(
            head.partition(";")[0], f"ADR:;;{escaped(text)};;;;" if head == "ADR" else text_line(head, text)
        )
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


class RejectedLines:
    """Writes refused lines of a JSON Lines file with the reasons: mend it and import it again."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, parsed: Parsed) -> None:
        """Writes the reason as keys of the refused object; a line that is no object follows one with the reason."""
        reason = reason_of(parsed)
        told = dict(zip(REASON_KEYS, (parsed.row_number, reason.field, reason.code, reason.detail), strict=True))
        [line] = parsed.raw
        try:
            lines = [encode(told | {key: value for key, value in _OBJECT.decode(line).items() if key not in _REASONS})]
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            lines = [encode(told), line.encode("utf-8", "replace")]
        self._stream.write(b"".join(each + b"\n" for each in lines))

    def close(self) -> None:
        """Nothing is buffered; the stream stays open."""


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

"""Contacts from and to CSV, row by row, as spreadsheets, Google Contacts and Outlook write it.

Source: RFC 4180; the headers of Google Contacts' and Outlook's exports.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import BinaryIO

import msgspec

from headwater.base.errors import Malformed
from headwater.contracts.contacts.interchange.addresses import joined_address
from headwater.contracts.contacts.interchange.content_lines import escaped, text_line
from headwater.contracts.contacts.interchange.csv.cells import cell_list, cell_text, list_cell, text_cell
from headwater.contracts.contacts.interchange.csv.columns import NUMBERED_RANK, Columns, Slot, columns_of, slot_of
from headwater.contracts.contacts.interchange.csv.records import CsvRecord, Records
from headwater.contracts.contacts.interchange.dates import DateOrder
from headwater.contracts.contacts.interchange.draft import ContactDraft
from headwater.contracts.contacts.interchange.keys import SeenKeys
from headwater.contracts.contacts.interchange.lines import LineTooLong, TextLines
from headwater.contracts.contacts.interchange.names import split_name
from headwater.contracts.contacts.interchange.record import COLUMNS, FIELDS, ContactRow, Parsed

DELIMITERS = ",;\t|"
"""The characters between cells that are recognised."""

_SEVERAL = " ::: "
_EXTRA = msgspec.json.Decoder(dict[str, list[str]])
_NAME_FIELDS = frozenset({"name", "first_name", "middle_name", "last_name"})


def read_csv(
    stream: BinaryIO,
    *,
    key_column: str | None = None,
    named_columns: Mapping[str, str] | None = None,
    date_order: DateOrder | None = None,
) -> CsvRows:
    """The contacts of a CSV file, each with its problems; read as it is iterated over, once.

    Encoding, delimiter and columns are recognised; ``key_column`` names the column of the key,
    ``named_columns`` maps other headers to fields, ``date_order`` decides ``04/05/1988``.
    Raises: Malformed, when the file as a whole is no CSV of contacts.
    """
    lines = TextLines(stream)
    first = _first_line(lines)
    delimiter = _delimiter_of(first)
    if first.casefold().startswith("sep=") and len(first.rstrip("\r\n")) == 5:
        delimiter, first = first[4], _first_line(lines)
    records = iter(Records(lines, delimiter, (first,)))
    header = next(records)
    if header.problem:
        raise Malformed(f"the first row cannot be read: {header.problem.detail}")
    columns = columns_of(header.cells, key_column=key_column, named=named_columns)
    return CsvRows(lines, delimiter, columns, records, key_is_required=key_column is not None, order=date_order)


def _first_line(lines: TextLines) -> str:
    """The first line that is not blank. Raises: Malformed, when it shows that this is another kind of file."""
    try:
        line = lines.read()
        while line and not line.strip("\r\n"):
            line = lines.read()
    except LineTooLong:
        raise Malformed("the first line is too long for a row of headers") from None
    if not line:
        raise Malformed("the file is empty")
    if line.startswith("PK\x03\x04"):
        raise Malformed("this is a workbook or another archive; save it as CSV first")
    if "\0" in line:
        raise Malformed("this is not a text file, or UTF-16 without its mark; save it as CSV in UTF-8")
    if line.upper().startswith("BEGIN:VCARD"):
        raise Malformed("this is a vCard file; give it the name .vcf")
    return line


def _delimiter_of(line: str) -> str:
    """The delimiter under which most headers are known; among equals, under which there are most."""

    def weight(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([line], delimiter=delimiter), [])
        return sum(slot_of(cell) is not None for cell in cells), len(cells)

    return max(DELIMITERS, key=weight)


class CsvRows:
    """Iterates over the contacts of a CSV file.

    Shape: ``columns`` holds what was recognised and which headers were ignored; ``encoding``, ``delimiter``;
    ``guessed_lines`` counts, so far, the lines that were not in that encoding.
    """

    def __init__(
        self,
        lines: TextLines,
        delimiter: str,
        columns: Columns,
        records: Iterator[CsvRecord],
        *,
        key_is_required: bool,
        order: DateOrder | None,
    ) -> None:
        self.columns = columns
        self.delimiter = delimiter
        self._lines = lines
        self._records = records
        self._reading = _RowReading(columns, key_is_required=key_is_required, order=order)
        self._seen = SeenKeys()

    @property
    def encoding(self) -> str:
        """The encoding of the file, as far as its beginning shows."""
        return self._lines.encoding

    @property
    def guessed_lines(self) -> int:
        """The number of lines so far that were not in that encoding and were read as Windows-1252."""
        return self._lines.guessed_lines

    def __iter__(self) -> Iterator[Parsed]:
        for row_number, record in enumerate(self._records, start=2):
            if record.problem:
                yield Parsed(row_number=row_number, contact=ContactRow(), problems=(record.problem,), raw=record.cells)
            elif any(record.cells):
                draft = self._reading.draft(record)
                yield draft.parsed(row_number, record.cells, self._seen)


class _RowReading:
    """Fills drafts from the cells of one file's rows."""

    def __init__(self, columns: Columns, *, key_is_required: bool, order: DateOrder | None) -> None:
        self._columns = columns
        self._width = len(columns.header)
        self._key_is_required = key_is_required
        self._order = order
        self._has_names = not _NAME_FIELDS.isdisjoint(columns.by_field)
        given = {field for field in (*FIELDS, "chapter_ids") if field in columns.by_field}
        self._given = frozenset(given | ({"first_name", "last_name"} if self._has_names else set()))
        self._addresses = _address_groups(columns)
        self._places = {field: tuple(place for place, _ in found) for field, found in columns.by_field.items()}

    def draft(self, record: CsvRecord) -> ContactDraft:
        """The contact in the cells of one row."""
        cells = [cell_text(cell) if cell[:1] == "'" else cell.strip() for cell in record.cells]
        draft = ContactDraft()
        draft.given.update(self._given)
        if len(cells) > self._width and any(cells[self._width :]):
            draft.refuse("", "cells_too_many", f"the row has {len(cells)} cells under {self._width} headers")
        if record.guessed:
            draft.warn("", "encoding_guessed", "the row is not UTF-8; it was read as Windows-1252")
        cells.extend([""] * (self._width - len(cells)))
        self._put_key(draft, cells)
        self._put_names(draft, cells)
        for field in ("created_at", "updated_at"):
            draft.put_time(field, self._first(cells, field))
        draft.put_date(self._first(cells, "date_of_birth"), self._order)
        draft.put_email(self._several(draft, cells, "email", "EMAIL"))
        draft.put("phone", self._several(draft, cells, "phone", "TEL"))
        self._put_address(draft, cells)
        self._put_chapters(draft, cells)
        self._put_extra(draft, cells)
        return draft

    def _first(self, cells: list[str], field: str) -> str:
        """The first of a field's cells that holds anything."""
        for place in self._places.get(field, ()):
            if cells[place]:
                return cells[place]
        return ""

    def _put_key(self, draft: ContactDraft, cells: list[str]) -> None:
        draft.put("contact_id", self._first(cells, "contact_id"))
        key = cells[self._columns.key] if self._columns.key is not None else ""
        draft.put("uid", key)
        if self._key_is_required and not key:
            draft.refuse("uid", "key_missing", "the row has nothing in the key column")

    def _put_names(self, draft: ContactDraft, cells: list[str]) -> None:
        first, last = self._first(cells, "first_name"), self._first(cells, "last_name")
        middle = self._first(cells, "middle_name")
        given = f"{first} {middle}" if first and middle else first or middle
        draft.put("first_name", given)
        draft.put("last_name", last)
        if not given and not last:
            draft.fields["first_name"], draft.fields["last_name"] = split_name(self._first(cells, "name"))
        if self._has_names and not draft.name():
            draft.refuse("name", "name_missing", "the row has neither a first nor a last name")
        prefix, suffix = self._first(cells, "name_prefix"), self._first(cells, "name_suffix")
        if prefix or suffix:
            parts = (draft.fields["last_name"] or "", draft.fields["first_name"] or "", "", prefix, suffix)
            draft.keep_line("N", "N:" + ";".join(map(escaped, parts)))
            draft.keep_line("FN", text_line("FN", draft.name()))

    def _several(self, draft: ContactDraft, cells: list[str], field: str, name: str) -> str:
        """The first text of a field; when it has more, all of them are kept as lines too."""
        places = self._places.get(field, ())
        if len(places) == 1 and _SEVERAL not in cells[places[0]]:
            return cells[places[0]]
        found: dict[str, Slot] = {}
        for place, slot in self._columns.of(field):
            if cells[place]:
                cell = cells[place]
                several = (part.strip() for part in cell.split(_SEVERAL)) if slot.rank > NUMBERED_RANK else (cell,)
                found.update({text: slot for text in several if text and text not in found})
        if len(found) > 1:
            for text, slot in found.items():
                draft.keep_line(name, text_line(name, text, (slot.group,) if slot.group else ()))
        return next(iter(found), "")

    def _put_address(self, draft: ContactDraft, cells: list[str]) -> None:
        found: dict[str, str] = {}
        for group, places in self._addresses.items():
            parts = {part: cells[place] for part, place in places.items()}
            streets = (parts.get(part, "") for part in ("pobox", "street", "street2", "street3"))
            text = parts.get("whole") or joined_address(
                street=streets,
                postal_code=parts.get("postal_code", ""),
                city=parts.get("city", ""),
                region=parts.get("region", ""),
                country=parts.get("country", ""),
            )
            if text:
                found.setdefault(text, group)
        draft.put("address", next(iter(found), None))
        if len(found) > 1:
            for text, group in found.items():
                kind = f";TYPE={group}" if group in {"home", "work"} else ""
                draft.keep_line("ADR", f"ADR{kind}:;;{escaped(text)};;;;")

    def _put_chapters(self, draft: ContactDraft, cells: list[str]) -> None:
        chapters: dict[str, None] = {}
        for place, slot in self._columns.of("chapter_ids"):
            for item in cell_list(cells[place]):
                # Google marks its own groups, such as "* myContacts", with a star.
                if not (slot.group == "google" and item.startswith("* ")):
                    chapters[item] = None
        draft.chapter_ids = tuple(chapters)

    def _put_extra(self, draft: ContactDraft, cells: list[str]) -> None:
        for place, slot in self._columns.of("extra"):
            text = cells[place]
            if text and slot.part:
                draft.keep_line(slot.part, text_line(slot.part, text))
            elif text:
                try:
                    lines = _EXTRA.decode(text)
                except msgspec.DecodeError:
                    draft.warn("extra", "extra_invalid", "the column extra holds no JSON object of lists; left out")
                    continue
                for name, texts in lines.items():
                    draft.put_extra(name, texts)


def _address_groups(columns: Columns) -> dict[str, dict[str, int]]:
    """The columns of each address, part by part, the address to be preferred first."""
    groups: dict[str, dict[str, int]] = {}
    for place, slot in columns.of("address"):
        name = slot.group or f"{slot.rank}"
        groups.setdefault(name, {}).setdefault(slot.part, place)
    return groups


def write_csv(
    stream: BinaryIO, contacts: Iterable[ContactRow], *, delimiter: str = ",", byte_order_mark: bool = False
) -> int:
    """Writes the contacts with a header row, every field a column; returns their number.

    Cells that a spreadsheet would run as formulas are guarded, see ``cells``. The mark lets Excel see UTF-8.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=False)
    count = 0
    with ExitStack() as ends:
        ends.callback(text.detach)
        if byte_order_mark:
            text.write("\ufeff")
        writer = csv.writer(text, delimiter=delimiter)
        writer.writerow(COLUMNS)
        for contact in contacts:
            writer.writerow(_cells(contact))
            count += 1
    return count


def _cells(contact: ContactRow) -> Iterator[str]:
    yield text_cell(contact.uid or contact.contact_id or "")
    yield text_cell(contact.contact_id or "")
    for field in FIELDS:
        yield text_cell(getattr(contact, field) or "")
    yield text_cell(list_cell(contact.chapter_ids))
    yield contact.created_at or ""
    yield contact.updated_at or ""
    yield msgspec.json.encode(contact.extra).decode() if contact.extra else ""

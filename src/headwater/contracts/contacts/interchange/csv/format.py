"""Contacts from and to CSV, row by row, as spreadsheets, Google Contacts and Outlook write it.

Source: RFC 4180; the headers of Google Contacts' and Outlook's exports.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import BinaryIO

import msgspec

from headwater.base.errors import Malformed
from headwater.base.textkeys import fold
from headwater.contracts.contacts.interchange.addresses import completed_address, joined_address
from headwater.contracts.contacts.interchange.content_lines import escaped, text_line
from headwater.contracts.contacts.interchange.csv.cells import cell_list, cell_text, list_cell, text_cell
from headwater.contracts.contacts.interchange.csv.columns import NUMBERED_RANK, Columns, columns_of, slot_of
from headwater.contracts.contacts.interchange.csv.records import CsvRecord, Records
from headwater.contracts.contacts.interchange.dates import DateOrder, proven_order
from headwater.contracts.contacts.interchange.draft import ContactDraft
from headwater.contracts.contacts.interchange.keys import SeenKeys
from headwater.contracts.contacts.interchange.lines import LineTooLong, TextLines
from headwater.contracts.contacts.interchange.names import split_name
from headwater.contracts.contacts.interchange.record import COLUMNS, FIELDS, ContactRow, Parsed, UnusedColumn, quoted

HEADER_MAX_CHARS = 131_000
"""Longest row of headers, in characters."""

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
    if len(line) > HEADER_MAX_CHARS:
        raise Malformed("the first line is too long for a row of headers")
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

    Shape: ``columns`` holds what was recognised and which headers were not; ``encoding``, ``delimiter``;
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

    @property
    def unused(self) -> list[UnusedColumn]:
        """The columns that are not read, with the number of rows so far that have a text in them."""
        found = [(each, self._reading.unused_rows[each.place]) for each in self.columns.unused]
        return [
            UnusedColumn(each.header.strip() or f"column {each.place + 1}", rows, each.reason, each.place + 1)
            for each, rows in found
            if each.header.strip() or rows
        ]

    def proven_order(self) -> DateOrder | None:
        """The order of day and month that the file's dates prove; None without a proof, or with both. Reads all."""
        places = [place for place, _ in self.columns.of("date_of_birth")]
        proven: set[DateOrder] = set()
        for record in self._records if places else ():
            if record.problem is None:
                cells = (cell_text(record.cells[place]) for place in places if place < len(record.cells))
                proven.update(order for cell in cells if (order := proven_order(cell)) is not None)
        return proven.pop() if len(proven) == 1 else None

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
        if "birth" in columns.by_field:
            given.add("date_of_birth")
        self._given = frozenset(given | ({"first_name", "last_name"} if self._has_names else set()))
        self._addresses = _address_groups(columns)
        self._unused = tuple(each.place for each in columns.unused)
        self.unused_rows: Counter[int] = Counter()
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
        for place in self._unused:
            if cells[place]:
                self.unused_rows[place] += 1
        self._put_key(draft, cells)
        self._put_names(draft, cells)
        for field in ("created_at", "updated_at"):
            draft.put_time(field, self._first(draft, cells, field))
        draft.put_date(self._first(draft, cells, "date_of_birth") or self._birth(cells), self._order)
        draft.put_several("email", self._several(cells, "email"))
        draft.put_several("phone", self._several(cells, "phone"))
        self._put_address(draft, cells)
        self._put_chapters(draft, cells)
        self._put_extra(draft, cells)
        return draft

    def _first(self, draft: ContactDraft, cells: list[str], field: str) -> str:
        """The first of a field's cells that holds anything; another text in a further one is a warning."""
        places = self._places.get(field, ())
        if len(places) == 1:
            return cells[places[0]]
        found = {cells[place]: place for place in reversed(places) if cells[place]}
        text, *others = reversed(found) if found else [""]
        for other in others:
            header = self._columns.header[found[other]]
            draft.warn(
                field, "value_unused", f"the column {quoted(header)} has {quoted(other)}, but {quoted(text)} is used"
            )
        return text

    def _birth(self, cells: list[str]) -> str:
        """The date of birth in columns of its own for year, month and day."""
        parts = {slot.part: cells[place] for place, slot in self._columns.of("birth")}
        year, month, day = (parts.get(part, "") for part in ("year", "month", "day"))
        if not (month or year) or not all(not part or part.isdecimal() for part in (year, month, day)):
            return " ".join(part for part in (day, month, year) if part)
        if not (day and month):
            return "-".join(filter(None, (year.rjust(4, "0") if year else "-", month.rjust(2, "0") if month else "")))
        return f"{year.rjust(4, '0') if int(year or 0) else '-'}-{month.rjust(2, '0')}-{day.rjust(2, '0')}"

    def _put_key(self, draft: ContactDraft, cells: list[str]) -> None:
        draft.put("contact_id", self._first(draft, cells, "contact_id"))
        key = cells[self._columns.key] if self._columns.key is not None else ""
        draft.put("uid", key)
        if self._key_is_required and not key:
            draft.refuse("uid", "key_missing", "the row has nothing in the key column")

    def _put_names(self, draft: ContactDraft, cells: list[str]) -> None:
        first, last = self._first(draft, cells, "first_name"), self._first(draft, cells, "last_name")
        middle = self._first(draft, cells, "middle_name")
        given = f"{first} {middle}" if first and middle else first or middle
        draft.put("first_name", given)
        draft.put("last_name", last)
        whole = self._first(draft, cells, "name")
        if not given and not last:
            draft.fields["first_name"], draft.fields["last_name"] = split_name(whole)
        elif whole and whole not in {draft.name(), f"{first} {last}"} and not _same_words(whole, draft.name()):
            detail = f"the column of the whole name has {quoted(whole)}, but {quoted(draft.name())} is used"
            draft.warn("name", "value_unused", detail)
        draft.needs_name = self._has_names
        prefix, suffix = self._first(draft, cells, "name_prefix"), self._first(draft, cells, "name_suffix")
        if prefix or suffix:
            parts = (draft.fields["last_name"] or "", draft.fields["first_name"] or "", "", prefix, suffix)
            draft.keep_line("N", "N:" + ";".join(map(escaped, parts)))
            draft.keep_line("FN", text_line("FN", draft.name()))

    def _several(self, cells: list[str], field: str) -> dict[str, str]:
        """The texts in a field's columns, each once, with their types."""
        found: dict[str, str] = {}
        for place, slot in self._columns.of(field):
            if cell := cells[place]:
                several = (part.strip() for part in cell.split(_SEVERAL)) if slot.rank > NUMBERED_RANK else (cell,)
                found.update({text: slot.group for text in several if text and text not in found})
        return found

    def _put_address(self, draft: ContactDraft, cells: list[str]) -> None:
        found: dict[str, str] = {}
        for group, places in self._addresses.items():
            parts = {part: cells[place] for part, place in places.items()}
            streets = [parts.get(part, "") for part in ("pobox", "street", "street2", "street3")]
            others = {part: parts.get(part, "") for part in ("postal_code", "city", "region", "country")}
            whole = parts.get("whole")
            text = (
                completed_address(whole, street=streets, **others)
                if whole
                else joined_address(street=streets, **others)
            )
            if text and whole and not found and text != whole:
                draft.former["address"] = whole
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


def _same_words(one: str, other: str) -> bool:
    """True when two names have the same words in any order, as ``Solberg, Ingrid`` and ``Ingrid Solberg``."""
    return sorted(fold(one).replace(",", " ").split()) == sorted(fold(other).replace(",", " ").split())


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

"""The records of a CSV file, one at a time; a quote that is never closed costs one line, not the rest."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from headwater.contracts.contacts.interchange.lines import LINE_MAX_CHARS, LineTooLong, TextLines
from headwater.contracts.contacts.interchange.record import RowProblem

# The parser's own limit would refuse a row with a photo.
csv.field_size_limit(LINE_MAX_CHARS)

RECORD_MAX_LINES = 200
"""Most lines of the file in one record: a cell with more line breaks has an unclosed quote."""


class CsvRecord(NamedTuple):
    """One row: its cells, or the line that is no row, and the reason; ``guessed``: not UTF-8."""

    cells: tuple[str, ...]
    problem: RowProblem | None = None
    guessed: bool = False


class _QuoteOpen(Exception):
    """The record continued past its limits or the end of the file."""


class Records:
    """Iterates over the records of a text; the header row is a record too."""

    def __init__(self, lines: TextLines, delimiter: str = ",", first_lines: tuple[str, ...] = ()) -> None:
        self._feed = _Characters(lines, first_lines)
        self._reader = csv.reader(self._feed, delimiter=delimiter)

    def __iter__(self) -> Iterator[CsvRecord]:
        feed, reader = self._feed, self._reader
        while True:
            guessed_before = feed.lines.guessed_lines
            feed.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except LineTooLong as failure:
                yield CsvRecord((failure.head,), RowProblem("", "row_too_long", str(failure)))
            except _QuoteOpen:
                detail = "a quotation mark is opened in this row and not closed"
                yield CsvRecord((feed.reject_first(),), RowProblem("", "quote_unclosed", detail))
            except csv.Error as failure:
                yield CsvRecord((feed.reject_first(),), RowProblem("", "row_unreadable", str(failure)))
            else:
                yield CsvRecord(tuple(cells), guessed=feed.lines.guessed_lines > guessed_before)


class _Characters:
    """Hands lines to the parser and remembers those of the present record, so that they can be read again."""

    def __init__(self, lines: TextLines, first_lines: tuple[str, ...]) -> None:
        self.lines = lines
        self._again: deque[str | LineTooLong] = deque(first_lines)
        self._taken: list[str] = []
        self._taken_chars = 0

    def begin(self) -> None:
        """The next line begins a record."""
        self._taken.clear()
        self._taken_chars = 0

    def reject_first(self) -> str:
        """The record's first line, as refused; the parser reads the others again."""
        first, *others = self._taken
        self._again.extendleft(reversed(others))
        return first.rstrip("\r\n")

    def __iter__(self) -> _Characters:
        return self

    def __next__(self) -> str:
        if len(self._taken) >= RECORD_MAX_LINES or self._taken_chars >= LINE_MAX_CHARS:
            raise _QuoteOpen
        try:
            line = self._next_line()
        except LineTooLong as failure:
            if not self._taken:
                raise
            self._again.appendleft(failure)
            raise _QuoteOpen from None
        if not line and self._taken:
            raise _QuoteOpen
        if not line:
            raise StopIteration
        if self._taken_chars + len(line) > LINE_MAX_CHARS:
            self._again.appendleft(line)
            raise _QuoteOpen
        self._taken.append(line)
        self._taken_chars += len(line)
        return line

    def _next_line(self) -> str:
        if not self._again:
            return self.lines.read()
        line = self._again.popleft()
        if isinstance(line, LineTooLong):
            raise line
        return line

"""Each parser of files, headers and names takes a time that grows no faster than what it reads."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from contextlib import suppress

import pytest

from headwater.base.errors import HeadwaterError
from headwater.contracts.contacts.interchange.content_lines import LineUnreadable, read_line, split_value, unescaped
from headwater.contracts.contacts.interchange.csv.cells import cell_list, cell_text, text_cell
from headwater.contracts.contacts.interchange.csv.columns import slot_of
from headwater.contracts.contacts.interchange.csv.format import read_csv
from headwater.contracts.contacts.interchange.dates import read_date
from headwater.contracts.contacts.interchange.jsonl import read_jsonl
from headwater.contracts.contacts.interchange.names import split_name
from headwater.contracts.contacts.interchange.vcard.format import read_vcard
from headwater.contracts.files.names import stored_name
from headwater.contracts.sell.shapes import address
from headwater.web.http.compression import chosen
from headwater.web.http.etags import matches
from headwater.web.http.ranges import parse_range
from tests.support.growth import grows_faster_than_linear

pytestmark = pytest.mark.slow

UNITS = (
    "1", " ", '"', "\\", "\\\\", "\\,", ",", ";", ":", "=", "=\n", ".", "-", "a@", "\n", "\r\n ", "1, ", " , 0155 ",
    "\u0316\u0301", "\ufdfa", ":::", "N:a\n", 'X;A="b":c\n', "BEGIN:VCARD\n", ';A="', "0-0,", 'W/"a",', "gzip;q=0,",
)  # fmt: skip
ENDS = ("", "\\", "x")


def card(text: str) -> None:
    for inside in (f"N:{text}\n", f"{text}\n", f"NOTE;ENCODING=QUOTED-PRINTABLE:{text}\n", f"X;A={text}:b\n"):
        whole = f"BEGIN:VCARD\nVERSION:2.1\nFN:Kari\n{inside}END:VCARD\n"
        list(read_vcard(io.BytesIO(whole.encode())))


def table(text: str) -> None:
    for whole in (f"first_name;email\n{text};b\n", f"{text}\nb,c\n", f"first_name\n{text}"):
        list(read_csv(io.BytesIO(whole.encode())))


def lines(text: str) -> None:
    for whole in (f'{{"first_name":"{text}"}}\n', text):
        list(read_jsonl(io.BytesIO(whole.encode())))


def value(text: str) -> None:
    split_value(text, ",")
    split_value(text, ";")
    unescaped(text)


def content_line(text: str) -> None:
    for whole in (text, f"N:{text}", f"a.{text}:b", f"X;{text}:b", f"X;ENCODING=QUOTED-PRINTABLE:{text}"):
        for version in ("2.1", "4.0"):
            with suppress(LineUnreadable):
                read_line(whole, version)


def cell(text: str) -> None:
    cell_list(text)
    text_cell(cell_text(text))
    slot_of(text)


def header(text: str) -> None:
    parse_range("bytes=" + text)
    matches(text, '"a"', weak=True)
    chosen.__wrapped__(text.encode())


PARSERS: dict[str, tuple[Callable[[str], object], int]] = {
    "vCard": (card, 12_000),
    "CSV": (table, 12_000),
    "JSON lines": (lines, 24_000),
    "a value of vCard": (value, 24_000),
    "a line of vCard": (content_line, 12_000),
    "a cell": (cell, 24_000),
    "a date": (read_date, 24_000),
    "a person's name": (split_name, 24_000),
    "an address": (address, 24_000),
    "a file's name": (stored_name, 24_000),
    "headers": (header, 24_000),
}
"""Each parser with the length of what it reads."""


@pytest.mark.parametrize("name", PARSERS)
def test_the_time_of_a_parser_grows_no_faster_than_what_it_reads(name: str) -> None:
    parse, length = PARSERS[name]

    def act(text: str) -> None:
        with suppress(HeadwaterError, ValueError):
            parse(text)

    for unit, end in itertools.product(UNITS, ENDS):

        def text(size: int, unit: str = unit, end: str = end) -> str:
            return unit * (size // len(unit)) + end

        found = grows_faster_than_linear(text, act, length)
        assert found is None, f"{unit!r} {end!r}: {found}"

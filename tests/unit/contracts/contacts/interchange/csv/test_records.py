from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.csv.records import RECORD_MAX_LINES, CsvRecord, Records
from headwater.contracts.contacts.interchange.lines import LINE_MAX_CHARS, TextLines


def records(content: bytes, delimiter: str = ",") -> list[CsvRecord]:
    return list(Records(TextLines(io.BytesIO(content)), delimiter))


def outcome(content: bytes) -> list[tuple[str, ...] | str]:
    return [record.problem.code if record.problem else record.cells for record in records(content)]


def test_quoted_cells_hold_delimiters_quotes_and_line_breaks() -> None:
    assert outcome(b'a,"b,\r\n""c"""\r\nd,e\r\n') == [("a", 'b,\r\n"c"'), ("d", "e")]


def test_a_quote_that_is_never_closed_costs_one_line() -> None:
    assert outcome(b'a,b\n"c,d\ne,f\ng,h\n') == [("a", "b"), "quote_unclosed", ("e", "f"), ("g", "h")]


def test_a_forgotten_quote_is_given_up_after_the_most_lines_of_a_record() -> None:
    rows = [b'"open,1'] + [b"row,%d" % number for number in range(2 * RECORD_MAX_LINES)]
    assert outcome(b"\n".join(rows) + b"\n") == [
        "quote_unclosed",
        *(("row", str(number)) for number in range(2 * RECORD_MAX_LINES)),
    ]


def test_the_line_given_up_is_shown_as_it_came() -> None:
    [record] = records(b'"Ola,1\r\n')
    assert record.cells == ('"Ola,1',)


def test_a_row_that_is_too_long_is_skipped() -> None:
    long = b"x" * (LINE_MAX_CHARS + 1)
    assert outcome(b"a,b\n" + long + b"\nc,d\n") == [("a", "b"), "row_too_long", ("c", "d")]


def test_a_long_row_within_an_open_quote_is_reported_after_it() -> None:
    long = b"x" * (LINE_MAX_CHARS + 1)
    assert outcome(b'"a,b\n' + long + b"\nc,d\n") == ["quote_unclosed", "row_too_long", ("c", "d")]


def test_an_open_quote_reaches_no_further_than_the_longest_row() -> None:
    half = b"y" * (LINE_MAX_CHARS // 2)
    assert outcome(b'"a,b\n' + half + b"\n" + half + b"\nc,d\n") == [
        "quote_unclosed",
        (half.decode(),),
        (half.decode(),),
        ("c", "d"),
    ]


def test_what_the_parser_refuses_costs_one_row() -> None:
    before = csv.field_size_limit(5)
    try:
        assert outcome(b"a,b\nlonger than five,c\nd,e\n") == [("a", "b"), "row_unreadable", ("d", "e")]
    finally:
        csv.field_size_limit(before)


def test_rows_that_were_not_utf_8_are_marked() -> None:
    marks = [record.guessed for record in records(b"a\nbj\xf8rn\n\xc3\xa5\n")]
    assert marks == [False, True, False]


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=3), max_size=4))
def test_whatever_is_written_as_csv_is_read_back(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    assert [list(record.cells) for record in records(text.getvalue().encode())] == rows


@given(st.text(st.sampled_from('",;\n\r a'), max_size=40))
def test_no_line_is_lost_whatever_the_quotes(text: str) -> None:
    read = "".join("".join(record.cells) for record in records(text.encode()))
    assert read.count("a") == text.count("a")

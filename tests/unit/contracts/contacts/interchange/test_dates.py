from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.dates import DateOrder, basic_time, known_part, read_date, read_time


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("1988-04-21", "1988-04-21"),
        ("19880421", "1988-04-21"),
        (" 1988-04-21T00:00:00Z", "1988-04-21"),
        ("1988-04-21 12:00", "1988-04-21"),
        ("21.04.1988", "1988-04-21"),
        ("1.4.1988", "1988-04-01"),
        ("21. 4. 1988", "1988-04-21"),
        ("4/21/1988", "1988-04-21"),
        ("21/4/1988", "1988-04-21"),
        ("21-04-1988", "1988-04-21"),
        ("5/5/1988", "1988-05-05"),
        ("29.02.2024", "2024-02-29"),
        ("", None),
        ("0/0/00", None),
    ],
)
def test_the_usual_forms_of_a_date_are_read(text: str, date: str | None) -> None:
    assert read_date(text) == (date, None)


@pytest.mark.parametrize(("order", "date"), [("dmy", "1988-05-04"), ("mdy", "1988-04-05")])
def test_the_order_decides_what_a_date_with_slashes_means(order: DateOrder, date: str) -> None:
    assert read_date("04/05/1988", order) == (date, None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("04/05/1988", "date_ambiguous"),
        ("31.02.1990", "date_invalid"),
        ("1990-02-31", "date_invalid"),
        ("13/13/1990", "date_invalid"),
        ("0000-01-01", "date_partial"),
        ("1604-04-21", "date_partial"),
        ("16040421", "date_partial"),
        ("21.04.1604", "date_partial"),
        ("4/21/1604", "date_partial"),
        ("1604-02-30", "date_invalid"),
        ("12/24", "date_partial"),
        ("24.12.", "date_partial"),
        ("24.12", "date_partial"),
        ("04/05", "date_invalid"),
        ("24 Dec", "date_invalid"),
        ("21.4.88", "date_invalid"),
        ("in April", "date_invalid"),
        ("32254", "date_invalid"),
        ("--04-21", "date_partial"),
        ("--0421", "date_partial"),
        ("---21", "date_partial"),
        ("1988", "date_partial"),
        ("1988-04", "date_partial"),
    ],
)
def test_a_date_is_never_guessed(text: str, code: str) -> None:
    date, problem = read_date(text)
    assert date is None
    assert problem is not None
    assert problem.code == code
    assert not problem.refuses
    assert text in problem.detail


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1604-04-21", "--0421"),
        ("0000-12-24", "--1224"),
        ("1604-02-29", "--0229"),
        ("--04-21", "--0421"),
        ("24.12.", "--1224"),
        ("12/24", "--1224"),
        ("5/5", "--0505"),
        ("1988-04", "1988-04"),
        ("04/05", None),
        ("1900-01-01", None),
        ("31.02.", None),
    ],
)
def test_the_known_part_of_a_date_is_written_as_cards_do(text: str, part: str | None) -> None:
    assert known_part(text) == part


@given(st.dates().filter(lambda day: day.year != 1604))
def test_every_day_is_read_in_both_iso_forms(day: object) -> None:
    assert read_date(str(day)) == read_date(str(day).replace("-", "")) == (str(day), None)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-26T11:25:00Z", "2026-03-26T11:25:00Z"),
        ("20260326T112500Z", "2026-03-26T11:25:00Z"),
        ("2026-03-26T12:25:00.750+01:00", "2026-03-26T11:25:00Z"),
        ("2026-03-26", "2026-03-26T00:00:00Z"),
        ("0999-01-01T00:00:00", "0999-01-01T00:00:00Z"),
        ("2026-13-26T11:25:00Z", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("yesterday", None),
    ],
)
def test_times_become_whole_seconds_of_utc(text: str, time: str | None) -> None:
    assert read_time(text) == time
    assert basic_time(text) == (time and time.replace("-", "").replace(":", ""))

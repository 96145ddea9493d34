from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.csv.cells import cell_list, cell_text, list_cell, text_cell
from tests.unit.contracts.contacts.interchange.strategies import IDS

RISKY_TEXT = st.text(st.sampled_from(list("'=+-@\t\r\n 0a\uff1d")) | st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    "text", ["=1+1", "-2", "@SUM(A1)", "\tx", "\rx", "\nx", "+cmd|' /C calc'!A0", "+1-1", "\uff1dx"]
)
def test_what_a_spreadsheet_would_run_is_guarded(text: str) -> None:
    assert text_cell(text) == "'" + text
    assert cell_text(text_cell(text)) == text


@pytest.mark.parametrize("text", ["+47 906 78 901", "+4790678901", "Ingrid", "'t Hooft", "a=b", "0155 Oslo", "", "'"])
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert text_cell(text) == text
    assert cell_text(text) == text


@given(RISKY_TEXT)
def test_every_text_comes_back_from_its_cell(text: str) -> None:
    assert cell_text(text_cell(text)) == text


@given(RISKY_TEXT)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    cell = text_cell(text)
    assert cell[:1] not in {"=", "-", "@", "\t", "\r", "\n"}
    assert not cell.startswith("+") or cell[1:].replace(" ", "").isdecimal()


def test_white_space_around_a_cell_goes_unless_it_is_guarded() -> None:
    assert cell_text("  Oslo ") == "Oslo"
    assert cell_text("'  Oslo ") == "  Oslo "


@given(st.lists(IDS | st.sampled_from(["a;b", "a,b", "a:::b", "::::", "a\\", "\\;", ":"]), unique=True))
def test_every_list_of_ids_comes_back_from_its_cell(ids: list[str]) -> None:
    assert cell_list(list_cell(ids)) == tuple(ids)


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ("ch-01; ch-07", ("ch-01", "ch-07")),
        ("Oslo, Bergen", ("Oslo", "Bergen")),
        ("Friends ::: * myContacts", ("Friends", "* myContacts")),
        ("a;;a; b", ("a", "b")),
        ("", ()),
    ],
)
def test_lists_are_read_as_people_and_programs_write_them(cell: str, items: tuple[str, ...]) -> None:
    assert cell_list(cell) == items

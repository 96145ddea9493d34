from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.names import full_name, split_name


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Ingrid Solberg", "Ingrid", "Solberg"),
        ("Ingrid Marie Solberg", "Ingrid Marie", "Solberg"),
        ("Solberg, Ingrid Marie", "Ingrid Marie", "Solberg"),
        ("Ludwig van Beethoven", "Ludwig", "van Beethoven"),
        ("Anna van der Berg", "Anna", "van der Berg"),
        ("Dick Van Dyke", "Dick", "Van Dyke"),
        ("Van Morrison", "Van", "Morrison"),
        ("Maria da Silva", "Maria", "da Silva"),
        ("Al Pacino", "Al", "Pacino"),
        ("Bo Le Nguyen", "Bo Le", "Nguyen"),
        ("Martin King Jr.", "Martin", "King Jr."),
        ("Martin King, Jr.", "Martin", "King, Jr."),
        ("Cher", "Cher", None),
        ("  ", None, None),
        (" Ola   Nordmann ", "Ola", "Nordmann"),
        (", Ola", ",", "Ola"),
        ("Jr.", "Jr.", None),
        ("van", "van", None),
    ],
)
def test_a_whole_name_is_split_in_two(name: str, first: str | None, last: str | None) -> None:
    assert split_name(name) == (first, last)


@given(st.text(st.sampled_from(" ,.abcÅ") | st.characters()))
def test_no_word_of_a_name_is_lost(name: str) -> None:
    words = full_name(*split_name(name)).split()
    assert sorted(" ".join(words).replace(",", " ").split()) == sorted(name.replace(",", " ").split())
    if "," not in name:
        assert words == name.split()

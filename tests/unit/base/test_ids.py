from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base import ids
from headwater.base.ids import MAX_ID_LENGTH, contact_id, is_acceptable, random_id, random_ids, sync_id

AMBIGUOUS = set("ilou")


@pytest.mark.parametrize("length", [1, 12, 16, 20, 64])
def test_a_random_id_is_its_prefix_and_as_many_characters_as_asked(length: int) -> None:
    prefix, _, random_part = random_id("fil", length).partition("_")
    assert prefix == "fil"
    assert len(random_part) == length


def test_no_character_of_a_random_id_can_be_mistaken_for_another() -> None:
    letters = {char for _ in range(200) for char in random_id("x").partition("_")[2]}
    assert not letters & AMBIGUOUS
    assert len(letters) == 32


def test_random_ids_do_not_repeat() -> None:
    assert len({random_id("x") for _ in range(1000)}) == 1000


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_many_ids_are_distinct_and_grow(count: int) -> None:
    made = random_ids("nod", count)
    assert len(made) == count
    assert made == sorted(set(made))


def test_many_ids_share_their_first_twelve_characters_and_differ_from_the_next_batch() -> None:
    first, second = random_ids("nod", 50), random_ids("nod", 50)
    heads = [{id[: len("nod_") + 12] for id in made} for made in (first, second)]
    assert [len(head) for head in heads] == [1, 1]
    assert heads[0] != heads[1]


def test_many_ids_have_the_form_of_single_ones() -> None:
    single, many = random_id("nod"), random_ids("nod", 20)
    assert {len(id) for id in many} == {len(single)}
    assert all(is_acceptable(id) for id in many)


def test_a_number_that_is_drawn_twice_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([[7, 7, 9], [9], [11]])
    monkeypatch.setattr(ids, "_random_40_bits", lambda _count: next(drawn))
    made = random_ids("nod", 3)
    assert len(set(made)) == 3
    assert next(drawn, None) is None


@pytest.mark.parametrize(
    ("number", "id"), [(0, "c-00000"), (209, "c-00209"), (99_999, "c-99999"), (100_000, "c-100000")]
)
def test_a_contact_id_has_at_least_five_digits(number: int, id: str) -> None:
    assert contact_id(number) == id


@pytest.mark.parametrize(
    ("number", "id"), [(1, "sync_00000001"), (99_999_999, "sync_99999999"), (100_000_000, "sync_100000000")]
)
def test_a_sync_id_has_at_least_eight_digits(number: int, id: str) -> None:
    assert sync_id(number) == id


@pytest.mark.parametrize("text", ["a", "c-00209", "Bjørn Ås", "a" * MAX_ID_LENGTH, "日本", "a/b?c", "😀"])
def test_an_id_of_printable_characters_is_accepted(text: str) -> None:
    assert is_acceptable(text)


@pytest.mark.parametrize(
    "text", ["", "a" * (MAX_ID_LENGTH + 1), "a\nb", "a\x00", "\x7f", "\u200b", "\ud800", "a\u2028b", "\u00a0"]
)
def test_an_id_that_is_empty_too_long_or_not_printable_is_refused(text: str) -> None:
    assert not is_acceptable(text)


@given(st.text(max_size=200))
def test_an_accepted_id_can_be_sent_as_utf_8(text: str) -> None:
    if is_acceptable(text):
        assert text.encode().decode() == text
        assert 1 <= len(text) <= MAX_ID_LENGTH
    else:
        assert not text or len(text) > MAX_ID_LENGTH or not text.isprintable()

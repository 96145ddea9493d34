from __future__ import annotations

import tracemalloc
import uuid

from hypothesis import given
from hypothesis import strategies as st

from headwater.base.ids import is_acceptable
from headwater.contracts.contacts.interchange.keys import SeenKeys, derived_key, replaced_key


def test_a_derived_key_never_changes() -> None:
    assert derived_key(name="Ingrid Solberg", email="ingrid@example.no") == "35651f43-e2d5-5755-9cbb-0b3ae8b71d66"
    assert uuid.UUID(derived_key(name="")).version == 5


def test_the_same_person_written_otherwise_gets_the_same_key() -> None:
    assert derived_key(name="Åse  DAHL", email="A@x.no") == derived_key(name="åse dahl", email="a@x.no", phone="1")
    assert derived_key(name="Åse", phone="+47 906-78") == derived_key(name="Åse", phone="+479 06 78")


def test_two_people_of_one_name_get_two_keys() -> None:
    keys = [
        derived_key(name="Kari Hansen"),
        derived_key(name="Kari Hansen", email="kari@example.no"),
        derived_key(name="Kari Hansen", phone="90678901"),
        derived_key(name="Kari Hansen", date_of_birth="1988-04-21"),
        derived_key(name="Kari Hansen", address="Storgata 12"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_phone_without_digits_does_not_decide_the_key() -> None:
    assert derived_key(name="Kari", phone="none", date_of_birth="1988-04-21") == derived_key(
        name="Kari", date_of_birth="1988-04-21"
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_replaced_key_is_an_acceptable_id(key: str) -> None:
    assert is_acceptable(replaced_key(key))
    assert replaced_key(key) == replaced_key(key) != replaced_key(key + "x")


@given(st.lists(st.text(max_size=2), max_size=300))
def test_repeated_keys_name_the_row_before(keys: list[str]) -> None:
    seen, expected = SeenKeys(), dict[str, int]()
    for row, key in enumerate(keys, start=2):
        assert seen.put(key, row) == expected.get(key)
        expected[key] = row


def test_many_keys_are_told_apart_in_a_small_table() -> None:
    tracemalloc.start()
    seen = SeenKeys()
    assert all(seen.put(f"key-{number}", number) is None for number in range(20_000))
    taken_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert all(seen.put(f"key-{number}", 0) == number for number in range(0, 20_000, 97))
    assert taken_bytes < 500_000

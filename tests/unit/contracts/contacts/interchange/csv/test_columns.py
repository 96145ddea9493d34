from __future__ import annotations

import re

import pytest

from headwater.base.errors import Malformed
from headwater.contracts.contacts.interchange.csv.columns import Slot, columns_of, plain_header, slot_of
from headwater.contracts.contacts.interchange.record import COLUMNS


def field_of(header: str) -> str | None:
    slot = slot_of(header)
    if slot is None:
        return None
    return f"{slot.field}.{slot.part}" if slot.part else slot.field


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("first_name", "first_name"),
        ("First Name", "first_name"),
        ("Given Name", "first_name"),
        ("Fornavn", "first_name"),
        ("Additional Name", "middle_name"),
        ("ETTERNAVN", "last_name"),
        ("Fullt navn", "name"),
        ("E-post", "email"),
        ("E-mail Address", "email"),
        ("E-mail 2 Address", "email"),
        ("E-mail 1 - Value", "email"),
        ("Tlf.", "phone"),
        ("Mobil", "phone"),
        ("Phone 2 - Value", "phone"),
        ("Business Phone", "phone"),
        ("Fødselsdato", "date_of_birth"),
        ("Birthday", "date_of_birth"),
        ("address", "address.whole"),
        ("Adresse", "address.whole"),
        ("Postnr.", "address.postal_code"),
        ("Poststed", "address.city"),
        ("Home Street 2", "address.street2"),
        ("Business Country/Region", "address.country"),
        ("Address 1 - Formatted", "address.whole"),
        ("Address 2 - Postal Code", "address.postal_code"),
        ("Home Address PO Box", "address.pobox"),
        ("Lokallag", "chapter_ids"),
        ("Group Membership", "chapter_ids"),
        ("Notes", "extra.NOTE"),
        ("Organization 1 - Name", "extra.ORG"),
        ("E-mail 1 - Type", None),
        ("Phone 1 - Label", None),
        ("Address 1 - Label", None),
        ("Shoe size", None),
        ("rejected_because", None),
        ("", None),
    ],
)
def test_headers_are_known_by_their_many_names(header: str, field: str | None) -> None:
    assert field_of(header) == field


def test_a_header_is_compared_without_case_accents_and_marks() -> None:
    assert plain_header(" E-mail 1 - Vâlue ") == "email1value"


def test_our_own_columns_are_all_known() -> None:
    columns = columns_of(COLUMNS)
    assert columns.unused == ()
    assert set(columns.by_field) == set(COLUMNS) - {"uid"}
    assert columns.key == 0


def test_columns_of_one_field_are_used_in_the_order_of_their_rank() -> None:
    columns = columns_of(["Home Phone", "Mobil", "Telefon"])
    assert [place for place, _ in columns.of("phone")] == [2, 1, 0]


def test_columns_that_say_nothing_are_named() -> None:
    unused = columns_of(["Navn", "Shoe size", ""]).unused
    assert [(each.place, each.header, each.reason) for each in unused] == [
        (1, "Shoe size", "unknown"),
        (2, "", "unknown"),
    ]


def test_a_header_that_repeats_an_earlier_one_is_not_read() -> None:
    columns = columns_of(["Last Name", "First Name", "E-mail", "last name", "Email", "Zip", "Postnr"])
    assert [(each.place, each.reason) for each in columns.unused] == [(3, "repeated"), (4, "repeated"), (6, "repeated")]
    assert columns.of("last_name") == ((0, Slot("last_name")),)


def test_a_second_key_column_is_named_as_not_read() -> None:
    assert [each.header for each in columns_of(["uid", "External id", "name"]).unused] == ["External id"]
    assert [each.header for each in columns_of(["uid", "name", "no"], key_column="no").unused] == ["uid"]


@pytest.mark.parametrize("header", ["Medlemsnr", "Medlemsnummer", "Member no", "Membership ID", "External Identifier"])
def test_a_column_that_looks_like_a_member_number_is_pointed_out(header: str) -> None:
    assert columns_of(["name", header]).key_like() == header
    assert columns_of(["name", header, "uid"]).key_like() is None
    assert columns_of(["name", header], key_column=header).key_like() is None


def test_a_file_tells_apart_the_day_of_birth_and_the_date() -> None:
    assert columns_of(["name", "Birth Day"]).of("date_of_birth") != ()
    columns = columns_of(["name", "Birth Year", "Birth Month", "Birth Day"])
    assert [(place, slot.part) for place, slot in columns.of("birth")] == [(1, "year"), (2, "month"), (3, "day")]


def test_the_columns_that_are_read_are_named_with_their_fields() -> None:
    used = columns_of(["Medlemsnr", "Navn", "Skonr", "Postnr"], key_column="medlemsnr").used()
    assert used == {"Medlemsnr": "uid", "Navn": "name", "Postnr": "address.postal_code"}


def test_the_key_column_is_found_however_it_is_written() -> None:
    columns = columns_of(["Navn", "Medlemsnr."], key_column="medlemsnr")
    assert columns.key == 1
    assert columns.unused == ()


def test_a_uid_column_goes_before_an_id_column() -> None:
    assert columns_of(["id", "uid", "name"]).key == 1


def test_a_named_column_goes_where_it_is_told() -> None:
    columns = columns_of(["Who", "Where", "Phone"], named={"who": "name", "Where": "address", "Phone": "email"})
    assert columns.of("name") == ((0, Slot("name", -1)),)
    assert columns.of("address") == ((1, Slot("address", 0, "", "whole")),)
    assert columns.of("email") == ((2, Slot("email", -1)),)
    assert columns.of("phone") == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"header": ["a", "b"]}, "no column of the first row is known"),
        ({"header": ["name"], "key_column": "Medlemsnr"}, "no column 'Medlemsnr'"),
        ({"header": ["name"], "named": {"x": "email"}}, "no column 'x'"),
        ({"header": ["name"], "named": {"name": "shoe size"}}, "no field 'shoe size'"),
        ({"header": [str(number) for number in range(99)]}, "'19', ..."),
    ],
)
def test_a_file_whose_columns_cannot_be_used_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(Malformed, match=re.escape(said)):
        columns_of(**arguments)  # type: ignore[arg-type]

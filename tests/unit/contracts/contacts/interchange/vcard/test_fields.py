from __future__ import annotations

import msgspec
import pytest

from headwater.contracts.contacts.interchange.content_lines import ContentLine, read_line
from headwater.contracts.contacts.interchange.record import ContactRow
from headwater.contracts.contacts.interchange.vcard.fields import (
    KEPT_FIELDS,
    lines_to_keep,
    lines_to_write,
    preferred,
    read_address,
    read_birthday,
    read_email,
    read_names,
    read_phone,
)

NAMES, EMAIL, PHONE, ADDRESS, BIRTHDAY = KEPT_FIELDS


def lines(*texts: str) -> dict[str, list[ContentLine]]:
    found: dict[str, list[ContentLine]] = {}
    for line in map(read_line, texts):
        found.setdefault(line.name, []).append(line)
    return found


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        (["EMAIL:a", "EMAIL:b"], "a"),
        (["EMAIL:", "EMAIL:b"], "b"),
        (["EMAIL:a", "EMAIL;TYPE=home,PREF:b"], "b"),
        (["EMAIL;PREF=9:a", "EMAIL;PREF=2:b", "EMAIL:c"], "b"),
        (["EMAIL;PREF=no:a", "EMAIL;PREF=9999:b", "EMAIL;PREF=100:c"], "c"),
    ],
)
def test_the_preferred_line_is_chosen(texts: list[str], chosen: str) -> None:
    line = preferred(lines(*texts)["EMAIL"])
    assert line is not None
    assert line.value == chosen


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["N:Solberg;Ingrid;;;"], ("Ingrid", "Solberg")),
        (["N:Solberg;Ingrid;Marie,Anne;Dr.;"], ("Ingrid Marie Anne", "Solberg")),
        (["N:;;Marie;;"], ("Marie", None)),
        (["N:Solberg"], (None, "Solberg")),
        (["N:;;;;", "FN:Ingrid Solberg"], ("Ingrid", "Solberg")),
        (["N:;;;Dr.;", "FN:Ingrid Solberg"], ("Ingrid", "Solberg")),
        (["FN:Ludwig van Beethoven"], ("Ludwig", "van Beethoven")),
        (["N:Sol\\;berg\\,\\nx;Ing\\\\rid;;;"], ("Ing\\rid", "Sol;berg,\nx")),
        (["NOTE:x"], (None, None)),
    ],
)
def test_names_come_from_n_and_else_from_fn(texts: list[str], names: tuple[str | None, ...]) -> None:
    assert read_names(lines(*texts)) == names


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ADR:;;Storgata 12;Oslo;;0155;Norge", "Storgata 12, 0155 Oslo, Norge"),
        ("ADR:;;Storgata 12,Leil. 3;Oslo;;0155;", "Storgata 12, Leil. 3, 0155 Oslo"),
        ("ADR:PB 1;c/o Dahl;Storgata 12;Oslo;Viken;;", "PB 1, Storgata 12, c/o Dahl, Oslo, Viken"),
        ("ADR:;;Storgata 12\\, 0155 Oslo;;;;", "Storgata 12, 0155 Oslo"),
        ("ADR:Storgata 12", "Storgata 12"),
        ("ADR:;;;;;;", None),
    ],
)
def test_a_structured_address_becomes_one_text(text: str, address: str | None) -> None:
    assert read_address(lines(text)) == (address,)


def test_the_first_sound_address_is_the_email() -> None:
    assert read_email(lines("EMAIL:none", "EMAIL;PREF=1:bad@", "EMAIL: mailto:a@b.no")) == ("a@b.no",)
    assert read_email(lines("EMAIL:none")) == (None,)


def test_a_phone_uri_gives_its_number() -> None:
    assert read_phone(lines("TEL;VALUE=uri:tel:+47-90678901;ext=5")) == ("+47-90678901",)
    assert read_phone(lines("TEL:tel:1")) == ("tel:1",)


def test_only_a_whole_birthday_is_a_date() -> None:
    assert read_birthday(lines("BDAY:1988-04-21T00:00:00Z")) == ("1988-04-21",)
    assert read_birthday(lines("BDAY:--0421")) == (None,)


@pytest.mark.parametrize(
    ("texts", "contact"),
    [
        (["EMAIL:a@b.no"], ContactRow(email="a@b.no")),
        (["EMAIL;TYPE=INTERNET,pref:a@b.no"], ContactRow(email="a@b.no")),
        (["BDAY:1988-04-21"], ContactRow(date_of_birth="1988-04-21")),
        (["BDAY;VALUE=date:1988-04-21"], ContactRow(date_of_birth="1988-04-21")),
        (["FN:Ola Dahl"], ContactRow(first_name="Ola", last_name="Dahl")),
        (["N:Dahl;Ola", "FN:Ola Dahl"], ContactRow(first_name="Ola", last_name="Dahl")),
        (["ADR:;;Gate 1"], ContactRow(address="Gate 1")),
    ],
)
def test_lines_that_say_no_more_than_their_field_are_not_kept(texts: list[str], contact: ContactRow) -> None:
    assert [lines_to_keep(field, contact, lines(*texts)) for field in KEPT_FIELDS] == [{}] * len(KEPT_FIELDS)


@pytest.mark.parametrize(
    ("texts", "contact"),
    [
        (["EMAIL;TYPE=home:a@b.no"], ContactRow(email="a@b.no")),
        (["item1.EMAIL:a@b.no"], ContactRow(email="a@b.no")),
        (["EMAIL:a@b.no", "EMAIL:c@d.no"], ContactRow(email="a@b.no")),
        (["EMAIL:bad"], ContactRow()),
        (["BDAY:--0421"], ContactRow()),
        (["FN:Dr. Dahl", "N:Dahl;Ola;;Dr.;"], ContactRow(first_name="Ola", last_name="Dahl")),
        (["ADR:;;Gate 1;Oslo;;;"], ContactRow(address="Gate 1, Oslo")),
        (["TEL;VALUE=uri:tel:+47"], ContactRow(phone="+47")),
    ],
)
def test_lines_that_say_more_are_kept_and_written_again(texts: list[str], contact: ContactRow) -> None:
    [(field, kept)] = [(f, found) for f in KEPT_FIELDS if (found := lines_to_keep(f, contact, lines(*texts)))]
    assert [text for found in kept.values() for text in found] == texts
    assert lines_to_write(field, msgspec.structs.replace(contact, extra=kept)) == texts


def test_a_changed_field_replaces_the_line_that_it_came_from_and_leaves_the_others() -> None:
    extra = {"EMAIL": ["EMAIL;TYPE=home:a@b.no", "EMAIL;TYPE=work:c@d.no"]}
    changed = ContactRow(email="new@b.no", extra=extra)
    assert lines_to_write(EMAIL, changed) == ["EMAIL:new@b.no", "EMAIL;TYPE=work:c@d.no"]


def test_a_changed_field_stays_the_preferred_one() -> None:
    extra = {"TEL": ["TEL;PREF=1:1", "TEL;PREF=2:2"]}
    written = lines_to_write(PHONE, ContactRow(phone="3", extra=extra))
    assert written == ["TEL;PREF=1:3", "TEL;PREF=2:2"]
    assert read_phone(lines(*written)) == ("3",)


def test_a_changed_name_drops_the_old_one_whole() -> None:
    extra = {"FN": ["FN:Dr. Ola Dahl"], "N": ["N:Dahl;Ola;;Dr.;"]}
    changed = ContactRow(first_name="Ola", last_name="Berg", extra=extra)
    assert lines_to_write(NAMES, changed) == ["FN:Ola Berg", "N:Berg;Ola;;;"]


def test_a_birthday_that_became_whole_replaces_the_partial_one() -> None:
    extra = {"BDAY": ["BDAY:--0421"]}
    assert lines_to_write(BIRTHDAY, ContactRow(extra=extra)) == ["BDAY:--0421"]
    assert lines_to_write(BIRTHDAY, ContactRow(date_of_birth="1988-04-21", extra=extra)) == ["BDAY:19880421"]


def test_kept_lines_that_cannot_be_read_are_not_written() -> None:
    assert lines_to_write(ADDRESS, ContactRow(address="Gate 1", extra={"ADR": ["no line"]})) == ["ADR:;;Gate 1;;;;"]


def test_a_card_without_a_name_shows_what_there_is() -> None:
    assert lines_to_write(NAMES, ContactRow(email="a@b.no")) == ["FN:a@b.no", "N:;;;;"]

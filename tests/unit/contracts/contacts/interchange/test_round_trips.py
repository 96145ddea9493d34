from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.csv.format import read_csv, write_csv
from headwater.contracts.contacts.interchange.jsonl import read_jsonl, write_jsonl
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed
from headwater.contracts.contacts.interchange.vcard.format import read_vcard, write_vcard
from tests.unit.contracts.contacts.interchange.strategies import CONTACTS

Read = Callable[[BinaryIO], Iterable[Parsed]]
Write = Callable[[BinaryIO, Iterable[ContactRow]], int]

FORMATS = pytest.mark.parametrize(
    ("read", "write"), [(read_csv, write_csv), (read_vcard, write_vcard), (read_jsonl, write_jsonl)]
)
FEW = st.lists(CONTACTS, min_size=1, max_size=2, unique_by=lambda contact: contact.uid)


def through(contacts: Sequence[ContactRow], read: Read, write: Write) -> list[Parsed]:
    stream = io.BytesIO()
    assert write(stream, contacts) == len(contacts)
    return list(read(io.BytesIO(stream.getvalue())))


@FORMATS
@given(contacts=FEW)
def test_any_contact_comes_back_as_it_was(read: Read, write: Write, contacts: list[ContactRow]) -> None:
    back = through(contacts, read, write)
    assert [parsed.contact for parsed in back] == contacts
    assert [parsed.uid for parsed in back] == [contact.uid for contact in contacts]
    assert all(parsed.accepted for parsed in back)


@FORMATS
def test_a_contact_without_a_key_is_keyed_by_its_id(read: Read, write: Write) -> None:
    [parsed] = through([ContactRow(contact_id="c-00123", first_name="Ingrid")], read, write)
    assert parsed.uid == parsed.contact.contact_id == "c-00123"


@FORMATS
def test_no_contacts_make_a_file_without_rows(read: Read, write: Write) -> None:
    stream = io.BytesIO()
    assert write(stream, []) == 0
    if read is not read_vcard:
        assert list(read(io.BytesIO(stream.getvalue() or b"\n"))) == []


@given(contacts=FEW, delimiter=st.sampled_from(",;\t|"), mark=st.booleans())
def test_csv_comes_back_under_every_delimiter(contacts: list[ContactRow], delimiter: str, mark: bool) -> None:
    stream = io.BytesIO()
    write_csv(stream, contacts, delimiter=delimiter, byte_order_mark=mark)
    rows = read_csv(io.BytesIO(stream.getvalue()))
    assert [parsed.contact for parsed in rows] == contacts
    assert rows.delimiter == delimiter


@given(contacts=FEW)
def test_a_card_is_utf_8_in_folded_crlf_lines_of_at_most_75_bytes(contacts: list[ContactRow]) -> None:
    stream = io.BytesIO()
    write_vcard(stream, contacts)
    text = stream.getvalue()
    assert text.endswith(b"\r\n")
    for line in text.split(b"\r\n"):
        assert len(line) <= 75
        assert b"\n" not in line
        assert b"\r" not in line
        line.decode()


NAMES = st.sampled_from(
    ["TEL", "EMAIL", "ADR", "BDAY", "NOTE", "ORG", "NICKNAME", "IMPP", "X-ABLabel", "X-Custom", "PHOTO", "URL", "GEO"]
)
GROUPS = st.sampled_from(["", "", "item1.", "item2.", "Home."])
PARAMETERS = st.lists(
    st.sampled_from(
        ["TYPE=home", "TYPE=WORK,VOICE", "type=pref", "TYPE=fax", "PREF=1", "X-P=1", 'LABEL="a;b:c, d"', "LANGUAGE=nb"]
    ),
    max_size=3,
)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=60) | st.sampled_from(
    ["+47 906 78 901", "ola@example.no", ";;Storgata 1;Oslo;;0155;Norge", "1988-04-21", "1604-04-21", "--0421", "a\\,b"]
)
PROPERTY = st.builds(
    lambda group, name, parameters, value: f"{group}{';'.join([name, *parameters])}:{value}",
    GROUPS, NAMES, PARAMETERS, VALUES,
)  # fmt: skip


def unfolded(contacts: Iterable[ContactRow]) -> list[str]:
    """The lines of these contacts as cards."""
    stream = io.BytesIO()
    write_vcard(stream, contacts)
    return stream.getvalue().decode().replace("\r\n ", "").split("\r\n")


@given(lines=st.lists(PROPERTY, max_size=6), version=st.sampled_from(["3.0", "4.0"]))
def test_every_property_of_a_card_comes_out_as_it_came_in(lines: list[str], version: str) -> None:
    head = ["BEGIN:VCARD", f"VERSION:{version}", "UID:k", "N:Dahl;Ola;;;", "FN:Ola Dahl"]
    text = "\r\n".join([*head, *lines, "END:VCARD", ""]).encode()
    [row] = read_vcard(io.BytesIO(text))
    assert row.accepted
    written = unfolded([row.contact])
    for line in lines:
        name, value = name_and_value(line)
        if value.strip(" ;") and not (name == "BDAY" and "1604" in value) and name not in PLAIN:
            assert line in written
    for name in PLAIN:
        count = sum(is_full(line, name) for line in lines)
        assert sum(is_full(line, name) for line in written) == count


PLAIN = ("TEL", "EMAIL", "ADR", "BDAY")
"""The properties that a field reads: a line that says no more than the field is written plainly."""


def name_and_value(line: str) -> tuple[str, str]:
    """The property of a line, without its group, and its value."""
    head, _, value = line.replace("a;b:c, d", "").partition(":")
    return head.partition(";")[0].rpartition(".")[2], value


def is_full(line: str, name: str) -> bool:
    """True for a line of this property that holds anything."""
    found, value = name_and_value(line)
    return found == name and value.strip(" ;") != ""


@FORMATS
@given(lines=st.lists(PROPERTY, max_size=6))
def test_a_card_is_stable_through_every_format(read: Read, write: Write, lines: list[str]) -> None:
    text = "\r\n".join(["BEGIN:VCARD", "VERSION:4.0", "UID:k", "N:Dahl;Ola;;;", "FN:Ola Dahl", *lines, "END:VCARD", ""])
    [row] = read_vcard(io.BytesIO(text.encode()))
    [once] = through([row.contact], read, write)
    [twice] = through([once.contact], read, write)
    assert once.accepted
    assert once.contact == twice.contact
    assert unfolded([row.contact]) == unfolded([once.contact]) == unfolded([twice.contact])


HEADERS = st.sampled_from(
    [
        *("Fornavn", "Etternavn", "E-post", "Telefon", "Mobil", "Fax Number", "Adresse", "Postnr", "Poststed", "Notes"),
        *("Fødselsdato", "Company", "Nickname", "Lokallag", "Name Prefix", "Shoe size", "Birth Year", "Birth Month"),
    ]
)
CELLS = st.sampled_from(
    ["", "Ola", "Oslo", "0155", "ola@example.no", "bad@", "906", "12/24", "1604-04-21", "1988-04-21"]
)


@FORMATS
@given(data=st.data(), headers=st.lists(HEADERS, min_size=1, max_size=8))
def test_a_row_of_any_columns_is_stable_through_every_format(
    read: Read, write: Write, data: st.DataObject, headers: list[str]
) -> None:
    cells = [data.draw(CELLS) for _ in headers]
    text = f"uid;{';'.join(headers)}\nk;{';'.join(cells)}\n"
    rows = list(read_csv(io.BytesIO(text.encode()))) if any(header != "Shoe size" for header in headers) else []
    for row in rows:
        if row.accepted:
            named = row if row.contact.first_name else msgspec.structs.replace(row, contact=NAMED)
            [once] = through([named.contact], read, write)
            [twice] = through([once.contact], read, write)
            assert once.contact == twice.contact
            assert unfolded([named.contact]) == unfolded([once.contact])


NAMED = ContactRow(uid="k", first_name="Ola")

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

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

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Malformed
from headwater.contracts.contacts.interchange.csv.format import CsvRows, read_csv, write_csv
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed

GOOGLE = """\
Name,Given Name,Additional Name,Family Name,Birthday,Notes,Group Membership,E-mail 1 - Type,E-mail 1 - Value,\
E-mail 2 - Value,Phone 1 - Type,Phone 1 - Value,Address 1 - Formatted,Address 1 - Street,Address 1 - City,\
Address 1 - Postal Code,Address 1 - Country,Organization 1 - Name
Ingrid Solberg,Ingrid,Marie,Solberg,1988-04-21,"Hei
du",Oslo ::: * myContacts,* Home,ingrid@example.no ::: i@x.test,alt@example.no,Mobile,+47 912 34 567,"Storgata 12
0155 Oslo",Storgata 12,Oslo,0155,Norway,Acme
Ludwig van Beethoven,,,, --12-17,,,,,,,,,,,,,
"""
OUTLOOK = """\
Title,First Name,Middle Name,Last Name,Suffix,Company,Home Street,Home City,Home Postal Code,Home Country/Region,\
Business Street,Business City,Home Phone,Mobile Phone,E-mail Address,E-mail 2 Address,Birthday,Categories
Dr.,Kari,,Nordmann,Jr.,Acme,Gate 1,Bergen,5003,Norway,Vei 2,Oslo,55 55 55 55,+47 900 00 000,kari@example.no,\
k2@example.no,4/21/1988,A;B
"""
NORWEGIAN = """\
Medlemsnr;Fornavn;Etternavn;E-post;Mobil;Fødselsdato;Gateadresse;Postnr;Poststed;Lokallag\r
17;Bjørn;Dahl;bjorn.dahl@example.no;906 78 901;25.7.1982;Rosenkrantz gate 3;0159;Oslo;Oslo Sentrum, Grünerløkka\r
;;;;;;;;;\r
;Åse;;;;;;;;\r
"""


def rows_of(text: str, encoding: str = "utf-8", **options: Any) -> CsvRows:
    return read_csv(io.BytesIO(text.encode(encoding)), **options)


def parsed(text: str, **options: Any) -> list[Parsed]:
    return list(rows_of(text, **options))


def codes(row: Parsed) -> list[str]:
    return [problem.code for problem in row.problems]


def test_an_export_of_google_contacts_is_read() -> None:
    ingrid, ludwig = parsed(GOOGLE)
    assert ingrid.accepted
    assert ingrid.contact == ContactRow(
        uid=ingrid.uid,
        first_name="Ingrid Marie",
        last_name="Solberg",
        email="ingrid@example.no",
        phone="+47 912 34 567",
        address="Storgata 12\n0155 Oslo, Norway",
        date_of_birth="1988-04-21",
        chapter_ids=("Oslo",),
        extra={
            "EMAIL": ["EMAIL:ingrid@example.no", "EMAIL:i@x.test", "EMAIL:alt@example.no"],
            "NOTE": ["NOTE:Hei\\ndu"],
            "ORG": ["ORG:Acme"],
        },
    )
    assert (ludwig.contact.first_name, ludwig.contact.last_name) == ("Ludwig", "van Beethoven")
    assert codes(ludwig) == ["date_partial"]
    assert ludwig.contact.extra == {"BDAY": ["BDAY:--1217"]}


def test_an_export_of_outlook_is_read() -> None:
    [kari] = parsed(OUTLOOK)
    assert kari.problems == ()
    contact = kari.contact
    assert (contact.first_name, contact.last_name, contact.email) == ("Kari", "Nordmann", "kari@example.no")
    assert (contact.phone, contact.date_of_birth) == ("+47 900 00 000", "1988-04-21")
    assert contact.address == "Gate 1, 5003 Bergen, Norway"
    assert contact.chapter_ids == ("A", "B")
    assert contact.extra == {
        "N": ["N:Nordmann;Kari;;Dr.;Jr."],
        "FN": ["FN:Kari Nordmann"],
        "EMAIL": ["EMAIL:kari@example.no", "EMAIL:k2@example.no"],
        "TEL": ["TEL;TYPE=cell:+47 900 00 000", "TEL;TYPE=home:55 55 55 55"],
        "ADR": ["ADR;TYPE=home:;;Gate 1\\, 5003 Bergen\\, Norway;;;;", "ADR;TYPE=work:;;Vei 2\\, Oslo;;;;"],
        "ORG": ["ORG:Acme"],
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_norwegian_member_list_is_read_in_every_encoding(encoding: str) -> None:
    rows = rows_of(NORWEGIAN, encoding, key_column="medlemsnr")
    bjorn, ase = rows
    assert rows.delimiter == ";"
    assert (rows.guessed_lines > 0) == (encoding == "cp1252")
    assert (rows.encoding == encoding) != (encoding == "cp1252")
    assert bjorn.accepted
    assert (bjorn.row_number, bjorn.uid) == (2, "17")
    assert bjorn.contact == ContactRow(
        uid="17",
        first_name="Bjørn",
        last_name="Dahl",
        email="bjorn.dahl@example.no",
        phone="906 78 901",
        address="Rosenkrantz gate 3, 0159 Oslo",
        date_of_birth="1982-07-25",
        chapter_ids=("Oslo Sentrum", "Grünerløkka"),
    )
    assert not ase.accepted
    assert (ase.row_number, ase.contact.first_name) == (4, "Åse")
    assert codes(ase) == ["encoding_guessed"] * (encoding == "cp1252") + ["key_missing"]


def test_the_delimiter_line_of_excel_is_obeyed() -> None:
    rows = rows_of("sep=;\r\nname;e,mail;phone\r\nOla Dahl;x;1\r\n")
    assert rows.delimiter == ";"
    assert next(iter(rows)).contact.last_name == "Dahl"


def test_a_second_reading_gives_the_same_keys() -> None:
    text = "name,email\nOla Dahl,ola@example.no\nKari Dahl,\n"
    assert [row.uid for row in parsed(text)] == [row.uid for row in parsed(text)]


def test_the_same_person_gets_the_same_key_from_every_format_of_name() -> None:
    [whole] = parsed("name,email\nOla Dahl,ola@example.no\n")
    [split] = parsed("last_name,first_name,e-mail\nDahl,Ola,Ola@example.no\n")
    assert whole.uid == split.uid


def test_a_repeated_key_is_reported_and_the_last_row_wins() -> None:
    first, second, other = parsed("uid,name\na,Ola\na,Kari\nb,Per\n")
    assert codes(first) == codes(other) == []
    assert second.accepted
    assert codes(second) == ["key_repeated"]
    assert "row 2" in second.problems[0].detail


def test_a_refused_row_does_not_count_as_the_first_of_its_key() -> None:
    bad, good = parsed("uid,name,email\na,,ola@example.no\na,Ola,ola@example.no\n")
    assert codes(bad) == ["name_missing"]
    assert codes(good) == []


def test_a_key_that_is_no_acceptable_id_is_replaced_by_a_steady_one() -> None:
    text = f"uid,name\n{'x' * 129},Ola\n"
    [row], [again] = parsed(text), parsed(text)
    assert row.accepted
    assert codes(row) == ["key_replaced"]
    assert row.uid == row.contact.uid == again.uid


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        (",ola@example.no,,", "name", "name_missing"),
        ("Ola,,,,surplus", "", "cells_too_many"),
        (f"{'O' * 201},,,", "first_name", "too_long"),
        ('"Ola,,,', "", "quote_unclosed"),
    ],
)
def test_a_bad_row_says_where_and_why_and_what_it_was(row: str, field: str, code: str) -> None:
    bad, good = parsed(f"name,email,born,phone\n{row}\nKari,kari@example.no,,\n")
    assert not bad.accepted
    assert [(problem.field, problem.code) for problem in bad.problems] == [(field, code)]
    assert " " in bad.problems[0].detail
    assert ",".join(bad.raw) == row
    assert good.accepted


def test_all_that_is_wrong_with_a_row_is_told_at_once() -> None:
    [row] = parsed("name,email,born\n,bad,1.1\n")
    assert sorted(codes(row)) == ["date_partial", "email_invalid", "name_missing"]


@pytest.mark.parametrize(
    ("row", "field", "code", "kept"),
    [
        ("Ola,ola@,,,", "email", "email_invalid", {"EMAIL": ["EMAIL:ola@"]}),
        ("Ola,,31.02.1990,,", "date_of_birth", "date_invalid", {"BDAY": ["BDAY;VALUE=text:31.02.1990"]}),
        ("Ola,,04/05/1990,,", "date_of_birth", "date_ambiguous", {"BDAY": ["BDAY;VALUE=text:04/05/1990"]}),
        ("Ola,,12/24,,", "date_of_birth", "date_partial", {"BDAY": ["BDAY:--1224"]}),
        ("Ola,,24.12.,,", "date_of_birth", "date_partial", {"BDAY": ["BDAY:--1224"]}),
        ("Ola,,24 Dec,,", "date_of_birth", "date_invalid", {"BDAY": ["BDAY;VALUE=text:24 Dec"]}),
        ("Ola,,ukjent,,", "date_of_birth", "date_invalid", {"BDAY": ["BDAY;VALUE=text:ukjent"]}),
        ("Ola,,1604-04-21,,", "date_of_birth", "date_partial", {"BDAY": ["BDAY:--0421"]}),
        (f"Ola,,,{'1' * 65},", "phone", "too_long", {"TEL": [f"TEL:{'1' * 65}"]}),
        (f"Ola,,,,{'x' * 1001}", "address", "too_long", {"ADR": [f"ADR:;;{'x' * 1001};;;;"]}),
    ],
)
def test_a_doubtful_side_field_costs_itself_and_is_kept_aside(
    row: str, field: str, code: str, kept: dict[str, list[str]]
) -> None:
    [parsed_row] = parsed(f"name,email,born,phone,address\n{row}\n")
    assert parsed_row.accepted
    assert [(problem.field, problem.code) for problem in parsed_row.problems] == [(field, code)]
    assert (getattr(parsed_row.contact, field), parsed_row.contact.extra) == (None, kept)
    assert field not in parsed_row.given
    assert {"first_name", "last_name"} < parsed_row.given


@pytest.mark.parametrize(
    ("header", "row", "address"),
    [
        ("Adresse;Postnr;Poststed", "Rosenkrantz gate 3;0159;Oslo", "Rosenkrantz gate 3, 0159 Oslo"),
        ("Adresse;Postnr;Poststed", "Oslo gate 3;0159;Oslo", "Oslo gate 3, 0159 Oslo"),
        ("Adresse;Poststed", "Oslo gate 3;Oslo", "Oslo gate 3, Oslo"),
        ("Adresse;Postnr;Poststed", "Storgata 1, 0155 Oslo;0155;Oslo", "Storgata 1, 0155 Oslo"),
        ("Adresse;Postnr;Poststed", "Storgata 1 0155 Oslo;0155;OSLO", "Storgata 1 0155 Oslo"),
        ("Adresse;Postnr;Poststed;Land", "Storgata 1, 0155 Oslo;0155;Oslo;Norge", "Storgata 1, 0155 Oslo, Norge"),
        ("Address;Address 2;City;State;Zip", "1 Main St;Apt 4;Troy;NY;12180", "1 Main St, Apt 4, 12180 Troy, NY"),
        ("Adresse;Postnr;Poststed", ";0155;Oslo", "0155 Oslo"),
        ("Adresse;Postnr/sted", "Storgata 1;0155 Oslo", "Storgata 1, 0155 Oslo"),
        ("Adresse;Postnr;Poststed", "Storgata 1;;", "Storgata 1"),
    ],
)
def test_no_column_of_an_address_is_lost_beside_a_whole_one(header: str, row: str, address: str) -> None:
    [parsed_row] = parsed(f"navn;{header}\nOla;{row}\n")
    assert parsed_row.contact.address == address


def test_two_whole_addresses_are_both_kept() -> None:
    [row] = parsed("navn;Adresse;Postadresse\nOla;Storgata 1;Postboks 2\n")
    assert row.contact.address == "Storgata 1"
    assert row.contact.extra == {"ADR": ["ADR:;;Storgata 1;;;;", "ADR:;;Postboks 2;;;;"]}


@pytest.mark.parametrize(
    ("cells", "date", "kept"),
    [
        ("1970,11,15", "1970-11-15", None),
        ("1970,1,5", "1970-01-05", None),
        (",11,15", None, "BDAY:--1115"),
        ("0,11,15", None, "BDAY:--1115"),
        ("1604,11,15", None, "BDAY:--1115"),
        ("1970,,", None, "BDAY:1970"),
        ("1970,11,", None, "BDAY:1970-11"),
        ("1970,Nov,15", None, "BDAY;VALUE=text:15 Nov 1970"),
        ("1970,,1970-11-15", "1970-11-15", None),
        (",,", None, None),
    ],
)
def test_a_birthday_in_three_columns_is_one_date(cells: str, date: str | None, kept: str | None) -> None:
    [row] = parsed(f"name,Birth Year,Birth Month,Birth Day\nLiv,{cells}\n")
    assert row.contact.date_of_birth == date
    assert row.contact.extra.get("BDAY", [None])[0] == kept


def test_a_column_of_the_same_field_whose_text_is_not_used_is_a_warning() -> None:
    same, other = parsed("Fornavn,First name,Display name\nLiv,Liv,Liv\nLiv,Siv,Livve\n")
    assert codes(same) == []
    assert codes(other)[:2] == ["value_unused", "value_unused"]
    assert "'Siv'" in other.problems[0].detail


def test_a_fax_is_not_the_phone_and_is_kept() -> None:
    first, alone = parsed("name,Fax Number,Phone\nOla,22000001,90000001\nKari,22000002,\n")
    assert (first.contact.phone, first.contact.extra["TEL"]) == ("90000001", ["TEL:90000001", "TEL;TYPE=fax:22000001"])
    assert (alone.contact.phone, alone.contact.extra["TEL"]) == (None, ["TEL;TYPE=fax:22000002"])


def test_the_first_sound_email_is_the_contacts_and_all_are_kept() -> None:
    [row] = parsed("name,Email,Secondary Email\nOla,ola@,ola@example.no\n")
    assert row.contact.email == "ola@example.no"
    assert row.contact.extra == {"EMAIL": ["EMAIL:ola@", "EMAIL:ola@example.no"]}
    assert "email" in row.given


def test_a_row_without_a_persons_name_is_named_by_its_organisation_or_nickname() -> None:
    shop, troll, nothing = parsed("name,Company,Nickname,Phone\n,Kafe Hav,,1\n,Kafe Hav,Mummi,2\n,,,3\n")
    assert (shop.contact.first_name, codes(shop)) == ("Kafe Hav", ["named_by_organisation"])
    assert (troll.contact.first_name, codes(troll)) == ("Mummi", ["named_by_nickname"])
    assert not nothing.accepted


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["04/05/1988", "21/04/1988"], "dmy"),
        (["04/05/1988", "04/21/1988"], "mdy"),
        (["04/05/1988", "21.04.1988"], "dmy"),
        (["04/05/1988", "24.12."], "dmy"),
        (["04/05/1988", "04.05.1988", "1988-04-21"], None),
        (["21/04/1988", "04/21/1988"], None),
        (["99/04/1988", "ukjent", ""], None),
    ],
)
def test_the_dates_of_a_file_prove_their_order(dates: list[str], order: str | None) -> None:
    text = "name,born\n" + "".join(f"Ola,{date}\n" for date in dates)
    assert read_csv(io.BytesIO(text.encode())).proven_order() == order


def test_columns_that_are_not_read_are_counted() -> None:
    rows = read_csv(io.BytesIO(b"name,shoe,,name,\nOla,43,x,Per,\nKari,,,,\n"))
    assert [row.contact.first_name for row in rows] == ["Ola", "Kari"]
    assert [(each.name, each.rows, each.reason, each.place) for each in rows.unused] == [
        ("shoe", 1, "unknown", 2), ("column 3", 1, "unknown", 3), ("name", 1, "repeated", 4),
    ]  # fmt: skip


def test_the_order_of_day_and_month_can_be_told() -> None:
    [row] = parsed("name,born\nOla,04/05/1990\n", date_order="mdy")
    assert row.contact.date_of_birth == "1990-04-05"


def test_a_file_speaks_only_about_the_columns_that_it_has() -> None:
    [row] = parsed("uid,phone\na,90678901\n")
    assert row.accepted
    assert row.given == {"phone"}


def test_missing_cells_at_the_end_of_a_row_are_empty() -> None:
    [row] = parsed("name,email,phone\nOla\n")
    assert row.accepted
    assert (row.contact.email, row.contact.phone) == (None, None)
    assert row.given == {"first_name", "last_name", "email", "phone"}


def test_times_that_cannot_be_read_are_left_out_with_a_warning() -> None:
    [row] = parsed("name,created_at,updated_at\nOla,yesterday,2026-03-26T12:25:00+01:00\n")
    assert row.accepted
    assert codes(row) == ["time_invalid"]
    assert (row.contact.created_at, row.contact.updated_at) == (None, "2026-03-26T11:25:00Z")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("nonsense", "extra_invalid"),
        ('{"X-A":["X-A:1\\nEND:VCARD"]}', "extra_invalid"),
        ('{"END":["END:VCARD"]}', "extra_invalid"),
        ('{"X-A":["X-B:1"]}', "extra_invalid"),
        ('{"X-A":["no line"]}', "extra_invalid"),
        ('{"X-A":["X-A:' + "1" * 600_001 + '"]}', "extra_too_large"),
    ],
)
def test_extra_lines_that_could_break_a_card_are_left_out(cell: str, said: str) -> None:
    [row] = parsed('name,extra\nOla,"' + cell.replace('"', '""') + '"\n')
    assert row.accepted
    assert codes(row) == [said]
    assert row.contact.extra == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\r\n\n", "empty"),
        (b"PK\x03\x04rest", "workbook"),
        (b"n\0a\0m\0e\0\n", "UTF-16"),
        (b"BEGIN:VCARD\r\n", "vCard"),
        (b"a,b\n1,2\n", "no column"),
        (b'"name,email\nOla,x\n', "first row cannot be read"),
        (b"x" * 140_000, "too long"),
    ],
)
def test_a_file_that_is_no_csv_of_contacts_is_refused_as_a_whole(content: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        read_csv(io.BytesIO(content))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(b"uid,name,email,born,address,extra\n".__add__))
def test_no_bytes_make_the_reader_fail_in_another_way(content: bytes) -> None:
    try:
        rows = list(read_csv(io.BytesIO(content)))
    except Malformed:
        return
    stream = io.BytesIO()
    write_csv(stream, [row.contact for row in rows])
    assert len({row.row_number for row in rows}) == len(rows)


def test_what_is_written_is_plain_to_see() -> None:
    stream = io.BytesIO()
    contact = ContactRow(
        contact_id="c-00209",
        first_name="Bjørn",
        last_name="=Dahl",
        phone="+47 906 78 901",
        address="Rosenkrantz gate 3, 0159 Oslo",
        chapter_ids=("ch-01", "ch-07"),
        extra={"NOTE": ["NOTE:x"]},
    )
    assert write_csv(stream, [contact]) == 1
    header, row, end = stream.getvalue().decode().split("\r\n")
    assert header.startswith("uid,contact_id,first_name,last_name,email,phone,address,date_of_birth,chapter_ids")
    assert row == (
        'c-00209,c-00209,Bjørn,\'=Dahl,,+47 906 78 901,"Rosenkrantz gate 3, 0159 Oslo",,ch-01; ch-07,,,'
        '"{""NOTE"":[""NOTE:x""]}"'
    )
    assert end == ""
    assert not stream.closed


def test_the_mark_for_excel_is_written_on_request() -> None:
    stream = io.BytesIO()
    write_csv(stream, [], byte_order_mark=True)
    assert stream.getvalue().startswith(b"\xef\xbb\xbfuid,")


class Endless(io.RawIOBase):
    """A file of so many rows that holding them would show, made while it is read."""

    def __init__(self, rows: int) -> None:
        self._rows: Iterator[int] = iter(range(rows))
        self._rest = b"name,email,address\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while len(self._rest) < len(buffer) and (row := next(self._rows, None)) is not None:
            self._rest += b"Ola Dahl %d,ola%d@example.no,%s\n" % (row, row, b"Storgata " * 100)
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def test_memory_does_not_grow_with_the_file() -> None:
    tracemalloc.start()
    count = sum(row.accepted for row in read_csv(Endless(3_000)))  # type: ignore[arg-type]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3_000
    assert peak_bytes < 1_000_000  # the file has 2.8 MB


def test_the_sentence_about_a_long_text_is_short() -> None:
    [row] = parsed(f"name,email,born\nOla,{'x' * 100_000},{'y' * 100_000}\n")
    assert codes(row) == ["date_invalid", "email_invalid"]
    assert all(len(problem.detail) < 300 for problem in row.problems)


def test_an_address_of_very_many_words_is_read_in_time_that_grows_with_them() -> None:
    def seconds(count: int) -> float:
        words, started = "a " * count, perf_counter()
        [row] = parsed(f"name,address,street,city\nOla,{words}a b,{words}c,{words}d\n")
        assert row.accepted
        return perf_counter() - started

    assert seconds(80_000) < 12 * max(seconds(20_000), 0.01)  # word by word against word by word is 16 times

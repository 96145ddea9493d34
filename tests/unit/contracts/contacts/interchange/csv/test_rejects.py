from __future__ import annotations

import io

from headwater.contracts.contacts.interchange.csv.format import read_csv
from headwater.contracts.contacts.interchange.csv.rejects import RejectsFile
from headwater.contracts.contacts.interchange.vcard.format import read_vcard

FILE = """\
uid;name;email;born
a;=Ola;bad;1.1
b;Kari;kari@example.no;
c;;;
"d;Per
"""


def rejected(text: str) -> bytes:
    rows = read_csv(io.BytesIO(text.encode()))
    stream = io.BytesIO()
    rejects = RejectsFile(stream, rows.columns.header, delimiter=rows.delimiter)
    for row in rows:
        if not row.accepted:
            rejects.add(row)
    rejects.close()
    return stream.getvalue()


def test_refused_rows_stand_with_their_reasons_before_what_they_were() -> None:
    header, ola, nobody, per, end = rejected(FILE).decode().split("\r\n")
    assert header == "rejected_row;rejected_field;rejected_code;rejected_because;uid;name;email;born"
    assert ola.startswith("2;date_of_birth;date_invalid;")
    assert "'1.1' is not a date" in ola
    assert "'bad' is no email address" in ola
    assert ola.endswith(";a;'=Ola;bad;1.1")
    assert nobody.startswith("4;name;name_missing;")
    assert per.startswith("5;;quote_unclosed;")
    assert end == ""


def test_a_mended_file_can_be_imported_as_it_is() -> None:
    mended = rejected(FILE).decode().replace("bad;1.1", "ola@example.no;1.1.1990")
    rows = read_csv(io.BytesIO(mended.encode()))
    first = next(iter(rows))
    assert first.accepted
    assert first.uid == "a"
    assert first.contact.first_name == "=Ola"
    assert first.contact.date_of_birth == "1990-01-01"
    assert rows.columns.ignored == ("rejected_row", "rejected_field", "rejected_code", "rejected_because")


def test_a_mended_row_that_is_still_bad_is_refused_again_unchanged() -> None:
    again = rejected(rejected(FILE).decode()).decode().split("\r\n")[1]
    assert again.endswith(";a;'=Ola;bad;1.1")


def test_cards_are_kept_as_their_text() -> None:
    card = "BEGIN:VCARD\r\nVERSION:4.0\r\nEMAIL:a@b.no\r\nEND:VCARD\r\n"
    [row] = read_vcard(io.BytesIO(card.encode()))
    stream = io.BytesIO()
    rejects = RejectsFile(stream)
    rejects.add(row)
    rejects.close()
    assert rejects.count == 1
    assert stream.getvalue().decode().endswith(f'1,name,name_missing,the card has no name,"{card.strip()}"\r\n')

from __future__ import annotations

import io

from headwater.contracts.contacts.interchange.csv.format import read_csv
from headwater.contracts.contacts.interchange.csv.rejects import RejectedRows

FILE = """\
uid;name;email;born
a;=Ola;bad;1.1;more
b;Kari;kari@example.no;
c;;;
"d;Per
"""


def rejected(text: str) -> bytes:
    rows = read_csv(io.BytesIO(text.encode()))
    stream = io.BytesIO()
    rejects = RejectedRows(stream, rows.columns.header, delimiter=rows.delimiter)
    for row in rows:
        if not row.accepted:
            rejects.add(row)
    rejects.close()
    return stream.getvalue()


def test_refused_rows_stand_with_their_reasons_before_what_they_were() -> None:
    header, ola, nobody, per, end = rejected(FILE).decode("utf-8-sig").split("\r\n")
    assert header == "rejected_row;rejected_field;rejected_code;rejected_because;uid;name;email;born"
    assert ola.startswith("2;;cells_too_many;")
    assert ola.endswith(";a;'=Ola;bad;1.1;more")
    assert nobody.startswith("4;name;name_missing;")
    assert per.startswith("5;;quote_unclosed;")
    assert end == ""


def test_a_mended_file_can_be_imported_as_it_is() -> None:
    mended = rejected(FILE).decode().replace("bad;1.1;more", "ola@example.no;1.1.1990")
    rows = read_csv(io.BytesIO(mended.encode()))
    first = next(iter(rows))
    assert first.accepted
    assert first.uid == "a"
    assert first.contact.first_name == "=Ola"
    assert first.contact.date_of_birth == "1990-01-01"
    assert rows.unused == []


def test_a_mended_row_that_is_still_bad_is_refused_again_unchanged() -> None:
    again = rejected(rejected(FILE).decode()).decode().split("\r\n")[1]
    assert again.endswith(";a;'=Ola;bad;1.1;more")

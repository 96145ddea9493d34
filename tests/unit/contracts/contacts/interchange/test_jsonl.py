from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.jsonl import JSON_LINE_MAX_CHARS, RejectedLines, read_jsonl, write_jsonl
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed
from headwater.contracts.contacts.shapes import CONTACT_EXAMPLE


def parsed(*objects: Any) -> list[Parsed]:
    text = "".join(item if isinstance(item, str) else json.dumps(item) + "\n" for item in objects)
    return list(read_jsonl(io.BytesIO(text.encode())))


def codes(row: Parsed) -> list[str]:
    return [problem.code for problem in row.problems]


def test_the_contracts_own_contact_is_read() -> None:
    [row] = parsed(CONTACT_EXAMPLE)
    assert row.problems == ()
    assert row.uid == "c-00209"
    assert row.contact == ContactRow(uid="c-00209", **CONTACT_EXAMPLE)


def test_a_line_speaks_only_about_the_keys_that_it_has() -> None:
    keeping, clearing = parsed({"uid": "a", "phone": "1"}, {"uid": "b", "email": None, "chapter_ids": []})
    assert keeping.accepted
    assert keeping.given == {"phone"}
    assert clearing.given == {"email", "chapter_ids"}


def test_a_whole_name_is_split_when_there_is_no_other() -> None:
    [row] = parsed({"name": "Ludwig van Beethoven"})
    assert (row.contact.first_name, row.contact.last_name) == ("Ludwig", "van Beethoven")
    assert row.given == {"first_name", "last_name"}


def test_chapters_come_under_either_of_the_contracts_names() -> None:
    one, other = parsed({"uid": "a", "chapter_ids": ["x", "y", "x"]}, {"uid": "b", "chapter_affiliations": ["x"]})
    assert one.contact.chapter_ids == ("x", "y")
    assert other.contact.chapter_ids == ("x",)


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        ("nonsense\n", "", "json_invalid"),
        ("[1]\n", "", "json_invalid"),
        ("[" * 5000 + "\n", "", "json_invalid"),
        ({"first_name": 5}, "first_name", "invalid_type"),
        ({"first_name": "Ola", "chapter_ids": "x"}, "chapter_ids", "invalid_type"),
        ({"first_name": None, "last_name": ""}, "name", "name_missing"),
        ('"' + "x" * JSON_LINE_MAX_CHARS + '"\n', "", "row_too_long"),
    ],
)
def test_a_bad_line_says_where_and_why(line: Any, field: str, code: str) -> None:
    bad, good = parsed(line, {"first_name": "Kari"})
    assert not bad.accepted
    assert (bad.problems[0].field, bad.problems[0].code) == (field, code)
    assert (bad.row_number, good.row_number) == (1, 2)
    assert good.accepted


def test_extra_of_a_wrong_type_is_left_out_with_a_warning() -> None:
    [row] = parsed({"first_name": "Ola", "extra": {"NOTE": "x"}})
    assert row.accepted
    assert codes(row) == ["extra_invalid"]


def test_blank_lines_count_as_rows_but_are_none() -> None:
    [row] = parsed("\n", "  \n", {"first_name": "Ola"})
    assert row.row_number == 3


def test_a_repeated_key_is_reported() -> None:
    first, second = parsed({"uid": "a", "name": "Ola"}, {"uid": "a", "name": "Kari"})
    assert codes(first) == []
    assert codes(second) == ["key_repeated"]


def test_a_line_is_one_json_object_with_every_field() -> None:
    stream = io.BytesIO()
    contacts = [ContactRow(uid="a", first_name="Bjørn", address="a\nb"), ContactRow(uid="b" * 300)]
    assert write_jsonl(stream, contacts) == 2
    first, second, end = stream.getvalue().split(b"\n")
    assert end == b""
    assert json.loads(first) == {
        **dict.fromkeys(ContactRow.__struct_fields__),
        "uid": "a",
        "first_name": "Bjørn",
        "address": "a\nb",
        "chapter_ids": [],
        "extra": {},
    }
    assert json.loads(second)["uid"] == "b" * 300


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_bytes_make_the_reader_fail(content: bytes) -> None:
    for field in (b"uid", b"name", b"chapter_ids", b"extra", b"date_of_birth"):
        for row in read_jsonl(io.BytesIO(b'{"first_name":"Ola","%s":' % field + content + b"}\n" + content)):
            assert row.accepted or row.problems


def test_a_doubtful_side_field_costs_itself_and_is_kept_aside() -> None:
    fields = {
        "uid": "k",
        "first_name": "Ola",
        "email": "bad",
        "date_of_birth": "1990-02-31",
        "phone": 906,
        "address": 5,
    }
    [row] = parsed(fields)
    assert row.accepted
    assert row.given == {"first_name"}
    assert row.contact.extra == {
        "TEL": ["TEL:906"],
        "ADR": ["ADR:;;5;;;;"],
        "EMAIL": ["EMAIL:bad"],
        "BDAY": ["BDAY;VALUE=text:1990-02-31"],
    }
    assert len(row.problems) == 4


def test_unknown_keys_are_counted() -> None:
    rows = read_jsonl(io.BytesIO(b'{"first_name":"A","x":1}\n{"first_name":"B","x":2,"y":null}\n'))
    assert len(list(rows)) == 2
    assert sorted((each.name, each.rows) for each in rows.unused) == [("x", 2), ("y", 1)]


def rejected(content: bytes) -> bytes:
    stream = io.BytesIO()
    rejects = RejectedLines(stream)
    for row in read_jsonl(io.BytesIO(content)):
        if not row.accepted:
            rejects.add(row)
    rejects.close()
    return stream.getvalue()


def test_refused_lines_are_written_with_the_reason_and_can_be_mended() -> None:
    found = rejected(b'{"uid":"k1","first_name":""}\n{"first_name":"Ola"}\n{"first_name":"Kari"\n')
    assert b'"rejected_row":1,"rejected_field":"name"' in found
    assert b"Ola" not in found
    again = rejected(found)
    assert again.count(b"rejected_because") == 2
    mended = found.replace(b'"first_name":""', b'"first_name":"Else"').replace(b'"Kari"', b'"Kari"}')
    rows = read_jsonl(io.BytesIO(mended))
    assert [(row.accepted, row.contact.first_name) for row in rows] == [(True, "Else"), (True, "Kari")]
    assert rows.unused == []

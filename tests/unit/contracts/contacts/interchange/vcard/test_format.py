from __future__ import annotations

import io

import msgspec
import pytest
import vobject
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Malformed
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed
from headwater.contracts.contacts.interchange.vcard.format import read_vcard, write_vcard

VERSION_21 = """\
BEGIN:VCARD
VERSION:2.1
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:S=C3=B8rensen;Bj=C3=B8rn;;;
FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Bj=C3=B8rn S=C3=B8ren=
sen
TEL;CELL;PREF:+47 906 78 901
TEL;HOME:22 33 44 55
EMAIL;INTERNET:bjorn@example.no
ADR;HOME;ENCODING=quoted-printable:;;Storgata 1=0D=0A2 etg;Oslo;;0155;Norge
NOTE:a,b\\c
PHOTO;ENCODING=BASE64;JPEG:/9j/4AAQSkZJRgABAQEA
 AQABAAD/

BDAY:1982-07-25
END:VCARD
"""
VERSION_30 = """\
BEGIN:VCARD
VERSION:3.0
PRODID:-//Somebody//NONSGML x//EN
N:Solberg;Ingrid;Marie;Dr.;
FN:Dr. Ingrid Marie Solberg
ORG:Acme\\, Inc;Dept
item1.EMAIL;type=INTERNET;type=pref:ingrid@example.no
EMAIL;type=INTERNET:other@example.no
item1.X-ABLabel:_$!<Other>!$_
TEL;type=CELL;type=VOICE;type=pref:+47 912 34 567
ADR;type=HOME;type=pref:;;Storgata 12;Oslo;;0155;Norway
BDAY;value=date:--0421
CATEGORIES:Oslo,Lag\\, nord
CATEGORIES:Oslo
UID:ABCD-1
REV:2026-01-05T08:44:00Z
PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ
END:VCARD
"""
VERSION_40 = """\
BEGIN:VCARD
VERSION:4.0
UID:urn:uuid:4fbe8971-0bc3-424c-9c26-36c3e1eff6b1
FN:Ola Nordmann
EMAIL:not an email
EMAIL;PREF=2:b@x.no
EMAIL;PREF=1:a@x.no
TEL;VALUE=uri;TYPE="voice,home":tel:+47-22334455;ext=5
CREATED:20250914T102200Z
X-HEADWATER-CONTACT-ID:c-00123
junk
END:VCARD
"""


def parsed(text: str) -> list[Parsed]:
    return list(read_vcard(io.BytesIO(text.encode())))


def one(text: str) -> Parsed:
    [row] = parsed(text)
    return row


def written(*contacts: ContactRow) -> str:
    stream = io.BytesIO()
    assert write_vcard(stream, contacts) == len(contacts)
    return stream.getvalue().decode()


def codes(row: Parsed) -> list[str]:
    return [problem.code for problem in row.problems]


def test_a_card_of_version_2_1_is_read() -> None:
    row = one(VERSION_21)
    assert row.problems == ()
    assert row.contact == ContactRow(
        uid=row.uid,
        first_name="Bjørn",
        last_name="Sørensen",
        email="bjorn@example.no",
        phone="+47 906 78 901",
        address="Storgata 1\n2 etg, 0155 Oslo, Norge",
        date_of_birth="1982-07-25",
        extra={
            "TEL": ["TEL;TYPE=CELL,PREF:+47 906 78 901", "TEL;TYPE=HOME:22 33 44 55"],
            "ADR": ["ADR;TYPE=HOME:;;Storgata 1\\n2 etg;Oslo;;0155;Norge"],
            "NOTE": ["NOTE:a\\,b\\\\c"],
            "PHOTO": ["PHOTO:data:image/jpeg;base64,/9j/4AAQSkZJRgABAQEAAQABAAD/"],
        },
    )


def test_a_card_of_version_3_0_is_read() -> None:
    row = one(VERSION_30)
    assert row.accepted
    assert codes(row) == ["date_partial"]
    assert row.contact == ContactRow(
        uid="ABCD-1",
        first_name="Ingrid Marie",
        last_name="Solberg",
        email="ingrid@example.no",
        phone="+47 912 34 567",
        address="Storgata 12, 0155 Oslo, Norway",
        chapter_ids=("Oslo", "Lag, nord"),
        updated_at="2026-01-05T08:44:00Z",
        extra={
            "FN": ["FN:Dr. Ingrid Marie Solberg"],
            "N": ["N:Solberg;Ingrid;Marie;Dr.;"],
            "EMAIL": [
                "item1.EMAIL;type=INTERNET;type=pref:ingrid@example.no",
                "EMAIL;type=INTERNET:other@example.no",
            ],
            "TEL": ["TEL;type=CELL;type=VOICE;type=pref:+47 912 34 567"],
            "ADR": ["ADR;type=HOME;type=pref:;;Storgata 12;Oslo;;0155;Norway"],
            "BDAY": ["BDAY;value=date:--0421"],
            "ORG": ["ORG:Acme\\, Inc;Dept"],
            "X-ABLABEL": ["item1.X-ABLabel:_$!<Other>!$_"],
            "PHOTO": ["PHOTO:data:image/jpeg;base64,/9j/4AAQ"],
        },
    )
    assert row.given == {
        "first_name",
        "last_name",
        "email",
        "phone",
        "address",
        "chapter_ids",
    }


def test_a_card_of_version_4_0_is_read() -> None:
    row = one(VERSION_40)
    assert row.accepted
    assert codes(row) == ["line_unreadable", "email_invalid"]
    contact = row.contact
    assert row.uid == contact.uid == "urn:uuid:4fbe8971-0bc3-424c-9c26-36c3e1eff6b1"
    assert (contact.contact_id, contact.created_at) == ("c-00123", "2025-09-14T10:22:00Z")
    assert (contact.first_name, contact.email, contact.phone) == ("Ola", "a@x.no", "+47-22334455")
    assert row.given == {"first_name", "last_name", "email", "phone"}


@pytest.mark.parametrize("text", [VERSION_21, VERSION_30, VERSION_40])
def test_what_was_read_is_written_and_read_again_the_same(text: str) -> None:
    contact = one(text).contact
    again = one(written(contact)).contact
    assert again == contact
    assert written(again) == written(contact)


def test_another_program_reads_what_is_written() -> None:
    contact = one(VERSION_30).contact
    card = vobject.readOne(written(contact))
    assert card.fn.value == "Dr. Ingrid Marie Solberg"
    assert (card.n.value.family, card.n.value.given) == ("Solberg", "Ingrid")
    assert [line.value for line in card.contents["email"]] == ["ingrid@example.no", "other@example.no"]
    assert card.org.value == ["Acme, Inc", "Dept"]


def test_a_plain_contact_is_written_plainly() -> None:
    contact = ContactRow(
        contact_id="c-00209",
        first_name="Bjørn",
        last_name="Dahl",
        email="bjorn.dahl@example.no",
        phone="+47 906 78 901",
        address="Rosenkrantz gate 3, 0159 Oslo",
        date_of_birth="1982-07-25",
        chapter_ids=("ch-01", "ch-07"),
        created_at="2026-03-26T11:25:00Z",
        updated_at="2026-03-26T12:30:00Z",
        extra={"NOTE": ["NOTE:x"]},
    )
    assert written(contact).split("\r\n") == [
        "BEGIN:VCARD",
        "VERSION:4.0",
        "UID;VALUE=text:c-00209",
        "FN:Bjørn Dahl",
        "N:Dahl;Bjørn;;;",
        "EMAIL:bjorn.dahl@example.no",
        "TEL:+47 906 78 901",
        "ADR:;;Rosenkrantz gate 3\\, 0159 Oslo;;;;",
        "BDAY:19820725",
        "CATEGORIES:ch-01,ch-07",
        "X-HEADWATER-CONTACT-ID:c-00209",
        "CREATED:20260326T112500Z",
        "REV:20260326T123000Z",
        "NOTE:x",
        "END:VCARD",
        "",
    ]


def test_a_uri_as_uid_stays_one() -> None:
    assert "\r\nUID:urn:uuid:1\r\n" in written(ContactRow(uid="urn:uuid:1", first_name="Ola"))


def test_a_contact_without_any_key_is_written_without_uid() -> None:
    assert "UID" not in written(ContactRow(first_name="Ola"))


def test_extra_lines_cannot_break_out_of_their_card() -> None:
    hostile = {
        "X-A": ["X-A:1\r\nEND:VCARD", "X-A:1\nFN:x", "no line", "X-B:1"],
        "END": ["END:VCARD"],
        "BEGIN": ["BEGIN:VCARD"],
        "VERSION": ["VERSION:2.1"],
    }
    assert written(ContactRow(uid="a", first_name="Ola", extra=hostile)) == written(
        ContactRow(uid="a", first_name="Ola")
    )


def test_a_card_without_uid_gets_the_same_key_each_time() -> None:
    assert one(VERSION_21).uid == one(VERSION_21).uid
    assert one(VERSION_21).uid != one(VERSION_21.replace("=B8rn", "=B8rg")).uid


def test_a_repeated_uid_is_reported_and_the_last_card_wins() -> None:
    first, second = parsed(VERSION_40 + VERSION_40.replace("Ola", "Kari"))
    assert "key_repeated" not in codes(first)
    assert "key_repeated" in codes(second)
    assert second.accepted
    assert second.contact.first_name == "Kari"


def test_a_uid_that_is_no_acceptable_id_is_kept_beside_its_replacement() -> None:
    uid = "https://example.no/" + "x" * 200
    contact = one(VERSION_40.replace("urn:uuid:4fbe8971-0bc3-424c-9c26-36c3e1eff6b1", uid)).contact
    assert contact.uid is not None
    assert len(contact.uid) == 36
    assert contact.extra["UID"] == [f"UID:{uid}"]
    unfolded = written(contact).replace("\r\n ", "")
    assert f"\r\nUID:{uid}\r\n" in unfolded
    assert contact.uid not in unfolded
    assert one(written(contact)).contact == contact
    renamed = msgspec.structs.replace(contact, uid="other")
    assert "\r\nUID;VALUE=text:other\r\n" in written(renamed)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("BEGIN:VCARD\nVERSION:4.0\nKIND:group\nFN:All\nEND:VCARD\n", "card_of_group"),
        ("BEGIN:VCARD\nVERSION:3.0\nX-ADDRESSBOOKSERVER-KIND:group\nN:All\nEND:VCARD\n", "card_of_group"),
        ("BEGIN:VCARD\nVERSION:4.0\nEMAIL:a@b.no\nEND:VCARD\n", "name_missing"),
        ("BEGIN:VCARD\nVERSION:4.0\nFN:" + "x" * 201 + "\nEND:VCARD\n", "too_long"),
        ("BEGIN:VCARD\nVERSION:4.0\nFN:x\n", "card_unclosed"),
    ],
)
def test_a_bad_card_says_why_and_costs_only_itself(text: str, code: str) -> None:
    bad, good = parsed(text + VERSION_40)
    assert not bad.accepted
    assert codes(bad) == [code]
    assert bad.raw == (text,)
    assert (bad.row_number, good.row_number) == (1, 2)
    assert good.accepted


def test_a_card_that_is_not_utf_8_is_read_with_a_warning() -> None:
    [row] = read_vcard(io.BytesIO("BEGIN:VCARD\nFN:Åse Dahl\nEND:VCARD\n".encode("latin-1")))
    assert row.contact.first_name == "Åse"
    assert codes(row) == ["encoding_guessed"]


def test_a_picture_that_is_too_large_is_left_out_with_a_warning() -> None:
    row = one(VERSION_30.replace("/9j/4AAQ", "A" * 700_000))
    assert "extra_too_large" in codes(row)
    assert "PHOTO" not in row.contact.extra


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"\n\n", "empty"), (b"name,email\n", "no vCard")])
def test_a_file_that_is_no_vcard_is_refused_as_a_whole(content: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        read_vcard(io.BytesIO(content))


PIECES = st.sampled_from(
    [
        *("BEGIN:VCARD\n", "END:VCARD\n", "VERSION:2.1\n", "VERSION:4.0\n", "AGENT:\n", "KIND:x\n"),
        *("N:a;b,c;\\", "FN;ENCODING=QUOTED-PRINTABLE:=C3=\n", "FN:a b", "EMAIL:a@b.no", "EMAIL:", "TEL;", "UID:\0"),
        *("ADR:;;;,,;\\;", "BDAY:--04", "BDAY:19880421", "CATEGORIES:,\\,,", "PHOTO;ENCODING=b;TYPE=:", "REV:x"),
        *(";TYPE=pref", "=B8", "\n ", "\n", "\n", "\xe5", ":", " "),
    ]
)


@given(st.binary(max_size=200) | st.lists(PIECES, max_size=25).map("".join).map(str.encode))
def test_no_bytes_make_the_reader_or_the_writer_fail_in_another_way(content: bytes) -> None:
    try:
        rows = list(read_vcard(io.BytesIO(b"BEGIN:VCARD\n" + content)))
    except Malformed:
        return
    accepted = [row.contact for row in rows if row.accepted]
    assert not accepted or [row.contact for row in parsed(written(*accepted))] == accepted


def card(*lines: str, version: str = "3.0") -> str:
    return "".join(f"{line}\r\n" for line in ("BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD"))


def again(row: Parsed) -> tuple[str, Parsed]:
    """The card that an export writes of a row, unfolded, and the row that it is read as."""
    stream = io.BytesIO()
    write_vcard(stream, [row.contact])
    text = stream.getvalue().decode()
    return text.replace("\r\n ", ""), one(text)


@pytest.mark.parametrize(
    ("birthday", "written"),
    [
        ("BDAY;X-APPLE-OMIT-YEAR=1604:1604-04-21", "BDAY:--0421"),
        ("BDAY;value=date:1604-04-21", "BDAY:--0421"),
        ("BDAY:16040421", "BDAY:--0421"),
        ("BDAY:0000-04-21", "BDAY:--0421"),
        ("BDAY;X-APPLE-OMIT-YEAR=1900:1900-01-01", "BDAY:--0101"),
        ("item1.BDAY;X-P=x:1604-02-29", "item1.BDAY;X-P=x:--0229"),
        ("BDAY;VALUE=text:ukjent", "BDAY;VALUE=text:ukjent"),
        ("BDAY:--0421", "BDAY:--0421"),
    ],
)
def test_a_year_that_means_unknown_gives_no_date_of_birth(birthday: str, written: str) -> None:
    row = one(card("FN:Nils Berg", birthday))
    assert row.accepted
    assert row.contact.date_of_birth is None
    assert "date_of_birth" not in row.given
    text, back = again(row)
    assert f"\r\n{written}\r\n" in text
    assert back.contact == row.contact


def test_a_year_that_is_not_marked_is_a_year() -> None:
    assert one(card("FN:Nils", "BDAY:1900-01-01")).contact.date_of_birth == "1900-01-01"
    assert one(card("FN:Nils", "BDAY;X-APPLE-OMIT-YEAR=1604:1980-04-21")).contact.date_of_birth == "1980-04-21"


@pytest.mark.parametrize(
    ("numbers", "phone"),
    [
        (["TEL;TYPE=WORK,FAX:1", "TEL;TYPE=PAGER:2", "TEL;TYPE=CELL,VOICE:3"], "3"),
        (["TEL;TYPE=FAX;TYPE=PREF:1", "TEL:2"], "2"),
        (["TEL;TYPE=FAX,VOICE:1", "TEL:2"], "1"),
        (['TEL;TYPE="fax,work":1', "TEL;TYPE=home:2"], "2"),
        (["TEL;TYPE=modem:1", "TEL;TYPE=bbs:2", "TEL;TYPE=voice:3"], "3"),
        (["TEL;TYPE=FAX:1"], None),
        (["TEL;TYPE=HOMEFAX:1", "TEL;TYPE=WORKFAX:2", "TEL;TYPE=CELL:3"], "3"),
        (["TEL;TYPE=X-OtherFax:1"], None),
    ],
)
def test_a_number_that_reaches_no_person_is_not_the_phone(numbers: list[str], phone: str | None) -> None:
    row = one(card("FN:Rolf", *numbers))
    assert row.contact.phone == phone
    assert ("phone" in row.given) == (phone is not None)
    text, back = again(row)
    assert all(f"{number}\r\n" in text for number in numbers)
    assert back.contact == row.contact


def test_a_changed_phone_replaces_the_number_that_it_was_read_from_and_no_fax() -> None:
    row = one(card("FN:Rolf", "TEL;TYPE=FAX:1", "TEL;TYPE=CELL:2", "TEL;TYPE=HOME:3"))
    changed = msgspec.structs.replace(row, contact=msgspec.structs.replace(row.contact, phone="9"))
    text, back = again(changed)
    assert back.contact.phone == "9"
    assert "TEL;TYPE=FAX:1" in text
    assert "TEL;TYPE=HOME:3" in text
    assert "CELL" not in text


def test_a_changed_email_replaces_the_address_that_it_was_read_from() -> None:
    row = one(card("FN:Rolf", "EMAIL;TYPE=PREF:bad", "EMAIL;TYPE=work:a@example.no"))
    assert "email" in row.given
    changed = msgspec.structs.replace(row, contact=msgspec.structs.replace(row.contact, email="b@example.no"))
    text, back = again(changed)
    assert back.contact.email == "b@example.no"
    assert "EMAIL;TYPE=PREF:bad" in text
    assert "a@example.no" not in text


def test_a_wrong_email_alone_clears_nothing() -> None:
    row = one(card("FN:Rolf", "EMAIL:bad"))
    assert (row.accepted, row.contact.email, "email" in row.given) == (True, None, False)
    assert "EMAIL:bad" in again(row)[0]


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["N:;;;;", "FN:", "NICKNAME:Snusmumrikken,Mummi"], ("Snusmumrikken", None)),
        (["N:;;;;", "ORG:Kafe Atlanterhavet;"], ("Kafe Atlanterhavet", None)),
        (["ORG:Bro AS;Drift"], ("Bro AS, Drift", None)),
        (["FN:Nordisk Bro AS", "N:;;;;", "ORG:Nordisk Bro AS", "X-ABShowAs:COMPANY"], ("Nordisk Bro AS", None)),
        (["FN:Nordisk Bro AS", "KIND:org"], ("Nordisk Bro AS", None)),
        (["FN:Nordisk Bro", "N:;;;;"], ("Nordisk", "Bro")),
    ],
)
def test_a_card_without_a_persons_name_comes_in_under_what_names_it(
    lines: list[str], name: tuple[str, str | None]
) -> None:
    row = one(card(*lines))
    assert row.accepted
    assert (row.contact.first_name, row.contact.last_name) == name
    assert {"first_name", "last_name"} <= row.given
    text, back = again(row)
    assert all(line in text for line in lines if line not in {"N:;;;;", "FN:"})
    assert back.contact == row.contact


def test_a_photo_of_usual_size_is_kept() -> None:
    photo = "A" * 120_000
    row = one(card("FN:Stor", f"PHOTO;ENCODING=b;TYPE=JPEG:{photo}"))
    assert codes(row) == []
    text, back = again(row)
    assert photo in text
    assert back.contact == row.contact


def test_the_card_of_an_agent_comes_out_again() -> None:
    lines = ["FN:outer", "AGENT:", "BEGIN:VCARD", "VERSION:2.1", "FN:in\\ner", "END:VCARD"]
    row = one(card(*lines, version="2.1"))
    assert row.contact.extra["AGENT"] == ["AGENT:BEGIN:VCARD\\nVERSION:2.1\\nFN:in\\\\ner\\nEND:VCARD\\n"]
    assert again(row)[1].contact == row.contact

from __future__ import annotations

import io

from headwater.contracts.contacts.interchange.record import Parsed
from headwater.contracts.contacts.interchange.vcard.format import read_vcard
from headwater.contracts.contacts.interchange.vcard.rejects import RejectedCards

NAMELESS = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:k1\r\nEMAIL:a@b.no\r\nNOTE:Bj\xf8rn\r\nEND:VCARD\r\n"
GROUP = b"BEGIN:VCARD\nVERSION:4.0\nKIND:group\nFN:Styret\nEND:VCARD\n"
GOOD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ola\r\nEND:VCARD\r\n"
UNCLOSED = b"BEGIN:VCARD\r\nFN:Kari"


def rows(content: bytes) -> list[Parsed]:
    return list(read_vcard(io.BytesIO(content)))


def rejected(content: bytes) -> bytes:
    stream = io.BytesIO()
    rejects = RejectedCards(stream)
    for row in rows(content):
        if not row.accepted:
            rejects.add(row)
    rejects.close()
    return stream.getvalue()


def test_refused_cards_are_written_as_they_were_with_the_reason() -> None:
    found = rejected(NAMELESS + GOOD + GROUP)
    reason = b"X-HEADWATER-REJECTED:card 1: the row has neither a first nor a last name\r\n"
    first = NAMELESS.replace(b"BEGIN:VCARD\r\n", b"BEGIN:VCARD\r\n" + reason)
    assert found.startswith(first)
    assert b"X-HEADWATER-REJECTED:card 3:" in found
    assert b"Ola" not in found


def test_mended_cards_are_imported_and_the_reason_is_not() -> None:
    [row] = rows(rejected(NAMELESS).replace(b"UID:k1", b"UID:k1\r\nFN:Else"))
    assert row.accepted
    assert (row.uid, row.contact.first_name) == ("k1", "Else")
    assert not any("REJECTED" in name for name in row.contact.extra)


def test_a_card_that_is_refused_again_has_one_reason() -> None:
    once = rejected(NAMELESS + GROUP)
    assert rejected(once).count(b"X-HEADWATER-REJECTED") == 2
    assert rejected(rejected(once)) == rejected(once)


def test_text_outside_of_cards_and_an_unclosed_card_are_refused_and_readable() -> None:
    found = rejected(GOOD + b"stray\r\n" + UNCLOSED)
    codes = [row.problems[0].code for row in rows(GOOD + found)[1:]]
    assert codes == ["outside_card", "card_unclosed"]
    assert len(rows(found + b"\r\nEND:VCARD\r\n")) == 2

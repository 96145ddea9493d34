from __future__ import annotations

import io

import pytest

from headwater.contracts.contacts.interchange.vcard.cards import CARD_MAX_CHARS, Card, Cards


def cards(text: str) -> list[Card]:
    return list(Cards(io.BytesIO(text.encode())))


def outcome(text: str) -> list[list[str] | str]:
    return [card.problem.code if card.problem else card.lines for card in cards(text)]


def test_folded_lines_are_joined() -> None:
    assert outcome("BEGIN:VCARD\r\nNOTE:a\r\n b\r\n\tc\r\nFN:x\r\nEND:VCARD\r\n") == [["NOTE:abc", "FN:x"]]


def test_soft_line_breaks_of_quoted_printable_are_joined() -> None:
    text = "BEGIN:VCARD\nFN;ENCODING=QUOTED-PRINTABLE:a=\nb=\n=20c\nNOTE:1=\nX:2\nEND:VCARD\n"
    assert outcome(text) == [["FN;ENCODING=QUOTED-PRINTABLE:ab=20c", "NOTE:1=", "X:2"]]


def test_the_frame_is_known_in_any_case_and_with_blanks_around() -> None:
    assert outcome("\n\nbegin:vcard \nFN:x\n\nEnd:Vcard\n\n") == [["FN:x"]]


def test_a_card_that_is_not_closed_costs_only_itself() -> None:
    assert outcome("BEGIN:VCARD\nFN:a\nBEGIN:VCARD\nFN:b\nEND:VCARD\n") == ["card_unclosed", ["FN:b"]]
    assert outcome("BEGIN:VCARD\nFN:a\n") == ["card_unclosed"]


def test_lines_between_cards_are_reported() -> None:
    assert outcome("BEGIN:VCARD\nEND:VCARD\nstray\nBEGIN:VCARD\nEND:VCARD\n") == [[], "outside_card", []]


def test_the_card_of_an_agent_within_a_card_is_the_text_of_its_line() -> None:
    text = "BEGIN:VCARD\nAGENT:\nBEGIN:VCARD\nFN:inner\nEND:VCARD\nFN:outer\nEND:VCARD\n"
    assert outcome(text) == [["AGENT:BEGIN:VCARD\\nFN:inner\\nEND:VCARD\\n", "FN:outer"]]


@pytest.mark.parametrize("text", ["Bjørn", "🎻 Даша", "a\u0301"])
def test_a_line_folded_anywhere_is_joined_before_it_is_decoded(text: str) -> None:
    whole = f"FN:{text}".encode()
    for place in range(1, len(whole)):
        content = b"BEGIN:VCARD\r\n" + whole[:place] + b"\r\n " + whole[place:] + b"\r\nEND:VCARD\r\n"
        [card] = Cards(io.BytesIO(content))
        assert (card.lines, card.guessed) == ([f"FN:{text}"], False)


def test_a_soft_break_and_a_fold_at_once_are_both_taken_away() -> None:
    head = "BEGIN:VCARD\nVERSION:2.1\nN;ENCODING=QUOTED-PRINTABLE:"
    assert outcome(f"{head}=C3=\n =85se=\n  x\nEND:VCARD\n")[0][1:] == ["N;ENCODING=QUOTED-PRINTABLE:=C3=85se x"]
    assert outcome(f"{head}a=\n b\nEND:VCARD\n")[0][1:] == ["N;ENCODING=QUOTED-PRINTABLE:a b"]
    assert outcome(f"{head}=F0=9F=\n =8E=BB\nEND:VCARD\n")[0][1:] == ["N;ENCODING=QUOTED-PRINTABLE:=F0=9F=8E=BB"]
    later = outcome(f"{head.replace('2.1', '3.0')}a=\n b\nEND:VCARD\n")
    assert later[0][1:] == ["N;ENCODING=QUOTED-PRINTABLE:ab"]


def test_a_card_that_is_too_large_is_passed_over_and_mostly_forgotten() -> None:
    photo = "PHOTO:" + "\n ".join("x" * 100_000 for _ in range(CARD_MAX_CHARS // 100_000))
    large, small = cards(f"BEGIN:VCARD\n{photo}\nEND:VCARD\nBEGIN:VCARD\nFN:b\nEND:VCARD\n")
    assert large.problem is not None
    assert large.problem.code == "card_too_large"
    assert len(large.text) <= 21 * 100_010
    assert small.lines == ["FN:b"]


def test_a_line_that_is_too_long_makes_its_card_too_large() -> None:
    long = "PHOTO:" + "x" * CARD_MAX_CHARS
    text = f"BEGIN:VCARD\nFN:a\n{long}\nEND:VCARD\n{long}\nBEGIN:VCARD\nFN:b\nEND:VCARD\n"
    assert outcome(text) == ["card_too_large", "outside_card", ["FN:b"]]


def test_a_card_keeps_its_text_as_it_came() -> None:
    text = "BEGIN:VCARD\r\nNOTE:a\r\n b\r\nEND:VCARD\r\n"
    assert [card.text for card in cards(text + text)] == [text, text]


def test_a_card_that_is_not_utf_8_is_marked() -> None:
    content = b"BEGIN:VCARD\nFN:Bj\xf8rn\nEND:VCARD\nBEGIN:VCARD\nFN:x\nEND:VCARD\n"
    read = list(Cards(io.BytesIO(content)))
    assert [(card.lines, card.guessed) for card in read] == [(["FN:Bjørn"], True), (["FN:x"], False)]

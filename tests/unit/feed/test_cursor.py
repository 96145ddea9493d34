from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import CursorInvalid
from headwater.feed.cursor import CursorCodec, Place, invalid

KEY, EPOCH = b"k" * 32, 7
CODEC = CursorCodec(KEY, EPOCH)
NUMBERS = st.integers(0, 2**64 - 1)
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def reason(text: str, feed: int = 3, codec: CursorCodec = CODEC) -> str:
    """The reason for which a cursor is refused."""
    with pytest.raises(CursorInvalid) as failure:
        codec.decode(text, feed)
    assert failure.value.error_code == "SYNC_CURSOR_INVALID"
    return str(failure.value.extra["reason"])


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_place_survives_its_cursor(feed: int, position: int, snapshot_head: int) -> None:
    place = Place(position, snapshot_head)
    text = CODEC.encode(feed, place)
    assert CODEC.decode(text, feed) == place
    assert CODEC.open(text) == (feed, place)


@given(NUMBERS, NUMBERS)
def test_every_cursor_has_one_length_and_needs_no_quoting(feed: int, position: int) -> None:
    text = CODEC.encode(feed, Place(position))
    assert len(text) == len(CODEC.encode(0, Place(0)))
    assert text.startswith("c1.")
    assert set(text[3:]) <= set(BASE64)


def test_a_cursor_of_another_share_is_refused() -> None:
    assert reason(CODEC.encode(4, Place(9)), 3) == "foreign"


def test_a_cursor_of_before_a_restore_says_so() -> None:
    assert reason(CursorCodec(KEY, EPOCH - 1).encode(3, Place(9))) == "restored"


def test_a_cursor_of_another_installation_is_forged() -> None:
    assert reason(CursorCodec(b"o" * 32, EPOCH).encode(3, Place(9))) == "forged"


def test_an_earlier_life_is_noticed_before_another_feed() -> None:
    assert reason(CursorCodec(KEY, EPOCH + 1).encode(4, Place(9)), 3) == "restored"


@given(st.data())
def test_a_cursor_with_one_changed_byte_is_forged(data: st.DataObject) -> None:
    raw = bytearray(base64.urlsafe_b64decode(CODEC.encode(3, Place(9, 20))[3:] + "=="))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert reason("c1." + base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()) == "forged"


GOOD = CODEC.encode(3, Place(9))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("0", id="a number"),
        pytest.param("c1.", id="only the prefix"),
        pytest.param(GOOD[3:], id="no prefix"),
        pytest.param("C1." + GOOD[3:], id="the prefix in capitals"),
        pytest.param("c3." + GOOD[3:], id="another prefix"),
        pytest.param(GOOD[:-4], id="cut short"),
        pytest.param(GOOD + "AAAA", id="too long"),
        pytest.param(GOOD[:-1] + "å", id="a letter that is not ASCII"),
        pytest.param(GOOD[:-1] + " ", id="a space"),
        pytest.param(GOOD[:-1] + "\n", id="a line feed"),
        pytest.param(" " + GOOD, id="a space before it"),
        pytest.param(GOOD[:-1] + "*", id="a character outside base64"),
    ],
)
def test_a_text_that_has_not_a_cursors_form_is_malformed(text: str) -> None:
    assert reason(text) == "malformed"


@given(st.text(max_size=120))
def test_no_text_but_our_own_is_a_cursor(text: str) -> None:
    assert reason(text) == "malformed"


def test_a_cursor_of_many_feeds_is_no_cursor_of_one() -> None:
    assert reason(CODEC.encode_many("acme", {3: Place(9)})) == "malformed"
    with pytest.raises(CursorInvalid) as failure:
        CODEC.decode_many(GOOD, "acme")
    assert failure.value.extra["reason"] == "malformed"


class TestMany:
    def refused(self, text: str, owner: str = "acme") -> str:
        with pytest.raises(CursorInvalid) as failure:
            CODEC.decode_many(text, owner)
        return str(failure.value.extra["reason"])

    def test_a_cursor_of_another_organisation_is_foreign(self) -> None:
        assert self.refused(CODEC.encode_many("acme", {3: Place(9)}), "other") == "foreign"

    def test_a_cursor_of_no_feeds_is_one_too(self) -> None:
        assert CODEC.decode_many(CODEC.encode_many("acme", {}), "acme") == {}

    @pytest.mark.parametrize("text", ["", "c2.", "c2.AAAA", "c2." + "A" * 12_001, "c2.å", "c2.A*"])
    def test_a_text_of_another_form_is_malformed(self, text: str) -> None:
        assert self.refused(text) == "malformed"

    def test_the_order_in_which_feeds_are_named_makes_no_difference(self) -> None:
        places = {7: Place(1), 300: Place(2, 5), 2**40: Place(3)}
        backwards = dict(reversed(places.items()))
        assert CODEC.encode_many("acme", places) == CODEC.encode_many("acme", backwards)

    @pytest.mark.parametrize("number", [0, 1, 127, 128, 16_383, 16_384, 2**32, 2**63])
    def test_numbers_at_the_borders_of_their_lengths_survive(self, number: int) -> None:
        places = {number: Place(number, number), number + 1: Place(0, number)}
        assert CODEC.decode_many(CODEC.encode_many("acme", places), "acme") == places


def test_the_error_of_a_cursor_carries_its_reason_and_what_a_program_needs() -> None:
    failure = invalid("expired", "it is too old", cursor="c1.x")
    assert failure.extra == {"reason": "expired", "cursor": "c1.x"}
    assert failure.detail == "it is too old"

"""The cursor of places in many feeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import CursorInvalid, Invalid
from headwater.feed.cursor import CursorCodec, Place

CODEC = CursorCodec(b"key", 1)
NUMBERS = st.integers(0, 2**62)
PLACES = st.dictionaries(NUMBERS, st.builds(Place, NUMBERS, NUMBERS), max_size=20)


@given(PLACES, st.text(max_size=20))
def test_what_was_put_in_comes_out(places: dict[int, Place], owner: str) -> None:
    assert CODEC.decode_many(CODEC.encode_many(owner, places), owner) == places


@given(st.text(max_size=60) | st.text("c2.ABCab_-=", max_size=60).map("c2.".__add__))
def test_no_text_but_our_own_is_a_cursor(text: str) -> None:
    with pytest.raises(CursorInvalid) as failure:
        CODEC.decode_many(text, "default")
    assert failure.value.extra["reason"] in {"malformed", "forged"}


def test_a_cursor_of_an_earlier_life_is_expired_and_one_of_another_key_forged() -> None:
    text = CODEC.encode_many("default", {1: Place(2)})
    for codec, reason in ((CursorCodec(b"key", 2), "restored"), (CursorCodec(b"other", 1), "forged")):
        with pytest.raises(CursorInvalid) as failure:
            codec.decode_many(text, "default")
        assert failure.value.extra["reason"] == reason


def test_a_single_cursor_signed_by_us_does_not_pass_with_the_other_prefix() -> None:
    text = "c2." + CODEC.encode(1, Place(2))[3:]
    with pytest.raises(CursorInvalid) as failure:
        CODEC.decode_many(text, "default")
    assert failure.value.extra["reason"] == "forged"


def test_a_thousand_feeds_fit_and_what_does_not_fit_a_request_is_refused() -> None:
    fits = {feed: Place(1_000_000) for feed in range(1_000)}
    assert len(CODEC.encode_many("default", fits)) < 12_000
    with pytest.raises(Invalid):
        CODEC.encode_many("default", {feed: Place(2**40) for feed in range(5_000)})

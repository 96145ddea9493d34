"""Lengths of time, instants and sizes as a user types them, at their bounds."""

from __future__ import annotations

import pytest

from headwater.base.clock import SECOND_US
from headwater.base.errors import Invalid
from headwater.cli.values import parse_end, parse_size

NOW_US = 1_800_000_000 * SECOND_US
LAST_SECOND = "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("30m", 1800),
        ("12h", 43_200),
        ("90d", 7_776_000),
        ("2w", 1_209_600),
        (" 5 D ", 432_000),
        ("999999w", None),
        ("999999h", 999_999 * 3600),
    ],
)
def test_a_length_is_counted_from_now(text: str, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(Invalid, match="too far"):
            parse_end(text, NOW_US)
    else:
        assert parse_end(text, NOW_US) == NOW_US + seconds * SECOND_US


@pytest.mark.parametrize("text", ["never", "NEVER", " never "])
def test_never_has_no_end(text: str) -> None:
    assert parse_end(text, NOW_US) is None


def test_an_instant_must_be_later_than_now_and_before_the_year_ten_thousand() -> None:
    assert parse_end("2027-01-15T08:00:01Z", NOW_US) == NOW_US + SECOND_US
    with pytest.raises(Invalid, match="not in the future"):
        parse_end("2027-01-15T08:00:00Z", NOW_US)
    assert parse_end(LAST_SECOND, NOW_US) == (253_402_300_800 - 1) * SECOND_US


@pytest.mark.parametrize(
    "text", ["", "0s", "0d", "-1d", "1", "1y", "1.5h", "1000000s", "1d2h", "soon", "2027-01-15", "\u0661d", "1\ud8ff"]
)
def test_a_text_that_is_no_length_and_no_later_instant_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="write 90d"):
        parse_end(text, NOW_US)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1", 1),
        ("1b", 1),
        ("1 KiB", 2**10),
        ("3mib", 3 * 2**20),
        ("10GiB", 10 * 2**30),
        ("4TIB", 2**42),
        (str(2**62), 2**62),
        (f"{2**22}TiB", 2**62),
        (" none ", None),
        ("None", None),
    ],
)
def test_a_size_has_a_binary_unit_or_is_in_bytes(text: str, size_bytes: int | None) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1KB", "1G", "1.5GiB", "GiB", str(2**62 + 1), f"{2**22 + 1}TiB", "1" * 20, "\u0663", "1e3"],
)
def test_a_text_that_is_no_size_or_more_than_a_counter_holds_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no size"):
        parse_size(text)

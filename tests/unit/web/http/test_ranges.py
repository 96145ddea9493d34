from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Invalid, Malformed, RangeUnsatisfiable
from headwater.web.http.ranges import (
    MAX_POSITION,
    Span,
    chosen_span,
    if_range_holds,
    parse_query,
    parse_range,
)

ETAG = '"ver_2"'
CONTENT = bytes(range(10))


def of_ten(header: str) -> Span | None:
    return chosen_span(10, ETAG, range_header=header)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=2-5", (2, 5)),
        ("bytes=2-", (2, 9)),
        ("bytes=0-", (0, 9)),
        ("bytes=9-9", (9, 9)),
        ("bytes=2-99", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=002-0005", (2, 5)),
        ("Bytes=2-5", (2, 5)),
        (" bytes= 2-5 , ", (2, 5)),
        ("bytes=0-" + "9" * 5000, (0, 9)),
        (f"bytes=-{10**30}", (0, 9)),
    ],
)
def test_a_single_range_is_cut_to_the_content(header: str, span: tuple[int, int]) -> None:
    assert of_ten(header) == span


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=2",
        "bytes=+2-5",
        "bytes=2--5",
        "bytes=2 - 5",
        "bytes=\u0662-5",
        "bytes=0x1-5",
        "bytes=1_0-",
        "bytes =2-5",
        "rows=2-5",
        "bytes=0-1,3-4",
        "bytes=0-1, 99-",
        "bytes=0-0,-1,2-2",
    ],
)
def test_a_malformed_foreign_or_multiple_range_is_ignored(header: str) -> None:
    assert of_ten(header) is None


@pytest.mark.parametrize(
    "header", ["bytes=10-", "bytes=10-20", "bytes=-0", f"bytes={MAX_POSITION}-", "bytes=" + "9" * 5000 + "-"]
)
def test_a_range_outside_the_content_is_unsatisfiable_with_its_length(header: str) -> None:
    with pytest.raises(RangeUnsatisfiable) as refused:
        of_ten(header)
    assert refused.value.extra == {"size_bytes": 10}


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-0", "bytes=-5", "bytes=5-9"])
def test_an_empty_content_is_sent_whole_whatever_the_range_is(header: str) -> None:
    assert chosen_span(0, ETAG, range_header=header) is None
    assert chosen_span(0, ETAG, range_start="0", range_end="5") is None


def test_without_a_range_the_whole_is_served() -> None:
    assert chosen_span(10, ETAG) is None
    assert chosen_span(0, ETAG) is None
    assert chosen_span(10, ETAG, if_range=ETAG) is None


def test_a_span_tells_its_length_and_place() -> None:
    assert Span(2, 5).length_bytes == 4
    assert Span(2, 5).content_range(10) == "bytes 2-5/10"


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [("2", "5", (2, 5)), ("2", None, (2, 9)), (None, "5", (0, 5)), ("0", "99", (0, 9)), ("9", "9", (9, 9))],
)
def test_the_query_asks_with_both_ends_included(start: str | None, end: str | None, span: tuple[int, int]) -> None:
    assert chosen_span(10, ETAG, range_start=start, range_end=end) == span


@pytest.mark.parametrize("text", ["", "-1", "+1", "a", "1.0", " 1", "1e3", "\u0662", "\u00b2", "1_0", "1\n"])
def test_a_query_parameter_that_is_no_position_is_invalid(text: str) -> None:
    for field, arguments in (("range_start", (text, "5")), ("range_end", ("0", text))):
        with pytest.raises(Invalid) as refused:
            parse_query(*arguments)
        assert refused.value.fields[0].field == field


def test_a_query_that_ends_before_it_starts_is_invalid() -> None:
    with pytest.raises(Invalid) as refused:
        parse_query("5", "4")
    assert refused.value.fields[0][:2] == ("range_end", "before_start")
    assert refused.value.detail == "range_end lies before range_start"


def test_a_query_outside_the_content_is_unsatisfiable() -> None:
    with pytest.raises(RangeUnsatisfiable):
        chosen_span(10, ETAG, range_start="10")
    with pytest.raises(RangeUnsatisfiable):
        chosen_span(10, ETAG, range_start="9" * 5000)


@pytest.mark.parametrize("header", ["bytes=0-4", "bytes=2-", "bytes=99-", "bytes=-5"])
def test_header_and_query_that_differ_are_malformed(header: str) -> None:
    with pytest.raises(Malformed):
        chosen_span(10, ETAG, range_header=header, range_start="2", range_end="5")


def test_they_are_malformed_also_when_if_range_does_not_hold() -> None:
    with pytest.raises(Malformed):
        chosen_span(10, ETAG, range_header="bytes=0-4", range_start="2", if_range='"old"')


@pytest.mark.parametrize("header", ["bytes=5-", "bytes=5-9", "bytes=5-77", "bytes=-5"])
def test_header_and_query_that_mean_the_same_bytes_are_served(header: str) -> None:
    assert chosen_span(10, ETAG, range_header=header, range_start="5") == (5, 9)


def test_a_header_that_is_ignored_leaves_the_query() -> None:
    assert chosen_span(10, ETAG, range_header="bytes=0-1,3-4", range_start="5") == (5, 9)


@pytest.mark.parametrize(
    ("if_range", "holds"),
    [
        (None, True),
        (ETAG, True),
        (f" {ETAG} ", True),
        ('"ver_1"', False),
        (f"W/{ETAG}", False),
        ("ver_2", False),
        ("*", False),
        ("", False),
        ("Fri, 02 Jan 2026 03:04:05 GMT", False),
    ],
)
def test_if_range_holds_for_the_same_strong_tag_alone(if_range: str | None, holds: bool) -> None:
    assert if_range_holds(if_range, ETAG) is holds
    expected = (2, 5) if holds else None
    assert chosen_span(10, ETAG, range_header="bytes=2-5", if_range=if_range) == expected
    assert chosen_span(10, ETAG, range_start="2", range_end="5", if_range=if_range) == expected


def test_an_unsatisfiable_range_with_another_version_gets_the_whole() -> None:
    assert chosen_span(10, ETAG, range_header="bytes=99-", if_range='"ver_1"') is None


def test_a_weak_tag_of_ours_would_never_hold() -> None:
    assert not if_range_holds('W/"x"', 'W/"x"')


POSITIONS = st.one_of(st.integers(0, 14), st.integers(0, 2**63 - 1))  # larger ones are all the same to us


@given(st.binary(max_size=12), POSITIONS, st.none() | POSITIONS)
def test_a_span_holds_what_slicing_gives(content: bytes, first: int, last: int | None) -> None:
    if last is not None and last < first:
        assert parse_range(f"bytes={first}-{last}") is None
        return
    expected = content[first:] if last is None else content[first : last + 1]
    header = f"bytes={first}-{'' if last is None else last}"
    query = {"range_start": str(first), "range_end": None if last is None else str(last)}
    for given_as in ({"range_header": header}, query, {"range_header": header} | query):
        if not content:
            assert chosen_span(0, ETAG, **given_as) is None
            continue
        if not expected:
            with pytest.raises(RangeUnsatisfiable):
                chosen_span(len(content), ETAG, **given_as)
            continue
        span = chosen_span(len(content), ETAG, **given_as)
        assert span is not None
        assert content[span.first : span.last + 1] == expected
        assert span.length_bytes == len(expected)


@given(st.binary(max_size=12), st.one_of(st.integers(1, 14), st.integers(1, 2**70)))
def test_a_suffix_holds_what_slicing_gives(content: bytes, suffix: int) -> None:
    span = chosen_span(len(content), ETAG, range_header=f"bytes=-{suffix}")
    served = content if span is None else content[span.first : span.last + 1]
    assert served == content[-suffix:]


@given(st.text(alphabet="bytes=0123456789-, x\t", max_size=30) | st.text(max_size=20))
def test_no_header_makes_it_fail(header: str) -> None:
    found = parse_range(header)
    assert found is None or found != (None, None)

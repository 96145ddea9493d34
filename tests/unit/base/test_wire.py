from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import FieldError, Invalid, Malformed
from headwater.base.wire import decode, encode, format_micros, format_millis, format_seconds, parse_time

AT_US = 1_774_524_300_123_456
"""2026-03-26T11:25:00.123456Z"""
LAST_US = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000
FIRST_US = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z"""


class Contact(msgspec.Struct):
    name: str
    age: int = 0
    email: str | None = None


class Batch(msgspec.Struct):
    contacts: list[Contact]


BATCH = msgspec.json.Decoder(Batch)


def wrong_field(body: bytes) -> FieldError:
    with pytest.raises(Invalid) as failure:
        decode(BATCH, body)
    assert len(failure.value.fields) == 1
    return failure.value.fields[0]


def test_json_is_utf_8_without_spaces() -> None:
    assert encode({"name": "Bjørn", "list": [1, None, True]}) == '{"name":"Bjørn","list":[1,null,true]}'.encode()


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda body: body.decode()])
def test_a_body_is_decoded_from_any_kind_of_buffer(wrap: type) -> None:
    assert decode(BATCH, wrap(b'{"contacts":[{"name":"Ada"}]}')) == Batch([Contact("Ada")])


def test_a_missing_field_is_named_by_its_path() -> None:
    assert wrong_field(b'{"contacts":[{"name":"Ada"},{}]}') == FieldError(
        "contacts[1].name", "missing", "this field is required"
    )


def test_a_missing_field_at_the_top_is_named_alone() -> None:
    assert wrong_field(b"{}").field == "contacts"


def test_a_field_of_the_wrong_type_is_named_with_its_code() -> None:
    field = wrong_field(b'{"contacts":[{"name":7}]}')
    assert (field.field, field.code) == ("contacts[0].name", "invalid_type")
    assert field.detail == "must be a text, not a number"


def test_a_body_of_the_wrong_type_has_no_field_but_a_sentence() -> None:
    with pytest.raises(Invalid, match=r"^the body: must be an object, not a list$") as failure:
        decode(BATCH, b"[]")
    assert failure.value.fields[0].field == ""


def test_a_text_of_the_caller_that_looks_like_a_path_does_not_hide_the_path() -> None:
    choice = msgspec.json.Decoder(dict[str, Literal["a", "b"]])
    with pytest.raises(Invalid) as failure:
        decode(choice, b'{"platform": "c - at `$.other`"}')
    assert failure.value.fields[0].field == "platform"
    assert failure.value.fields[0].detail == "must be one of a, b"


def test_a_value_outside_its_bounds_is_an_incorrect_value() -> None:
    bounded = msgspec.json.Decoder(dict[str, Annotated[int, msgspec.Meta(ge=1)]])
    with pytest.raises(Invalid) as failure:
        decode(bounded, b'{"limit": 0}')
    assert failure.value.fields == (FieldError("limit", "incorrect_value", "must be at least 1"),)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is not valid JSON: it ends too early"),
        (b'{"contacts":[', "the body is not valid JSON: it ends too early"),
        (b"{'a': 1}", "the body is not valid JSON at byte 1"),
        (b'{"contacts":[]} x', "the body is not valid JSON at byte 17"),
        (b"\xff", "the body is not valid JSON at byte 0"),
    ],
)
def test_the_place_of_a_fault_in_json_is_named_and_not_its_parser(body: bytes, detail: str) -> None:
    with pytest.raises(Malformed) as failure:
        decode(BATCH, body)
    assert failure.value.detail == detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"contacts": [}',
        b'{"contacts": []} x',
        b'{"contacts": [{"name": "\xff"}]}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_bytes_that_are_no_json_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(BATCH, body)


def test_a_body_that_is_nested_too_deeply_is_malformed() -> None:
    anything = msgspec.json.Decoder()
    with pytest.raises(Malformed, match="nested"):
        decode(anything, b"[" * 100_000)


@pytest.mark.parametrize(
    ("format_time", "text"),
    [
        (format_seconds, "2026-03-26T11:25:00Z"),
        (format_millis, "2026-03-26T11:25:00.123Z"),
        (format_micros, "2026-03-26T11:25:00.123456Z"),
    ],
)
def test_a_time_has_as_many_digits_as_its_format_and_the_rest_is_cut(format_time, text: str) -> None:  # type: ignore[no-untyped-def]
    assert format_time(AT_US) == text


def test_a_time_before_1970_is_cut_downwards() -> None:
    assert format_seconds(-1) == "1969-12-31T23:59:59Z"
    assert format_millis(-1) == "1969-12-31T23:59:59.999Z"
    assert format_micros(-1) == "1969-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-03-26T11:25:00.123456Z", AT_US),
        ("2026-03-26t11:25:00.123456z", AT_US),
        ("2026-03-26 11:25:00.123456Z", AT_US),
        ("2026-03-26T13:25:00.123456+02:00", AT_US),
        ("2026-03-26T05:55:00.123456-05:30", AT_US),
        ("2026-03-26T11:25:00.1234569Z", AT_US),
        ("2026-03-26T11:25:00.1Z", AT_US - 23_456),
        ("0001-01-01T00:00:00Z", FIRST_US),
        ("9999-12-31T23:59:59Z", LAST_US),
    ],
)
def test_a_time_with_any_offset_is_read_to_the_microsecond(text: str, at_us: int) -> None:
    assert parse_time(text) == at_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-26",
        "2026-03-26T11:25:00",
        "2026-03-26T11:25Z",
        "2026-3-26T11:25:00Z",
        "2026-02-30T11:25:00Z",
        "2026-03-26T24:25:00Z",
        "2026-03-26T11:25:00+0200",
        "2026-03-26T11:25:00+24:00",
        "2026-03-26T11:25:00.1234567890Z",
        "\uff12\uff10\uff12\uff16-03-26T11:25:00Z",
        "0001-01-01T00:00:00+02:00",
        "9999-12-31T23:59:59-02:00",
        " 2026-03-26T11:25:00Z",
        "2026-03-26T11:25:00Z\n",
        "yesterday",
    ],
)
def test_a_text_that_is_no_instant_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(Invalid, match=r"^modified_at: ") as failure:
        parse_time(text, "modified_at")
    assert failure.value.fields[0][:2] == ("modified_at", "incorrect_value")


@given(st.integers(FIRST_US, LAST_US))
def test_a_time_in_microseconds_survives_its_text(at_us: int) -> None:
    assert parse_time(format_micros(at_us)) == at_us


@given(st.integers(FIRST_US, LAST_US))
def test_each_coarser_text_is_the_finer_one_cut_short(at_us: int) -> None:
    micros, millis, seconds = format_micros(at_us)[:-1], format_millis(at_us)[:-1], format_seconds(at_us)[:-1]
    assert micros.startswith(millis)
    assert millis.startswith(seconds)
    assert 0 <= at_us - parse_time(seconds + "Z") < 1_000_000


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - the offset is added below
    st.integers(-23 * 60, 23 * 60),
)
def test_the_same_instant_in_another_zone_is_the_same_number(naive: datetime, offset_minutes: int) -> None:
    at = naive.replace(tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(minutes=offset_minutes)))
    assert parse_time(elsewhere.isoformat()) == parse_time(at.isoformat())


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=20))
def test_any_json_value_survives_its_bytes(value: object) -> None:
    assert decode(msgspec.json.Decoder(), encode(value)) == value

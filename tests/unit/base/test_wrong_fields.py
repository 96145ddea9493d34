"""Wrong fields under a shape: all of them, in words of ours, and none where the decoder finds none."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from headwater.base.errors import Invalid
from headwater.base.wire import convert, decode, encode
from headwater.base.wrong_fields import MAX_ERRORS, MAX_VALUES, read_again


class Access(enum.Enum):
    READ = "READ"
    WRITE = "WRITE"


class Inner(msgspec.Struct):
    at: Annotated[int, Meta(ge=1, le=10)]
    name: Annotated[str, Meta(min_length=2, max_length=4)] = "ab"


class Square(msgspec.Struct, tag_field="form", tag="square"):
    side: int


class Circle(msgspec.Struct, tag_field="form", tag="circle"):
    radius: float


class Whole(msgspec.Struct, kw_only=True):
    text: Annotated[str, Meta(pattern="^a+$", extra={"form": "some a"})] | UnsetType | None = UNSET
    access: Access | None = None
    mode: Literal["on", "off", 3] = "on"
    flag: bool = False
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    inner: Inner | None = None
    many: Annotated[list[Inner], Meta(max_length=2)] = []
    labels: dict[Annotated[str, Meta(max_length=3)], int] = {}
    shape: Square | Circle | None = None
    either: int | str = 0
    free: Any = None


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    known: int = 0


def faults(shape: Any, value: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(Invalid) as failure:
        decode(msgspec.json.Decoder(shape), encode(value))
    return [(field.field, field.code, field.detail) for field in failure.value.fields]


@pytest.mark.parametrize(
    ("value", "field", "code", "detail"),
    [
        ({"text": 5}, "text", "invalid_type", "must be a text or null, not a number"),
        ({"text": "b"}, "text", "incorrect_value", "must be some a"),
        ({"text": ""}, "text", "blank", "must be some a; send null for none"),
        ({"access": "ALL"}, "access", "incorrect_value", "must be one of READ, WRITE"),
        ({"access": 7}, "access", "invalid_type", "must be READ or WRITE or null, not a number"),
        ({"mode": "away"}, "mode", "incorrect_value", "must be one of 3, off, on"),
        ({"mode": 4}, "mode", "incorrect_value", "must be one of 3, off, on"),
        ({"mode": []}, "mode", "invalid_type", "must be one of 3, off, on"),
        ({"flag": "yes"}, "flag", "invalid_type", "must be true or false, not a text"),
        ({"flag": None}, "flag", "invalid_type", "must be true or false, not null"),
        ({"share": 1}, "share", "incorrect_value", "must be more than 0 and less than 1"),
        ({"share": "1"}, "share", "invalid_type", "must be a number, not a text"),
        ({"inner": {}}, "inner.at", "missing", "this field is required"),
        ({"inner": {"at": 0}}, "inner.at", "incorrect_value", "must be at least 1 and at most 10"),
        ({"inner": {"at": 1.5}}, "inner.at", "invalid_type", "must be a whole number"),
        ({"inner": {"at": True}}, "inner.at", "invalid_type", "must be a whole number, not true or false"),
        ({"inner": {"at": 1, "name": ""}}, "inner.name", "blank", "must not be empty"),
        ({"inner": {"at": 1, "name": "a"}}, "inner.name", "incorrect_value", "must have at least 2 characters"),
        ({"inner": {"at": 1, "name": "abcde"}}, "inner.name", "incorrect_value", "must have at most 4 characters"),
        ({"many": [{"at": 1}, {"at": "x"}]}, "many[1].at", "invalid_type", "must be a whole number, not a text"),
        ({"many": [{"at": 1}] * 3}, "many", "incorrect_value", "must have at most 2 items"),
        ({"many": {}}, "many", "invalid_type", "must be a list, not an object"),
        ({"labels": {"abcd": 1}}, "labels.abcd", "incorrect_value", "the key must have at most 3 characters"),
        ({"labels": {"a": "x"}}, "labels.a", "invalid_type", "must be a whole number, not a text"),
        ({"shape": {"form": "line"}}, "shape.form", "incorrect_value", "must be one of square, circle"),
        ({"shape": {}}, "shape.form", "missing", "this field is required; it must be one of square, circle"),
        ({"shape": {"form": "circle"}}, "shape.radius", "missing", "this field is required"),
        ({"either": []}, "either", "invalid_type", "must be a whole number or a text, not a list"),
        ([], "", "invalid_type", "must be an object, not a list"),
    ],
)
def test_a_wrong_field_is_named_in_plain_words(value: Any, field: str, code: str, detail: str) -> None:
    assert faults(Whole, value) == [(field, code, detail)]


def test_an_unknown_field_is_named_where_none_may_be() -> None:
    assert faults(Strict, {"other": 1}) == [("other", "unknown", "there is no such field")]


def test_all_wrong_fields_are_in_one_answer() -> None:
    value = {"text": 5, "access": "X", "flag": 1, "inner": {"at": 0, "name": 3}, "many": [{}], "labels": {"a": None}}
    named = [field for field, _, _ in faults(Whole, value)]
    assert named == ["text", "access", "flag", "inner.at", "inner.name", "many[0].at", "labels.a"]


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    body = b'{"inner":{"at":5.0},"labels":{"a":2e2},"free":1.0,"share":0.25}'
    read = decode(msgspec.json.Decoder(Whole), body)
    assert (read.inner, read.labels) == (Inner(at=5), {"a": 200})
    assert type(read.inner.at) is int  # type: ignore[union-attr]
    assert convert({"at": 5.0}, Inner) == Inner(at=5)
    assert faults(Whole, {"inner": {"at": 11.0}})[0][2] == "must be at least 1 and at most 10"
    assert faults(Whole, {"inner": {"at": 1e300}}) != []


def test_the_wrong_fields_of_one_answer_are_bounded() -> None:
    found = faults(list[int], ["x"] * (MAX_ERRORS + 50))
    assert len(found) == MAX_ERRORS
    with pytest.raises(Invalid, match="and 90 more"):
        decode(msgspec.json.Decoder(list[int]), encode(["x"] * (MAX_ERRORS + 50)))


def test_a_fault_behind_the_values_that_are_read_again_is_still_named_in_our_words() -> None:
    found = faults(list[int], [1] * (MAX_VALUES + 5) + ["x"])
    assert found == [(f"[{MAX_VALUES + 5}]", "invalid_type", "must be a whole number, not a text")]
    large = faults(dict[str, Any] | list[int], ["x" * (1 << 20)])
    assert large == [("[0]", "invalid_type", "must be a whole number, not a text")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats(-1, 2) | st.sampled_from(["", "a", "aa", "on", "READ"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Whole.__struct_fields__, "at", "name", "form", "side", "radius"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(VALUES | st.dictionaries(st.sampled_from(Whole.__struct_fields__), VALUES, max_size=5))
def test_a_value_has_wrong_fields_exactly_when_the_decoder_refuses_it(value: Any) -> None:
    try:
        msgspec.json.decode(encode(value), type=Whole)
        refused = False
    except msgspec.ValidationError:
        refused = True
    read = read_again(Whole, value)
    assert (read.errors != () or read.changed) == refused
    if read.changed and not read.errors:
        msgspec.json.decode(encode(read.value), type=Whole)


def test_a_request_of_wrong_values_is_read_in_time_that_its_length_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.base import wrong_fields

    calls = 0
    really_read = wrong_fields._ValueReader.read

    def counted(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return really_read(self, *arguments)

    monkeypatch.setattr(wrong_fields._ValueReader, "read", counted)
    for count in (1_000, 100_000):
        calls = 0
        read_again(list[list[int]], [[1, "x"]] * count)
        assert calls <= 2 * MAX_VALUES

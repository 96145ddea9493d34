"""Encodes and decodes JSON, with the path of each wrong field, and RFC 3339 times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from headwater.base.errors import FieldError, Invalid, Malformed
from headwater.base.wrong_fields import read_again

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PATH_MARK = " - at `"
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_TYPES = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_BYTE = re.compile(r"\(byte (\d+)\)")
_WORDS = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "null",
    "array": "a list", "object": "an object",
}  # fmt: skip
_READ_AGAIN_MAX_BYTES = 1 << 20
_NAMED_IN_SENTENCE = 10
_ZONED_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Pagination(msgspec.Struct, gc=False):
    """The page of a list that an answer shows, and the total number of items."""

    page: int
    limit: int
    total: int


def encode(value: Any) -> bytes:
    """Returns a value as JSON in UTF-8, without spaces."""
    return msgspec.json.encode(value)


def decode(decoder: msgspec.json.Decoder[T], body: bytes | bytearray | memoryview | str) -> T:
    """Returns the typed value of a JSON body; 5.0 is accepted as the whole number 5.

    Raises: Malformed (not JSON, or nested deeper than the parser allows), Invalid (each field of a wrong type or
    value, with its path).
    """
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as failure:
            return _decode_again(decoder, body, failure)
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise Malformed(_malformed_sentence(str(failure))) from None
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None


def convert(value: Any, shape: type[T]) -> T:
    """Returns a decoded JSON value as a shape. Raises: Invalid (each wrong field, with its path)."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as failure:
        read = read_again(shape, value)
        if read.changed and not read.errors:
            return msgspec.convert(read.value, shape)
        raise invalid(read.errors or (_first_error(failure),)) from None


def invalid(fields: tuple[FieldError, ...]) -> Invalid:
    """Returns the error of these wrong fields; its sentence names the first of many."""
    named = [f"{field.field or 'the body'}: {field.detail}" for field in fields[:_NAMED_IN_SENTENCE]]
    more = len(fields) - len(named)
    return Invalid("; ".join(named) + (f"; and {more} more" if more else ""), fields=fields)


def _decode_again(
    decoder: msgspec.json.Decoder[T], body: bytes | bytearray | memoryview | str, failure: msgspec.ValidationError
) -> T:
    """Reads a body that the decoder refused field by field; a larger one has its first wrong field named alone."""
    if len(body) > _READ_AGAIN_MAX_BYTES:
        raise invalid((_first_error(failure),)) from None
    read = read_again(decoder.type, msgspec.json.decode(body))
    if read.errors or not read.changed:
        raise invalid(read.errors or (_first_error(failure),)) from None
    try:
        return decoder.decode(msgspec.json.encode(read.value))
    except msgspec.ValidationError as second:
        raise invalid((_first_error(second),)) from None


def _first_error(failure: msgspec.ValidationError) -> FieldError:
    """The field that the decoder refused first: its path (``contacts[3].email``), a code, and a sentence of ours."""
    sentence = str(failure)
    # The last mark: the sentence may quote a text of the caller that contains the mark too.
    what, mark, path = sentence.rpartition(_PATH_MARK)
    if not mark:
        what, path = sentence, ""
    path = path.removesuffix("`").removeprefix("$").lstrip(".")
    missing = _MISSING.search(what)
    if missing:
        path = f"{path}.{missing['field']}" if path else missing["field"]
        return FieldError(path, "missing", "this field is required")
    types = _TYPES.fullmatch(what)
    if types is None:
        return FieldError(path, "incorrect_value", "has a value that is not allowed here")
    wanted = " or ".join(dict.fromkeys(_WORDS.get(name, "another value") for name in types["wanted"].split(" | ")))
    return FieldError(path, "invalid_type", f"must be {wanted}, not {_WORDS.get(types['got'], 'this one')}")


def _malformed_sentence(parser: str) -> str:
    """The sentence for a body that is no JSON, with the place that the parser names."""
    if "truncated" in parser:
        return "the body is not valid JSON: it ends too early"
    place = _BYTE.search(parser)
    return f"the body is not valid JSON at byte {place[1]}" if place else "the body is not valid JSON in UTF-8"


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat().removesuffix("+00:00") + "Z"


def format_seconds(at_us: int) -> str:
    """Returns a time as ``2026-03-26T11:25:00Z``; microseconds are truncated, not rounded."""
    return _second_text(at_us // 1_000_000)


def format_millis(at_us: int) -> str:
    """Returns a time as ``2026-03-26T11:25:00.000Z``; microseconds are truncated to milliseconds."""
    return f"{_second_text(at_us // 1_000_000)[:-1]}.{at_us // 1000 % 1000:03d}Z"


def format_micros(at_us: int) -> str:
    """Returns a time as ``2026-03-26T11:25:00.000000Z``, without loss."""
    return f"{_second_text(at_us // 1_000_000)[:-1]}.{at_us % 1_000_000:06d}Z"


def parse_time(text: str, field: str = "") -> int:
    """Returns an RFC 3339 time with any offset as microseconds UTC since 1970.

    Raises: Invalid, naming ``field``.
    """
    try:
        if not _ZONED_TIME.fullmatch(text):
            raise ValueError(text)
        at = datetime.fromisoformat(text.upper().replace(" ", "T"))
        # Converted to UTC first: a time outside the years 1 to 9999 in UTC could be read, but not formatted again.
        return (at.astimezone(UTC) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        detail = "must be an RFC 3339 time with an offset, like 2026-03-26T09:30:00Z"
        raise Invalid(f"{field or 'time'}: {detail}", fields=(FieldError(field, "incorrect_value", detail),)) from None

"""Encodes and decodes JSON, with the path of each wrong field, and RFC 3339 times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from headwater.base.errors import FieldError, Invalid, Malformed

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PATH_MARK = " - at `"
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
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
    """Returns the typed value of a JSON body.

    Raises: Malformed (not JSON, or nested deeper than the parser allows), Invalid (a field of the wrong type or
    value, with its path).
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as failure:
        field = field_error(failure)
        raise Invalid(f"{field.field or 'the body'}: {field.detail}", fields=(field,)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise Malformed(f"the body is not valid JSON: {failure}") from None
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None


def field_error(failure: msgspec.ValidationError) -> FieldError:
    """Returns the field that failed validation: its path (``contacts[3].email``), a code, and the parser's sentence."""
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
    code = "invalid_type" if what.startswith("Expected `") and "got" in what else "incorrect_value"
    return FieldError(path, code, what[:1].lower() + what[1:])


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
        detail = "expected an RFC 3339 time with an offset, like 2026-03-26T09:30:00Z"
        raise Invalid(f"{field or 'time'}: {detail}", fields=(FieldError(field, "incorrect_value", detail),)) from None

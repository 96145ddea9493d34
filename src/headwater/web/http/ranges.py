"""Byte ranges of a content: the Range header, If-Range, and the query parameters with the same meaning.

One range is served, or the whole content. A header with several ranges is ignored, as RFC 9110 allows, and so is
one that is malformed or of another unit; the whole content is then served. The query parameters belong to the
contract, so a wrong one is an error.

Source: RFC 9110 sections 13.1.5 (If-Range) and 14 (ranges); files contract, "GET /api/v1/sync/download".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from headwater.base.errors import FieldError, Invalid, Malformed, RangeUnsatisfiable

MAX_POSITION = 2**63 - 1
"""The largest position, beyond any content; larger ones are reduced to it, whatever their number of digits."""

_BYTE_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_DIGITS = re.compile(r"[0-9]+")


class Span(NamedTuple):
    """The bytes ``first`` to ``last`` of a content, both included, both inside it."""

    first: int
    last: int

    @property
    def length_bytes(self) -> int:
        """The number of bytes in the span; at least one."""
        return self.last - self.first + 1

    def content_range(self, size_bytes: int) -> str:
        """Returns the Content-Range field of a 206 answer."""
        return f"bytes {self.first}-{self.last}/{size_bytes}"


class ByteRange(NamedTuple):
    """A requested range: ``first`` to ``last``, either may be open; without ``first``, the last ``last`` bytes."""

    first: int | None
    last: int | None


def chosen_span(
    size_bytes: int,
    etag: str,
    *,
    range_header: str | None = None,
    if_range: str | None = None,
    range_start: str | None = None,
    range_end: str | None = None,
) -> Span | None:
    """Returns the span to serve with 206, or None for the whole content with 200.

    ``etag`` is the strong ETag of the content, quotes included. ``range_start`` and ``range_end`` are the unparsed
    query parameters. The last bytes of an empty content are the whole content, which Content-Range cannot express,
    so the result is None.
    Raises: Malformed (400) when header and query request different bytes; Invalid (422) for a query parameter
    that is not a position, or an end before its start; RangeUnsatisfiable (416) for a range outside the content.
    """
    asked = parse_range(range_header) if range_header is not None else None
    query = parse_query(range_start, range_end)
    if asked is not None and query is not None and _resolved(asked, size_bytes) != _resolved(query, size_bytes):
        raise Malformed("the Range header and range_start/range_end ask for different bytes; send one of them")
    wanted = asked or query
    # Many clients always send a Range: an empty content has no bytes to refuse, so it is sent whole.
    if wanted is None or not size_bytes or not if_range_holds(if_range, etag):
        return None
    span = _resolved(wanted, size_bytes)
    if span is None:
        raise RangeUnsatisfiable(
            f"the range lies outside the content of {size_bytes} bytes", extra={"size_bytes": size_bytes}
        )
    return span


def parse_range(header: str) -> ByteRange | None:
    """Returns the range of a Range header, or None when the header must be ignored."""
    unit, equals, ranges = header.strip(" \t").partition("=")
    members = [member for member in (part.strip(" \t") for part in ranges.split(",")) if member]
    if not equals or unit.lower() != "bytes" or len(members) != 1:
        return None
    found = _BYTE_RANGE.fullmatch(members[0])
    if found is None or members[0] == "-":
        return None
    first, last = (_position(digits) if digits else None for digits in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)


def parse_query(range_start: str | None, range_end: str | None) -> ByteRange | None:
    """Returns the range of the query parameters, both ends included; without a start, from the first byte.

    Raises: Invalid for a parameter that is not a position, or an end before its start.
    """
    if range_start is None and range_end is None:
        return None
    for field, text in (("range_start", range_start), ("range_end", range_end)):
        if text is not None and not _DIGITS.fullmatch(text):
            raise _invalid(field, "not_a_position", "is a number of bytes: digits only")
    first = _position(range_start) if range_start is not None else 0
    last = _position(range_end) if range_end is not None else None
    if last is not None and last < first:
        raise _invalid("range_end", "before_start", "lies before range_start")
    return ByteRange(first, last)


def if_range_holds(if_range: str | None, etag: str) -> bool:
    """True when the range may be served: without If-Range, or with the same strong ETag.

    A weak ETag never matches; nor does a date, because a version has no date that is a strong validator.
    """
    return if_range is None or (if_range.strip(" \t") == etag and not etag.startswith("W/"))


def _resolved(asked: ByteRange, size_bytes: int) -> Span | None:
    """Returns the span inside a content of this size; None when there is none; for an empty content, the empty span."""
    if asked.first is None:
        suffix_bytes = asked.last or 0
        return Span(max(0, size_bytes - suffix_bytes), size_bytes - 1) if suffix_bytes else None
    if asked.first >= size_bytes:
        return None
    last = size_bytes - 1 if asked.last is None else min(asked.last, size_bytes - 1)
    return Span(asked.first, last)


def _position(digits: str) -> int:
    """Returns the number of these digits, at most the largest position; never parses a number of unbounded length."""
    significant = digits.lstrip("0")
    return MAX_POSITION if len(significant) > 19 else min(int(significant or "0"), MAX_POSITION)


def _invalid(field: str, code: str, detail: str) -> Invalid:
    return Invalid(f"{field} {detail}", fields=(FieldError(field, code, detail),))

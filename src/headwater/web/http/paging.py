"""Page numbers of lists: ``page`` from 1, ``limit`` 1-100 (default 20), and the Link header. Source: RFC 8288."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlencode

from headwater.base.errors import Invalid
from headwater.web.reply import Header

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_SEARCH_CHARACTERS = 256
"""Longest text that ``q`` searches; an email address is shorter."""

SEARCH_SCHEMA = {"type": "string", "maxLength": MAX_SEARCH_CHARACTERS}
_MAX_PAGE = 10**9
_MAX_DIGITS = 19


class Paging(NamedTuple):
    """The requested page and its size; both count from 1."""

    page: int
    limit: int

    @property
    def offset(self) -> int:
        """The number of rows before the page."""
        return (self.page - 1) * self.limit


def is_integer(text: str, least: int | None, most: int | None) -> bool:
    """True for the text of a whole number within a range."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        return False
    return (least is None or int(text) >= least) and (most is None or int(text) <= most)


def integer_sentence(least: int | None, most: int | None) -> str:
    """The sentence for a text that is no whole number within a range."""
    if least is not None and most is not None:
        return f"must be a whole number from {least} to {most}"
    return f"must be a whole number of at least {least}" if least is not None else "must be a whole number"


def integer(query: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """Returns a whole number from the query, within a range. Raises: Invalid naming the parameter."""
    text = query.get(name)
    if text is None:
        return default
    if is_integer(text, least, most):
        return int(text)
    raise Invalid.of(name, "incorrect_value", integer_sentence(least, most))


def boolean(query: dict[str, str], name: str, *, default: bool = False) -> bool:
    """Returns ``true`` or ``false`` from the query. Raises: Invalid naming the parameter."""
    text = query.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise Invalid.of(name, "incorrect_value", "must be true or false")
    return text == "true"


def search_text(query: dict[str, str]) -> str:
    """Returns the text of ``q``, empty without one. Raises: Invalid (longer than any name, address or number)."""
    text = query.get("q", "")
    if len(text) > MAX_SEARCH_CHARACTERS:
        raise Invalid.of("q", "incorrect_value", f"must have at most {MAX_SEARCH_CHARACTERS} characters")
    return text


def paging(query: dict[str, str]) -> Paging:
    """Returns the page that a query requests. Raises: Invalid."""
    page = integer(query, "page", 1, 1, _MAX_PAGE)
    return Paging(page, integer(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT))


def pagination(paging: Paging, total: int) -> bytes:
    """Returns the ``pagination`` member of a list answer, as JSON."""
    return b'{"page":%d,"limit":%d,"total":%d}' % (paging.page, paging.limit, total)


def link(path: str, query: dict[str, str], paging: Paging, total: int) -> Header:
    """Returns the Link header of a list answer: first, last, and prev and next where such pages exist."""
    last = max(1, -(-total // paging.limit))
    pages = {"first": 1, "prev": min(paging.page - 1, last), "next": paging.page + 1, "last": last}
    target = quote(path, safe="/%:@!$&'()*+,;=")
    parts = [
        f'<{target}?{urlencode(query | {"page": page, "limit": paging.limit})}>; rel="{rel}"'
        for rel, page in pages.items()
        if 1 <= page <= last
    ]
    return b"link", ", ".join(parts).encode()

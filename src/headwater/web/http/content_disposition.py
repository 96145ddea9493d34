"""How a download is named: the Content-Disposition field, safe for any file name.

Source: RFC 6266 (the field, and what a name must not do), RFC 8187 (``filename*``).
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_UNSAFE_IN_QUOTES = re.compile(r'[^ -~]|["%\\/]')
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"
_FALLBACK = "download"


def attachment(file_name: str) -> str:
    """The field's value, ASCII: always ``attachment``, so that no content runs in the page of our origin.

    A name that is not plain ASCII comes twice: shown as well as ASCII can, and exactly as ``filename*``.
    Slashes, backslashes and control characters become ``_`` in both; ``%`` and quotes in the first only,
    because agents disagree on escapes inside the quotes. An empty name is ``download``.
    """
    safe = "".join("_" if c in "/\\" or unicodedata.category(c) in {"Cc", "Cs"} else c for c in file_name)
    safe = safe if safe.strip(". ") else _FALLBACK
    shown = _UNSAFE_IN_QUOTES.sub("_", unicodedata.normalize("NFKD", safe) if safe.isascii() else _unaccented(safe))
    plain = f'attachment; filename="{shown}"'
    if shown == safe:
        return plain
    return f"{plain}; filename*=UTF-8''{quote(safe, safe=_ATTRIBUTE_CHARACTERS)}"


def _unaccented(text: str) -> str:
    """The text with accents taken off, for agents that read ASCII only."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))

"""The Content-Disposition field, which names a download, safe for any file name.

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
    """Returns the field's value in ASCII: always ``attachment``, so that no content runs in a page of this origin.

    A name that is not plain ASCII is sent twice: as an ASCII approximation, and exactly as ``filename*``.
    Slashes, backslashes and control characters become ``_`` in both; ``%`` and quotes only in the first,
    because user agents disagree on escapes inside the quotes. An empty name becomes ``download``.
    """
    safe = "".join("_" if c in "/\\" or unicodedata.category(c) in {"Cc", "Cs"} else c for c in file_name)
    safe = safe if safe.strip(". ") else _FALLBACK
    shown = _UNSAFE_IN_QUOTES.sub("_", unicodedata.normalize("NFKD", safe) if safe.isascii() else _unaccented(safe))
    plain = f'attachment; filename="{shown}"'
    if shown == safe:
        return plain
    return f"{plain}; filename*=UTF-8''{quote(safe, safe=_ATTRIBUTE_CHARACTERS)}"


def _unaccented(text: str) -> str:
    """Returns the text without accents, for user agents that read only ASCII."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))

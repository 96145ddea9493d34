"""One text as a CSV cell that no spreadsheet reads as a formula, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RISKY = re.compile(
    # A formula begins with one of these, and their wide forms count. A plus with digits and blanks alone is a
    # phone number and stays as it is. White space is guarded too: what is not guarded gets trimmed.
    r"[=\-@\uff1d\uff0b\uff0d\uff20\s]|\+(?![0-9][0-9 ]*\Z)"
)
_LIST_MARKS = re.compile(r"[\\;,]|:(?=::)")
_LIST_PARTS = re.compile(r"((?:[^\\;,]|\\.?)*+)([;,]|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def cell_text(cell: str) -> str:
    """The text of a cell: a guard is removed and the rest stays as it is; else white space around it is trimmed."""
    if cell[:1] == "'" and _is_risky(cell[1:]):
        return cell[1:]
    return cell.strip()


def text_cell(text: str) -> str:
    """The cell for a text: ``'`` precedes one that a spreadsheet would run; ``cell_text`` undoes just that.

    A text that looks guarded already gets a second guard, so that every text is read back as it was.
    Source: OWASP, "CSV Injection".
    """
    return "'" + text if _is_risky(text) else text


def _is_risky(text: str) -> bool:
    bare = text.lstrip("'")
    return bare != "" and (bare[-1].isspace() or _RISKY.match(bare) is not None)


def list_cell(items: Iterable[str]) -> str:
    """Several ids in one cell, ``ch-01; ch-07``; separators inside an id are escaped with a backslash."""
    return "; ".join(_LIST_MARKS.sub(r"\\\g<0>", item) for item in items)


def cell_list(text: str) -> tuple[str, ...]:
    """The ids in a cell, each once, in order; separated by ``;``, ``,`` or the ``:::`` of Google Contacts."""
    if not text:
        return ()
    if "\\" in text:
        parts = [_ESCAPED.sub(r"\1", part.strip()) for part, _ in _LIST_PARTS.findall(text)]
    elif ":::" in text:
        parts = [part.strip() for part in text.split(":::")]
    else:
        parts = [part.strip() for part in re.split(r"[;,]", text)]
    return tuple(dict.fromkeys(part for part in parts if part))

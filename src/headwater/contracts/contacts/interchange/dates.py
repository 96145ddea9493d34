"""Dates and times as files write them, into the contract's forms; a doubtful one is never guessed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Literal

from headwater.contracts.contacts.interchange.record import RowProblem

DateOrder = Literal["dmy", "mdy"]
"""The order of day and month in ``04/05/1988``."""

_ISO = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?", re.ASCII | re.DOTALL)
_DOTTED = re.compile(r"(\d{1,2})[. ] ?(\d{1,2})[. ] ?(\d{4})\.?", re.ASCII)
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?: .*)?", re.ASCII)
_PARTIAL = re.compile(r"--\d\d-?(\d\d)?|---\d\d|\d{4}(-\d\d)?", re.ASCII)
_NO_DATE = frozenset({"0/0/00", "0/0/0000", "00/00/00", "0000-00-00", "00.00.0000"})
"""The dates that some programs write for an unknown day."""

_FIELD = "date_of_birth"


def read_date(text: str, order: DateOrder | None = None) -> tuple[str | None, RowProblem | None]:
    """A date of birth as YYYY-MM-DD, or None and the fault.

    Read are ISO 8601 (a time after it is dropped), ``21.4.1988``, and ``4/21/1988`` either way round where
    ``order`` or the numbers themselves decide. A date without its day or year is a warning.
    """
    if len(text) == 10 and text[4] == text[7] == "-" and _is_day(text):
        return text, None
    text = text.strip()
    if not text or text in _NO_DATE:
        return None, None
    if match := _ISO.fullmatch(text):
        year, month, day = map(int, match.groups())
    elif match := _DOTTED.fullmatch(text):
        day, month, year = map(int, match.groups())
    elif match := _SLASHED.fullmatch(text):
        left, right, year = map(int, match.groups())
        if order is None and left != right and max(left, right) <= 12:
            detail = f"{text!r} can be read two ways; say whether the day or the month comes first"
            return None, RowProblem(_FIELD, "date_ambiguous", detail)
        day_first = order == "dmy" or (order is None and left > 12)
        day, month = (left, right) if day_first else (right, left)
    elif _PARTIAL.fullmatch(text):
        return None, RowProblem(
            _FIELD, "date_partial", f"{text!r} is not a whole date, so the contact gets none", refuses=False
        )
    else:
        return None, RowProblem(_FIELD, "date_invalid", f"{text!r} is not a date like 1988-04-21 or 21.04.1988")
    try:
        return date(year, month, day).isoformat(), None
    except ValueError:
        return None, RowProblem(_FIELD, "date_invalid", f"{text!r} is not a day of the calendar")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def read_time(text: str) -> str | None:
    """A time stamp in UTC as ``2026-03-26T11:25:00Z``, parts of seconds cut; None for any other text.

    A time without an offset is read as UTC.
    """
    try:
        at = datetime.fromisoformat(text.strip())
        if len(text) == 20 and text[10] == "T" and text[19] == "Z":
            return text
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{at:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")


def basic_time(text: str) -> str | None:
    """A time stamp as vCard writes it, ``20260326T112500Z``; None when the text is none. Source: RFC 6350 4.3.5."""
    read = read_time(text)
    return read.replace("-", "").replace(":", "") if read else None

"""Dates and times as files write them, into the contract's forms; a doubtful one is never guessed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Literal

from headwater.contracts.contacts.interchange.record import RowProblem, quoted

DateOrder = Literal["dmy", "mdy"]
"""The order of day and month in ``04/05/1988``."""

_ISO = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?", re.ASCII | re.DOTALL)
_DOTTED = re.compile(r"(\d{1,2})[. ] ?(\d{1,2})[. ] ?(\d{4})\.?", re.ASCII)
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?: .*)?", re.ASCII)
_PARTIAL = re.compile(r"--\d\d-?(\d\d)?|---\d\d|\d{4}(-\d\d)?", re.ASCII)
_NO_YEAR = re.compile(r"(\d{1,2})(?:[/-](\d{1,2})|\. ?(\d{1,2})\.?)", re.ASCII)
_NO_DATE = frozenset({"0/0/00", "0/0/0000", "00/00/00", "0000-00-00", "00.00.0000"})
"""The dates that some programs write for an unknown day."""

UNKNOWN_YEARS = frozenset({0, 1604})
"""The years that programs write when only day and month are known; Apple writes 1604."""

_UNKNOWN_TEXTS = frozenset(f"{year:04}" for year in UNKNOWN_YEARS)
_LEAP_YEAR = 1604
_FIELD = "date_of_birth"


def read_date(text: str, order: DateOrder | None = None) -> tuple[str | None, RowProblem | None]:
    """A date of birth as YYYY-MM-DD, or None and the fault, which is a warning: it costs the date alone.

    Read are ISO 8601 (a time after it is dropped), ``21.4.1988``, and ``4/21/1988`` either way round where
    ``order`` or the numbers themselves decide.
    """
    if len(text) == 10 and text[4] == text[7] == "-" and text[:4] not in _UNKNOWN_TEXTS and _is_day(text):
        return text, None
    text = text.strip()
    if not text or text in _NO_DATE:
        return None, None
    if known_part(text, order) is not None:
        return None, _fault("date_partial", f"{quoted(text)} is not a whole date, so the contact gets none")
    if match := _ISO.fullmatch(text):
        year, month, day = map(int, match.groups())
    elif match := _DOTTED.fullmatch(text):
        day, month, year = map(int, match.groups())
    elif match := _SLASHED.fullmatch(text):
        left, right, year = map(int, match.groups())
        placed = _day_and_month(left, right, order)
        if placed is None:
            detail = (
                f"{quoted(text)} can be read two ways; state the order of day and month (--dates dmy or --dates mdy)"
            )
            return None, _fault("date_ambiguous", detail)
        day, month = placed
    else:
        return None, _fault("date_invalid", f"{quoted(text)} is not a date like 1988-04-21 or 21.04.1988")
    try:
        return date(year, month, day).isoformat(), None
    except ValueError:
        return None, _fault("date_invalid", f"{quoted(text)} is not a day of the calendar")


def known_part(text: str, order: DateOrder | None = None) -> str | None:
    """The known part of an incomplete date as vCard writes it (``--1217``, ``1988-04``); None for any other text.

    A date of a year that means "unknown" is such a one. Source: RFC 6350 4.3.1.
    """
    if _PARTIAL.fullmatch(text):
        return "--" + text[2:].replace("-", "") if text.startswith("--") and text[2] != "-" else text
    day_month: tuple[int, int] | None = None
    if (match := _ISO.fullmatch(text)) and int(match[1]) in UNKNOWN_YEARS:
        day_month = int(match[3]), int(match[2])
    elif (match := _DOTTED.fullmatch(text)) and int(match[3]) in UNKNOWN_YEARS:
        day_month = int(match[1]), int(match[2])
    elif (match := _SLASHED.fullmatch(text)) and int(match[3]) in UNKNOWN_YEARS:
        day_month = _day_and_month(int(match[1]), int(match[2]), order)
    elif match := _NO_YEAR.fullmatch(text):
        is_dotted = match[3] is not None
        day_month = _day_and_month(int(match[1]), int(match[2] or match[3]), "dmy" if is_dotted else order)
    if day_month is None or not _is_day(f"{_LEAP_YEAR}-{day_month[1]:02}-{day_month[0]:02}"):
        return None
    return f"--{day_month[1]:02}{day_month[0]:02}"


def unknown_year_date(text: str) -> str | None:
    """A date whose year means "unknown" as a day of that year (``1604-04-21``); None for any other text."""
    part = known_part(text)
    is_whole = any(pattern.fullmatch(text) for pattern in (_ISO, _DOTTED, _SLASHED))
    return f"{_LEAP_YEAR}-{part[2:4]}-{part[4:]}" if part and is_whole else None


def proven_order(text: str) -> DateOrder | None:
    """The order of day and month that this date can only have; None when it proves none."""
    text = text.strip()
    match = _DOTTED.fullmatch(text) or _SLASHED.fullmatch(text) or _NO_YEAR.fullmatch(text)
    if match is None:
        return None
    left, right = int(match[1]), int(match[2] or match[3] or 0)
    if 12 < left <= 31 and 1 <= right <= 12:
        return "dmy"
    return "mdy" if 12 < right <= 31 and 1 <= left <= 12 else None


def _day_and_month(left: int, right: int, order: DateOrder | None) -> tuple[int, int] | None:
    """Day and month of two numbers; None when they can be read two ways."""
    if order is None and left != right and max(left, right) <= 12:
        return None
    day_first = order == "dmy" or (order is None and left > 12)
    return (left, right) if day_first else (right, left)


def _fault(code: str, detail: str) -> RowProblem:
    return RowProblem(_FIELD, code, detail, refuses=False)


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

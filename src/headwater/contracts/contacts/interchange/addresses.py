"""The parts of a postal address into the one text that a contact has."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headwater.base.textkeys import fold

_MOST_WORDS = 20
"""Most words of a part that is looked for in a whole address; a longer one is no street, and takes time."""

_SEGMENTS = re.compile(r"[,;\r\n]")
_WORDS = re.compile(r"\w+")


def joined_address(
    *,
    street: Iterable[str] = (),
    postal_code: str = "",
    city: str = "",
    region: str = "",
    country: str = "",
) -> str | None:
    """``Storgata 12, 0155 Oslo``: the parts in the order of an envelope; None when all are empty."""
    town = " ".join(part for part in (postal_code.strip(), city.strip()) if part)
    parts = [*street, town, region, country]
    return ", ".join(part for part in parts if part.strip()) or None


def completed_address(
    whole: str,
    *,
    street: Iterable[str] = (),
    postal_code: str = "",
    city: str = "",
    region: str = "",
    country: str = "",
) -> str:
    """An address that one column has whole, with the parts of other columns that it does not contain.

    A town counts as contained where it ends a line or follows the street, for a street may have the town's name.
    """
    first, *rest = [_words(segment) for segment in _SEGMENTS.split(whole)]
    segments = [first, *rest]

    def is_in(part: str) -> bool:
        words = _words(part)
        return not words or any(_contains(segment, words) for segment in segments)

    def town_is_in(part: str) -> bool:
        words = _words(part)
        return not words or first[-len(words) :] == words or any(_contains(segment, words) for segment in rest)

    streets = [part for part in street if not is_in(part)]
    town_is_known = is_in(postal_code) and town_is_in(city)
    added = joined_address(
        street=[whole.strip().rstrip(","), *streets],
        postal_code="" if town_is_known or is_in(postal_code) else postal_code,
        city="" if town_is_known else city,
        region="" if is_in(region) else region,
        country="" if is_in(country) else country,
    )
    return whole if not streets and town_is_known and is_in(region) and is_in(country) else added or whole


def _words(text: str) -> list[str]:
    return _WORDS.findall(fold(text))


def _contains(words: list[str], part: list[str]) -> bool:
    if len(part) > _MOST_WORDS:
        return False
    return any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))

"""One name column into first and last name, by rules that keep every word."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PARTICLES = _words("van von vom der den ten ter de del della dos das zu zur zum af av bin ibn st. 't")
"""Words that begin a last name however they are written (``van der Berg``, ``Van Dyke``)."""

_LOWER_PARTICLES = _words("da di do du la le lo el al y e i auf am op")
"""Words that begin a last name only in lower case: with a capital they are first names too."""

_SUFFIXES = _words("jr jr. sr sr. ii iii iv esq esq. phd ph.d. md m.d.")


def split_name(text: str) -> tuple[str | None, str | None]:
    """First and last name of a full name; a single word is a first name.

    ``Solberg, Ingrid`` is turned round. Else the last word is the last name, together with the particles before
    it and the suffixes after it: ``Ludwig van Beethoven`` and ``Martin King Jr.`` keep theirs. No word is ever
    lost, and nothing but the turned comma and spare white space.
    """
    words = text.split()
    before, comma, after = (part.strip() for part in " ".join(words).partition(","))
    if comma and before and after and "," not in after and after.casefold() not in _SUFFIXES:
        return after, before
    if len(words) < 2:
        return (words[0] if words else None), None
    start = len(words) - 1
    while start > 1 and words[start].casefold() in _SUFFIXES:
        start -= 1
    while start > 1 and _is_particle(words[start - 1]):
        start -= 1
    return " ".join(words[:start]), " ".join(words[start:])


def _is_particle(word: str) -> bool:
    return word.casefold() in _PARTICLES or word in _LOWER_PARTICLES


def full_name(first_name: str | None, last_name: str | None) -> str:
    """The name as it is shown: first, then last; empty when there is neither."""
    return " ".join(part for part in (first_name, last_name) if part)

"""The persons whom an organisation has already, found by name and one more thing that they share.

An import whose keys are others than those of an earlier one would create every person again; it reports them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headwater.base.textkeys import fold
from headwater.contracts.contacts.interchange.keys import SeenKeys, digits_of
from headwater.contracts.contacts.interchange.record import ContactRow


class KnownPersons:
    """A set of persons; 12 to 24 bytes for each email, phone, date of birth and address of theirs."""

    def __init__(self, persons: Iterable[ContactRow]) -> None:
        self._marks = SeenKeys()
        for person in persons:
            for _, mark in _marks(person):
                self._marks.put(mark, 1)

    def shared(self, person: ContactRow) -> str | None:
        """The field that a person of the same name here has too (``email``); None when there is no such person."""
        return next((field for field, mark in _marks(person) if mark in self._marks), None)


def _marks(person: ContactRow) -> Iterator[tuple[str, str]]:
    """Each field that can tell persons of one name apart, with the text that equal persons share."""
    name = _folded(f"{person.first_name or ''} {person.last_name or ''}")
    if person.email:
        yield "email", f"{name}\nemail:{person.email.casefold()}"
    if person.phone and (digits := digits_of(person.phone)):
        yield "phone", f"{name}\nphone:{digits}"
    if person.date_of_birth:
        yield "date_of_birth", f"{name}\nborn:{person.date_of_birth}"
    if person.address:
        # The street alone: files differ in the parts of an address that they have.
        street = person.address.replace("\n", ",").partition(",")[0]
        yield "address", f"{name}\nstreet:{_folded(street)}"


def _folded(text: str) -> str:
    return " ".join(fold(text).split())

"""The columns of a CSV file by their headers: our own names, Norwegian ones, and those of Google and Outlook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from headwater.base.errors import Malformed
from headwater.base.textkeys import fold

REASON_COLUMNS = ("rejected_row", "rejected_field", "rejected_code", "rejected_because")
"""The columns of a file of refused rows that state the reason; an import skips them."""

_REASONS = frozenset(name.replace("_", "") for name in REASON_COLUMNS)
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


class Slot(msgspec.Struct, frozen=True, order=True):
    """The place of a column's text in a contact.

    Shape: ``field`` is a field of a contact, a part of a name, or ``extra``; ``group`` keeps parts of one address
    together and names the kind (home, work, cell); ``part`` is the part of an address, or the vCard property of an
    extra; columns of one field are used in the order of ``rank``.
    """

    field: str
    rank: int = 0
    group: str = ""
    part: str = ""


def _names(slot: Slot, names: str) -> dict[str, Slot]:
    return dict.fromkeys(names.split(), slot)


_KNOWN: dict[str, Slot] = {
    **_names(Slot("uid"), "uid"),
    **_names(Slot("uid", 1), "id uuid externalid externalkey eksternid nokkel"),
    **_names(Slot("contact_id"), "contactid kontaktid"),
    **_names(Slot("first_name"), "firstname givenname forename fornavn fornamn first given"),
    **_names(Slot("middle_name"), "middlename additionalname mellomnavn mellemnavn mellannamn middle"),
    **_names(Slot("last_name"), "lastname familyname surname etternavn efternavn efternamn last family slektsnavn"),
    **_names(Slot("name"), "name fullname displayname navn fulltnavn namn kontakt contact contactname"),
    **_names(Slot("name_prefix"), "nameprefix title tittel"),
    **_names(Slot("name_suffix"), "namesuffix suffix"),
    **_names(Slot("email"), "email emailaddress mail epost epostadresse epostadress emailadresse primaryemail"),
    **_names(Slot("email", 1), "secondaryemail otheremail alternateemail email2 epost2 ekstraepost"),
    **_names(Slot("phone"), "phone phonenumber telephone telefon telefonnummer telefonnr tlf tlfnr primaryphone"),
    **_names(
        Slot("phone", 1, "cell"),
        "mobile mobtlf mobiltelefonnummer mobiltelefonnr mobilephone mobilenumber mobil mobiltelefon mobilnummer"
        " mobilnr mobiltlf cell cellphone cellular",
    ),
    **_names(Slot("phone", 5, "fax"), "fax faxnumber homefax businessfax otherfax telefaks faks faksnummer"),
    **_names(Slot("phone", 6, "pager"), "pager pagernumber personsoker"),
    **_names(Slot("phone", 2, "home"), "homephone homephone2 hjemmetelefon privattelefon telefonprivat"),
    **_names(
        Slot("phone", 3, "work"), "businessphone businessphone2 workphone companymainphone jobbtelefon telefonarbeid"
    ),
    **_names(Slot("phone", 4, "voice"), "otherphone annentelefon"),
    **_names(Slot("date_of_birth"), "dateofbirth dob birthday birthdate born fodselsdato fodselsdag fodt fodelsedatum"),
    **_names(Slot("birth", part="year"), "birthyear yearofbirth fodselsar"),
    **_names(Slot("birth", part="month"), "birthmonth monthofbirth fodselsmaned"),
    **_names(Slot("birth", part="day"), "dayofbirth"),
    **_names(Slot("chapter_ids"), "chapterids chapterid chapters chapter chapteraffiliations"),
    **_names(Slot("chapter_ids", 1), "lokallag lag lokalforening kapittel"),
    **_names(Slot("chapter_ids", 2, "google"), "labels groupmembership categories kategorier"),
    **_names(Slot("created_at"), "createdat created opprettet"),
    **_names(Slot("updated_at"), "updatedat updated modified oppdatert endret"),
    **_names(Slot("extra"), "extra"),
    **_names(Slot("extra", part="NOTE"), "notes note notat notater merknad merknader kommentar"),
    **_names(Slot("extra", part="ORG"), "organization organizationname organization1name company firma bedrift"),
    **_names(Slot("extra", part="TITLE"), "jobtitle organizationtitle organization1title stilling"),
    **_names(Slot("extra", part="NICKNAME"), "nickname kallenavn"),
    **_names(Slot("extra", part="URL"), "website webpage webpage1 website1value url nettsted hjemmeside"),
}


def _part(part: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), part)


_PARTS: dict[str, str] = {
    **_part("whole", "whole address fulladdress postaladdress formatted adresse postadresse adress"),
    **_part("street", "street streetaddress address1 gate gateadresse veiadresse gatuadress"),
    **_part("street2", "street2 address2 extendedaddress adresse2 addressline2 supplementaladdress1"),
    **_part("street3", "street3 address3 addressline3 supplementaladdress2"),
    **_part("pobox", "pobox addresspobox postboks"),
    **_part("postal_code", "postalcode postcode zip zipcode postnummer postnr"),
    **_part(
        "city",
        "city town locality poststed sted by ort postort postnrsted postnrogsted postnummersted postnummerogsted",
    ),
    **_part("region", "region state province county fylke"),
    **_part("country", "country countryregion land"),
}
NUMBERED_RANK = 10
"""Above it are the ranks of numbered columns (``E-mail 1 - Value``), whose cells may hold several with ``:::``."""

_DAY_OR_DATE = frozenset({"birthday", "fodselsdag"})
"""The headers of a whole date, which mean the day alone beside columns of the month or the year."""

_KEY_LIKE = re.compile(
    r"(?:medlems?|member|membership|kunde|customer|person|ansatt|employee|external|ekstern|giver|donor|elev|student)"
    r"(?:nr|no|num|number|nummer|id|identifier|key|nokkel)"
)
_NUMBERED = re.compile(r"(email|phone|address)(\d{1,3})(?:address)?(.*)")
_ADDRESS_KINDS = {"home": 1, "business": 2, "work": 2, "other": 3}


def plain_header(header: str) -> str:
    """A header as it is compared: folded, letters and digits alone (``E-mail 1 - Value``: ``email1value``)."""
    return _NOT_PLAIN.sub("", fold(header))


def slot_of(header: str) -> Slot | None:
    """The place of a column with this header, or None when the header is unknown."""
    plain = plain_header(header)
    if known := _KNOWN.get(plain):
        return known
    if part := _PARTS.get(plain):
        return Slot("address", 0, "", part)
    for kind, rank in _ADDRESS_KINDS.items():
        if plain.startswith(kind) and (part := _PARTS.get(plain.removeprefix(kind))):
            return Slot("address", rank, "work" if kind == "business" else kind, part)
    if match := _NUMBERED.fullmatch(plain):
        field, number, rest = match[1], int(match[2]), match[3]
        if field == "address" and (part := _PARTS.get(rest)):
            return Slot("address", 3 + number, "", part)
        if field != "address" and rest in {"", "value"}:
            return Slot(field, NUMBERED_RANK + number)
    return None


class UnusedHeader(NamedTuple):
    """A column that is not read: its place, its header, and the reason (``unknown`` or ``repeated``)."""

    place: int
    header: str
    reason: str


class Columns(msgspec.Struct, frozen=True):
    """The columns of one file by field, in the order in which they are used; those that are not read apart."""

    header: tuple[str, ...]
    by_field: dict[str, tuple[tuple[int, Slot], ...]]
    key: int | None
    unused: tuple[UnusedHeader, ...]

    def of(self, field: str) -> tuple[tuple[int, Slot], ...]:
        """The places of a field's columns with their slots, the first to be used first."""
        return self.by_field.get(field, ())

    def used(self) -> dict[str, str]:
        """The headers that are read, in the order of the file, each with the field that it fills."""
        found = {place: slot for places in self.by_field.values() for place, slot in places}
        labels = {place: ".".join(filter(None, (slot.field, slot.part))) for place, slot in found.items()}
        if self.key is not None:
            labels[self.key] = "uid"
        return {self.header[place]: labels[place] for place in sorted(labels)}

    def key_like(self) -> str | None:
        """The header of an unused column that looks like a member number; None when the file has a key."""
        if self.key is not None or "contact_id" in self.by_field:
            return None
        return next((each.header for each in self.unused if _KEY_LIKE.fullmatch(plain_header(each.header))), None)


def columns_of(
    header: Sequence[str], *, key_column: str | None = None, named: Mapping[str, str] | None = None
) -> Columns:
    """The columns of a header row; ``named`` maps headers to fields where our guess would be wrong.

    A header that repeats an earlier one is not read: it may be another person's.
    Raises: Malformed, when no column is known, or ``key_column`` or one of ``named`` is missing.
    """
    places = {plain_header(cell): place for place, cell in reversed(list(enumerate(header)))}
    slots = dict(enumerate(map(slot_of, header)))
    for wanted, field in (named or {}).items():
        slots[_place(places, wanted, header)] = _named_slot(field)
    key = _place(places, key_column, header) if key_column is not None else None
    if key is not None and (slot := slots[key]) is not None and slot.field == "uid":
        slots[key] = None
    _settle_birthday(slots, header)
    repeated = _settle_repeats(slots, header, places)
    found = sorted((slot.field, slot.rank, place) for place, slot in slots.items() if slot is not None)
    if not found:
        known = "first_name, last_name, email, phone, address, date_of_birth"
        raise Malformed(f"no column of the first row is known ({_listed(header)}); expected are such as {known}")
    by_field: dict[str, list[tuple[int, Slot]]] = {}
    for field, _, place in found:
        by_field.setdefault(field, []).append((place, slots[place] or Slot(field)))
    keys = [place for place, _ in by_field.pop("uid", [])]
    if key is None and keys:
        key = keys[0]
    unread = {place for place, slot in slots.items() if slot is None} | set(keys)
    unused = tuple(
        UnusedHeader(place, header[place], "repeated" if place in repeated else "unknown")
        for place in sorted(unread - {key})
        if plain_header(header[place]) not in _REASONS
    )
    return Columns(tuple(header), {name: tuple(value) for name, value in by_field.items()}, key, unused)


def _settle_birthday(slots: dict[int, Slot | None], header: Sequence[str]) -> None:
    """Reads ``Birth Day`` beside ``Birth Month`` or ``Birth Year`` as the day alone."""
    if not any(slot is not None and slot.field == "birth" for slot in slots.values()):
        return
    for place, cell in enumerate(header):
        if plain_header(cell) in _DAY_OR_DATE:
            slots[place] = Slot("birth", part="day")


def _settle_repeats(slots: dict[int, Slot | None], header: Sequence[str], places: Mapping[str, int]) -> set[int]:
    """Leaves out the columns that repeat an earlier header or part of an address; returns their places."""
    repeated, parts = set(), set()
    for place, slot in sorted(slots.items()):
        if slot is None:
            continue
        part = (slot.field, slot.group, slot.rank, slot.part) if slot.field in {"address", "birth"} else None
        if slot.part == "whole" and part in parts:
            # Another address, such as "Postadresse" beside "Adresse".
            part, slots[place] = None, Slot("address", NUMBERED_RANK + place, f"column {place + 1}", "whole")
        if places[plain_header(header[place])] != place or part in parts:
            slots[place] = None
            repeated.add(place)
        elif part is not None:
            parts.add(part)
    return repeated


def _named_slot(field: str) -> Slot:
    if field == "address":
        return Slot("address", part="whole")
    if slot := _KNOWN.get(plain_header(field)):
        return Slot(slot.field, -1, slot.group, slot.part)
    raise Malformed(f"there is no field {field!r} to put a column into")


def _place(places: Mapping[str, int], wanted: str, header: Iterable[str]) -> int:
    place = places.get(plain_header(wanted))
    if place is None:
        raise Malformed(f"the file has no column {wanted!r}; its columns are {_listed(header)}")
    return place


def _listed(header: Iterable[str]) -> str:
    return ", ".join(_shortened(header)) or "none"


def _shortened(header: Iterable[str]) -> Iterator[str]:
    for place, cell in enumerate(header):
        if place == 20:
            yield "..."
            return
        yield repr(cell[:40])

"""The fields of a contact in the lines of a card, both ways, so that what a field cannot hold is kept.

A contact has one email; a card may have five, with types. The lines of such a property are kept in ``extra`` as
they were read whenever they hold more than the field does. They are written again unchanged while the field still
has the value that was read from them; otherwise the line of the field's value is replaced and the others remain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from headwater.base.textkeys import check_email
from headwater.contracts.contacts.interchange.addresses import joined_address
from headwater.contracts.contacts.interchange.content_lines import (
    ContentLine,
    LineUnreadable,
    escaped,
    line_text,
    read_line,
    split_value,
    text_line,
    unescaped,
)
from headwater.contracts.contacts.interchange.dates import UNKNOWN_YEARS, known_part, read_date
from headwater.contracts.contacts.interchange.draft import NOT_VOICE
from headwater.contracts.contacts.interchange.names import full_name, split_name
from headwater.contracts.contacts.interchange.record import ContactRow

Lines = Mapping[str, Sequence[ContentLine]]
"""The lines of a card by property name."""


_OMITTED_YEAR = "X-APPLE-OMIT-YEAR"


class KeptField(NamedTuple):
    """A field whose lines may hold more than it does: its properties, its reader and its writer.

    ``read`` returns the field's values in these lines, ``values`` those in a contact, ``write`` the plain lines;
    ``choose`` returns the line that the field was read from.
    """

    names: tuple[str, ...]
    read: Callable[[Lines], tuple[str | None, ...]]
    values: Callable[[ContactRow], tuple[str | None, ...]]
    write: Callable[[ContactRow], list[str]]
    choose: Callable[[Sequence[ContentLine]], ContentLine | None]


def preferred(lines: Sequence[ContentLine]) -> ContentLine | None:
    """The line that its parameters prefer, else the first that holds anything. Source: RFC 6350 5.3."""
    filled = [line for line in lines if line.value.strip(" ;")]
    if len(filled) == 1:
        return filled[0]
    return min(filled, key=_preference, default=None)


def organisation_names(lines: Lines) -> bool:
    """True when the card describes an organisation. Source: RFC 6350 6.1.4; Apple's X-ABShowAs."""
    kinds = [*lines.get("KIND", ()), *lines.get("X-ABSHOWAS", ())]
    return any(line.value.strip().casefold() in {"org", "company"} for line in kinds)


def _preference(line: ContentLine) -> int:
    if any(kind.casefold() == "pref" for kind in line.parameters.get("TYPE", ())):
        return 1
    rank = (line.parameters.get("PREF") or ["101"])[0]
    return int(rank) if rank.isdecimal() and len(rank) < 4 else 101


def _parts(line: ContentLine, count: int, joint: str) -> list[str]:
    """The texts of a structured value's first components; a component's several values are joined."""
    parts = [
        joint.join(map(unescaped, split_value(part, ","))) if "," in part or "\\" in part else part
        for part in split_value(line.value, ";")
    ]
    return (parts + [""] * count)[:count]


def _kept(text: str) -> str | None:
    """The text as it is, or None when it is blank."""
    return text if text.strip() else None


def read_names(lines: Lines) -> tuple[str | None, ...]:
    """First name with middle names, and last name: from N, or from FN where N is blank.

    The name of an organisation is one first name.
    """
    structured = preferred(lines.get("N", ()))
    if structured:
        last, first, middle = _parts(structured, 3, " ")
        first = f"{first} {middle}" if first and middle else first or middle
        if first.strip() or last.strip():
            return _kept(first), _kept(last)
    formatted = preferred(lines.get("FN", ()))
    if formatted and organisation_names(lines):
        return _kept(unescaped(formatted.value)), None
    return split_name(unescaped(formatted.value)) if formatted else (None, None)


def _write_names(contact: ContactRow) -> list[str]:
    shown = full_name(contact.first_name, contact.last_name) or contact.email or contact.phone or ""
    last, first = escaped(contact.last_name or ""), escaped(contact.first_name or "")
    return [f"FN:{escaped(shown)}", f"N:{last};{first};;;"]


def email_text(line: ContentLine) -> str:
    """The address in a line, without ``mailto:``."""
    return unescaped(line.value).strip().removeprefix("mailto:")


def read_email(lines: Lines) -> tuple[str | None, ...]:
    """The preferred email address among those of sound syntax."""
    line = _chosen_email(lines.get("EMAIL", ()))
    return (email_text(line) if line else None,)


def _chosen_email(lines: Sequence[ContentLine]) -> ContentLine | None:
    return preferred([line for line in lines if check_email(email_text(line)) is None])


def _chosen_phone(lines: Sequence[ContentLine]) -> ContentLine | None:
    return preferred([line for line in lines if _reaches_a_person(line)])


def _reaches_a_person(line: ContentLine) -> bool:
    types = {part.casefold() for value in line.parameters.get("TYPE", ()) for part in value.split(",")}
    # Some programs write one word for the place and the kind: HOMEFAX, WORKFAX.
    is_machine = any(kind in NOT_VOICE or kind.endswith("fax") for kind in types)
    return not is_machine or bool(types & {"voice", "cell"})


def read_phone(lines: Lines) -> tuple[str | None, ...]:
    """The preferred number that is no fax or pager; of a ``tel:`` URI its number."""
    line = _chosen_phone(lines.get("TEL", ()))
    return (phone_text(line) if line else None,)


def phone_text(line: ContentLine) -> str | None:
    """The number in a line, without ``tel:``."""
    if "uri" in map(str.casefold, line.parameters.get("VALUE", ())):
        return line.value.removeprefix("tel:").partition(";")[0] or None
    return _kept(unescaped(line.value))


def read_address(lines: Lines) -> tuple[str | None, ...]:
    """The preferred address as one text. Source: RFC 6350 6.3.1."""
    line = preferred(lines.get("ADR", ()))
    if line is None:
        return (None,)
    box, extended, street, city, region, code, country = _parts(line, 7, ", ")
    if street and not (box or extended or city or region or code or country):
        return (_kept(street),)
    streets = (box, street, extended)
    return (joined_address(street=streets, postal_code=code, city=city, region=region, country=country),)


def _write_address(contact: ContactRow) -> list[str]:
    return [f"ADR:;;{escaped(contact.address)};;;;"] if contact.address else []


def read_birthday(lines: Lines) -> tuple[str | None, ...]:
    """The birthday when it is a whole date; None for a partial one."""
    line = preferred(lines.get("BDAY", ()))
    return (read_date(unescaped(line.value))[0] if line else None,)


def without_unknown_year(line: ContentLine) -> ContentLine:
    """A birthday whose year means "unknown" in the form of 4.0 (``BDAY:--0421``); any other line unchanged.

    The year is one that Apple's parameter names, or one that programs write for an unknown one.
    """
    value = unescaped(line.value).strip()
    parameters = {name: values for name, values in line.parameters.items() if name not in {"VALUE", _OMITTED_YEAR}}
    omitted = (line.parameters.get(_OMITTED_YEAR) or [""])[0]
    if omitted and value.startswith(omitted):
        value = f"{min(UNKNOWN_YEARS):04}{value[len(omitted) :]}"
    part = known_part(value)
    if part is None or value.startswith("-") or len(value) < len("16040421"):
        return line
    return ContentLine(line.name, parameters, part, line_text(line.name, parameters, part, line.group or None))


def _write_birthday(contact: ContactRow) -> list[str]:
    return [f"BDAY:{contact.date_of_birth.replace('-', '')}"] if contact.date_of_birth else []


def _write_text(name: str, field: str) -> Callable[[ContactRow], list[str]]:
    def write(contact: ContactRow) -> list[str]:
        value = getattr(contact, field)
        return [text_line(name, value)] if value else []

    return write


KEPT_FIELDS = (
    KeptField(
        ("FN", "N"), read_names, lambda contact: (contact.first_name, contact.last_name), _write_names, preferred
    ),
    KeptField(("EMAIL",), read_email, lambda contact: (contact.email,), _write_text("EMAIL", "email"), _chosen_email),
    KeptField(("TEL",), read_phone, lambda contact: (contact.phone,), _write_text("TEL", "phone"), _chosen_phone),
    KeptField(("ADR",), read_address, lambda contact: (contact.address,), _write_address, preferred),
    KeptField(("BDAY",), read_birthday, lambda contact: (contact.date_of_birth,), _write_birthday, preferred),
)
"""The fields whose original lines are kept when they hold more."""


def lines_to_keep(field: KeptField, contact: ContactRow, lines: Lines) -> dict[str, list[str]]:
    """The lines of a field by property when they hold more than the field; else none."""
    came = [line for name in field.names for line in lines.get(name, ()) if line.value.strip(" ;")]
    if not came or [line.text for line in came] == field.write(contact):
        return {}
    plain = {text.rstrip(";") for text in field.write(contact)}
    if all(_bare(line) in plain for line in came) and len(came) <= len(field.names):
        return {}
    return {name: texts for name in field.names if (texts := [line.text for line in came if line.name == name])}


def _bare(line: ContentLine) -> str | None:
    """The line without parameters that mean nothing; None when it has a group or others."""
    head = line.text.partition(":")[0].partition(";")[0]
    if "." in head or any(_tells(name, values) for name, values in line.parameters.items()):
        return None
    value = line.value.replace("-", "") if line.name == "BDAY" else line.value
    return f"{line.name}:{value}".rstrip(";")


def _tells(parameter: str, values: Sequence[str]) -> bool:
    silent = {"TYPE": {"internet", "pref"}, "VALUE": {"text", "date"}}.get(parameter, set())
    return any(value.casefold() not in silent for value in values)


def lines_to_write(field: KeptField, contact: ContactRow) -> list[str]:
    """The lines of a field for a card: as they were once read while they still hold, else written anew."""
    if contact.extra.keys().isdisjoint(field.names):
        return field.write(contact)
    kept = {name: _readable(contact.extra.get(name, ())) for name in field.names}
    if field.read(kept) == field.values(contact):
        return [line.text for name in field.names for line in kept[name]]
    anew = field.write(contact)
    if len(field.names) > 1:
        return anew
    chosen = field.choose(kept[field.names[0]])
    others = [line for line in kept[field.names[0]] if line is not chosen]
    if anew and any(_preference(line) <= 100 for line in others):
        anew = [anew[0].replace(":", ";PREF=1:", 1)]
    return anew + [line.text for line in others]


def _readable(texts: Sequence[str]) -> list[ContentLine]:
    lines = []
    for text in texts:
        try:
            lines.append(read_line(text))
        except LineUnreadable:
            continue
    return lines

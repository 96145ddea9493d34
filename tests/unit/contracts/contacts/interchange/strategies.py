"""Contacts of every sort for the properties of the formats."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from headwater.contracts.contacts.interchange.record import ContactRow

WILD = st.characters(exclude_categories=["Cs"], exclude_characters="\r")
"""Any character that UTF-8 has, but the carriage return: a card has one kind of line break only."""

TELLING = st.sampled_from([*" '\"=+-@;,:\\|\t\n\0", "\u2028", "\x85", "\x1c", "ø", "\uff1d", "\u0301"])
TEXT = st.text(WILD | TELLING, min_size=1, max_size=30).filter(str.strip)
IDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
EMAILS = st.sampled_from(["ingrid.solberg@example.no", "a+b@x.test", "o'hara@printer.local", "bjørn@blåbær.no"])
TIMES = st.datetimes().map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0"))
EXTRA_NAMES = st.text(string.ascii_uppercase, min_size=1, max_size=6).map("X-".__add__)
EXTRA_VALUES = st.text(WILD.filter(lambda char: char != "\n"), max_size=40)
EXTRA_PARAMETERS = st.sampled_from(["", ";TYPE=home", ";LANGUAGE=nb;PREF=1", ';LABEL="a;b:c, d"'])


@st.composite
def extras(draw: st.DrawFn) -> dict[str, list[str]]:
    """Properties that no field of ours reads."""
    found: dict[str, list[str]] = {}
    for name in draw(st.sets(EXTRA_NAMES, max_size=2)):
        ends = draw(st.lists(st.tuples(EXTRA_PARAMETERS, EXTRA_VALUES), min_size=1, max_size=2))
        found[name] = [f"{name}{parameters}:{value}" for parameters, value in ends]
    return found


CONTACTS = st.builds(
    ContactRow,
    uid=IDS,
    contact_id=st.none() | IDS,
    first_name=TEXT,
    last_name=st.none() | TEXT,
    email=st.none() | EMAILS,
    phone=st.none() | TEXT | st.sampled_from(["+47 906 78 901", "+1-1", "+4790678901", "906 78 901"]),
    address=st.none() | TEXT,
    date_of_birth=st.none() | st.dates().filter(lambda day: day.year != 1604).map(str),
    chapter_ids=st.lists(IDS, unique=True, max_size=4).map(tuple),
    created_at=st.none() | TIMES,
    updated_at=st.none() | TIMES,
    extra=extras(),
)
"""Any contact that the repository can hold, with whatever text in its fields."""

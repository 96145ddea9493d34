"""A contact while a reader fills it: from the texts of a file to checked fields and problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headwater.base.ids import is_acceptable
from headwater.base.textkeys import check_email
from headwater.contracts.contacts.interchange.content_lines import (
    LineUnreadable,
    escaped,
    read_line,
    split_value,
    text_line,
    unescaped,
)
from headwater.contracts.contacts.interchange.dates import (
    DateOrder,
    known_part,
    read_date,
    read_time,
    unknown_year_date,
)
from headwater.contracts.contacts.interchange.keys import SeenKeys, derived_key, replaced_key
from headwater.contracts.contacts.interchange.names import full_name
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed, RowProblem, quoted
from headwater.contracts.contacts.shapes import ContactFields

EXTRA_MAX_CHARS = 600_000
"""Most characters of all extra lines of a contact: a photo of 400 kB has room, larger ones are left out."""

NOT_VOICE = frozenset({"fax", "pager", "modem", "bbs"})
"""The types of numbers that reach no person, unless they are ``voice`` or ``cell`` too. Source: RFC 6350 6.4.1."""

_ASIDE = {"email": "EMAIL", "phone": "TEL", "address": "ADR"}
"""The properties under which a doubtful value of a field is kept."""


def _limits_chars() -> dict[str, int]:
    """The longest text of each field, as the contract's shape has it."""
    limits = {}
    for field in msgspec.inspect.type_info(ContactFields).fields:  # type: ignore[attr-defined]
        for choice in getattr(field.type, "types", ()):
            if isinstance(choice, msgspec.inspect.StrType) and choice.max_length:
                limits[field.name] = choice.max_length
    return limits


_LIMITS_CHARS = tuple(_limits_chars().items())
_FRAME = frozenset({"BEGIN", "END", "VERSION"})


class ContactDraft:
    """Collects the fields of one row; ``parsed`` returns the outcome.

    A doubtful value of a side field costs that field alone: it is kept as an extra line with a warning, and the
    contact keeps the value that it has. Only the name, the key and the chapters (which decide on access) refuse a
    row. ``needs_name``: a row without a name is refused, unless a nickname or an organisation names it. ``former``:
    the texts of fields that an earlier release read otherwise, for the key that it derived from them.
    """

    __slots__ = (
        *("_doubtful", "_extra_chars", "chapter_ids", "extra", "fields", "former", "given", "needs_name", "problems"),
    )

    def __init__(self) -> None:
        self.fields: dict[str, str | None] = {}
        self.chapter_ids: tuple[str, ...] = ()
        self.extra: dict[str, list[str]] = {}
        self.given: set[str] = set()
        self.problems: list[RowProblem] = []
        self.needs_name = False
        self.former: dict[str, str] = {}
        self._doubtful: set[str] = set()
        self._extra_chars = 0

    def refuse(self, field: str, code: str, detail: str) -> None:
        """Notes the reason for which this row cannot be imported."""
        self.problems.append(RowProblem(field, code, detail))

    def warn(self, field: str, code: str, detail: str) -> None:
        """Notes a warning about a row that is imported."""
        self.problems.append(RowProblem(field, code, detail, refuses=False))

    def doubt(self, field: str, code: str, detail: str) -> None:
        """Notes a warning about a field whose text is not used; the contact keeps the value that it has."""
        self.warn(field, code, detail)
        self._doubtful.add(field)

    def put(self, field: str, text: str | None) -> None:
        """A field as text; empty is not known."""
        self.fields[field] = text or None

    def put_email(self, text: str | None) -> None:
        """The email address; one of wrong syntax is kept as a line."""
        self.put_several("email", {text: ""} if text else {})

    def put_several(self, field: str, found: Mapping[str, str]) -> None:
        """The texts of an email or phone with their types: the first usable one is the field, and all are kept.

        An address of wrong syntax is not usable, nor is the number of a fax or pager.
        """
        chosen = None
        for text, kind in found.items():
            if field == "email" and (reason := check_email(text.strip())):
                self.doubt(
                    field, "email_invalid", f"{quoted(text)} is no email address, it is kept as a line: {reason}"
                )
            elif chosen is None and kind not in NOT_VOICE:
                chosen = text
        self.put(field, chosen.strip() if chosen and field == "email" else chosen)
        if len(found) > 1 or (found and chosen is None):
            for text, kind in found.items():
                self.keep_line(_ASIDE[field], text_line(_ASIDE[field], text, (kind,) if kind else ()))

    def put_date(self, text: str | None, order: DateOrder | None = None) -> None:
        """The date of birth in any form that ``read_date`` knows; a doubtful one is kept as a line."""
        self.fields["date_of_birth"], problem = read_date(text or "", order)
        if text and problem and (former := unknown_year_date(text.strip())):
            self.former["date_of_birth"] = former
        if text and problem:
            self.doubt("date_of_birth", problem.code, f"{problem.detail}; it is kept as a line")
            self.keep_line("BDAY", birthday_line(text.strip(), order))

    def put_time(self, field: str, text: str | None) -> None:
        """A time stamp; one that cannot be read is left out with a warning."""
        self.fields[field] = read = read_time(text) if text else None
        if text and read is None:
            self.warn(field, "time_invalid", f"{quoted(text)} is no time like 2026-03-26T09:30:00Z; it was left out")

    def put_extra(self, name: str, texts: Iterable[str]) -> None:
        """Adds lines of one vCard property, given as texts; a text that is no such line is left out with a warning."""
        for text in texts:
            if is_extra_line(name, text):
                self.keep_line(name, text)
            else:
                self.warn("extra", "extra_invalid", f"{quoted(text)} is no vCard line of {name}; it was left out")

    def keep_line(self, name: str, text: str) -> None:
        """Keeps a line of a card as it is; one that there is no room for is left out with a warning."""
        if self._extra_chars + len(text) <= EXTRA_MAX_CHARS:
            self.extra.setdefault(name, []).append(text)
            self._extra_chars += len(text)
        else:
            detail = f"{name} has {len(text)} characters and was left out; at most {EXTRA_MAX_CHARS} are kept in all"
            self.warn("extra", "extra_too_large", detail)

    def name(self) -> str:
        """The whole name as far as it is known."""
        return full_name(self.fields.get("first_name"), self.fields.get("last_name"))

    def key(self) -> str:
        """The key to upsert by: the file's own, else the contact id, else one derived from the fields."""
        own = self.fields.get("uid") or self.fields.get("contact_id")
        if own and is_acceptable(own):
            return own
        if own:
            self.warn("uid", "key_replaced", "the key is over 128 characters or holds controls; another stands for it")
            return replaced_key(own)
        return derived_key(name=self.name(), **self._telling())

    def _telling(self) -> dict[str, str | None]:
        """The fields that tell persons of one name apart."""
        return {field: self.fields.get(field) for field in ("email", "phone", "date_of_birth", "address")}

    def _former_key(self, key: str) -> str | None:
        """The key that an earlier release derived for this row; None when it was the same."""
        if not self.former or self.fields.get("uid") or self.fields.get("contact_id"):
            return None
        former = derived_key(name=self.name(), **(self._telling() | self.former))
        return None if former == key else former

    def row(self) -> ContactRow:
        """The contact as filled so far."""
        field = self.fields.get
        return ContactRow(
            uid=field("uid"),
            contact_id=field("contact_id"),
            first_name=field("first_name"),
            last_name=field("last_name"),
            email=field("email"),
            phone=field("phone"),
            address=field("address"),
            date_of_birth=field("date_of_birth"),
            chapter_ids=self.chapter_ids,
            created_at=field("created_at"),
            updated_at=field("updated_at"),
            extra=self.extra,
        )

    def parsed(self, row_number: int, raw: tuple[str, ...], seen: SeenKeys) -> Parsed:
        """The outcome of the row; a key that an accepted earlier row had is reported, and this row wins."""
        self._settle_name()
        self._settle_lengths()
        key = self.key()
        former_key, self.fields["uid"] = self._former_key(key), key
        outcome = Parsed(
            row_number=row_number,
            uid=key,
            former_uid=former_key,
            contact=self.row(),
            given=frozenset(self.given - {field for field in self._doubtful if not self.fields.get(field)}),
            problems=tuple(self.problems),
            raw=raw,
        )
        if not outcome.accepted or (earlier := seen.put(key, row_number)) is None:
            return outcome
        detail = f"row {earlier} has the same key; this later row replaces it"
        repeat = RowProblem("uid", "key_repeated", detail, refuses=False)
        return msgspec.structs.replace(outcome, problems=(*outcome.problems, repeat))

    def _settle_name(self) -> None:
        """Names a row without a person's name by its nickname or organisation, else refuses it."""
        if not self.needs_name or self.name():
            return
        for name, code in (("NICKNAME", "named_by_nickname"), ("ORG", "named_by_organisation")):
            if found := _first_text(self.extra.get(name, ())):
                self.fields["first_name"], self.fields["last_name"] = found, None
                self.given.update(("first_name", "last_name"))
                self.warn("name", code, f"the row has no person's name; {quoted(found)} is used")
                return
        self.refuse("name", "name_missing", "the row has neither a first nor a last name")

    def _settle_lengths(self) -> None:
        """Refuses a name that is too long; any other text that is too long is kept as a line."""
        for field, limit in _LIMITS_CHARS:
            text = self.fields.get(field)
            if not text or len(text) <= limit:
                continue
            detail = f"{field} has {len(text)} characters; at most {limit} are allowed"
            if (name := _ASIDE.get(field)) is None:
                self.refuse(field, "too_long", detail)
                continue
            self.doubt(field, "too_long", f"{detail}; it is kept as a line")
            self.fields[field] = None
            if name not in self.extra:
                self.keep_line(name, text_line(name, text) if name != "ADR" else f"ADR:;;{escaped(text)};;;;")


def is_extra_line(name: str, text: str) -> bool:
    """True when the text is one whole vCard line of this property that may stand in any card."""
    if "\n" in text or "\r" in text or name in _FRAME:
        return False
    try:
        return read_line(text).name == name
    except LineUnreadable:
        return False


def birthday_line(text: str, order: DateOrder | None = None) -> str:
    """The vCard line of a birthday that is no whole date: its known part, else the text as it is."""
    part = known_part(text, order)
    return f"BDAY:{part}" if part is not None else text_line("BDAY;VALUE=text", text)


def _first_text(lines: Iterable[str]) -> str | None:
    """The first text in lines of NICKNAME or ORG: the first of several nicknames, the parts of an organisation."""
    for line in lines:
        read = read_line(line)
        mark = ";" if read.name == "ORG" else ","
        parts = [unescaped(part).strip() for part in split_value(read.value, mark)]
        parts = [" ".join(part.split()) for part in parts if part]
        if parts:
            return ", ".join(parts) if read.name == "ORG" else parts[0]
    return None

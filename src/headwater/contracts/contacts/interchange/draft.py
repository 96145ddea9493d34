"""A contact while a reader fills it: from the texts of a file to checked fields and problems."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headwater.base.ids import is_acceptable
from headwater.base.textkeys import check_email
from headwater.contracts.contacts.interchange.content_lines import LineUnreadable, read_line
from headwater.contracts.contacts.interchange.dates import DateOrder, read_date, read_time
from headwater.contracts.contacts.interchange.keys import SeenKeys, derived_key, replaced_key
from headwater.contracts.contacts.interchange.names import full_name
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed, RowProblem
from headwater.contracts.contacts.shapes import ContactFields

EXTRA_LINE_MAX_CHARS = 65_536
"""Longest extra line that is kept; larger ones are big pictures and sounds."""


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
    """Collects the fields of one row; ``parsed`` returns the outcome."""

    __slots__ = ("chapter_ids", "extra", "fields", "given", "problems")

    def __init__(self) -> None:
        self.fields: dict[str, str | None] = {}
        self.chapter_ids: tuple[str, ...] = ()
        self.extra: dict[str, list[str]] = {}
        self.given: set[str] = set()
        self.problems: list[RowProblem] = []

    def refuse(self, field: str, code: str, detail: str) -> None:
        """Notes the reason for which this row cannot be imported."""
        self.problems.append(RowProblem(field, code, detail))

    def warn(self, field: str, code: str, detail: str) -> None:
        """Notes a warning about a row that is imported."""
        self.problems.append(RowProblem(field, code, detail, refuses=False))

    def put(self, field: str, text: str | None) -> None:
        """A field as text; empty is not known."""
        self.fields[field] = text or None

    def put_email(self, text: str | None) -> None:
        """The email address, refused when its syntax is wrong."""
        text = text and text.strip()
        if text and (reason := check_email(text)):
            self.refuse("email", "email_invalid", f"{text!r} is no email address: {reason}")
        self.put("email", text)

    def put_date(self, text: str | None, order: DateOrder | None = None) -> None:
        """The date of birth in any form that ``read_date`` knows."""
        self.fields["date_of_birth"], problem = read_date(text or "", order)
        if problem:
            self.problems.append(problem)
        if text and problem and problem.code == "date_partial":
            self.keep_line("BDAY", "BDAY:" + _partial_date(text.strip()))

    def put_time(self, field: str, text: str | None) -> None:
        """A time stamp; one that cannot be read is left out with a warning."""
        self.fields[field] = read = read_time(text) if text else None
        if text and read is None:
            self.warn(field, "time_invalid", f"{text!r} is no time like 2026-03-26T09:30:00Z; it was left out")

    def put_extra(self, name: str, texts: Iterable[str]) -> None:
        """Adds lines of one vCard property, given as texts; a text that is no such line is left out with a warning."""
        for text in texts:
            if is_extra_line(name, text):
                self.keep_line(name, text)
            else:
                self.warn("extra", "extra_invalid", f"{text[:80]!r} is no vCard line of {name}; it was left out")

    def keep_line(self, name: str, text: str) -> None:
        """Keeps a line of a card as it is; one that is too large is left out with a warning."""
        if len(text) <= EXTRA_LINE_MAX_CHARS:
            self.extra.setdefault(name, []).append(text)
        else:
            self.warn("extra", "extra_too_large", f"{name} is too large to keep; it was left out")

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
        rest = {field: self.fields.get(field) for field in ("email", "phone", "date_of_birth", "address")}
        return derived_key(name=self.name(), **rest)

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
        for field, limit in _LIMITS_CHARS:
            if (text := self.fields.get(field)) and len(text) > limit:
                self.refuse(field, "too_long", f"{field} has {len(text)} characters; at most {limit} are allowed")
        key = self.fields["uid"] = self.key()
        outcome = Parsed(
            row_number=row_number,
            uid=key,
            contact=self.row(),
            given=frozenset(self.given),
            problems=tuple(self.problems),
            raw=raw,
        )
        if not outcome.accepted or (earlier := seen.put(key, row_number)) is None:
            return outcome
        detail = f"row {earlier} has the same key; this later row replaces it"
        repeat = RowProblem("uid", "key_repeated", detail, refuses=False)
        return msgspec.structs.replace(outcome, problems=(*outcome.problems, repeat))


def is_extra_line(name: str, text: str) -> bool:
    """True when the text is one whole vCard line of this property that may stand in any card."""
    if "\n" in text or "\r" in text or name in _FRAME:
        return False
    try:
        return read_line(text).name == name
    except LineUnreadable:
        return False


def _partial_date(text: str) -> str:
    """A date without its year or day as vCard writes it: ``--1217``, ``1988-04``. Source: RFC 6350 4.3.1."""
    return "--" + text[2:].replace("-", "") if text.startswith("--") and text[2] != "-" else text

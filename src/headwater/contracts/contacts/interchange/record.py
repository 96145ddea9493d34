"""The rows between a file and the repository: contacts, and the problems found while reading them."""

from __future__ import annotations

import msgspec

FIELDS = ("first_name", "last_name", "email", "phone", "address", "date_of_birth")
"""The fields of a contact that people fill in. Source: contacts contract, "Create contact record"."""

COLUMNS = ("uid", "contact_id", *FIELDS, "chapter_ids", "created_at", "updated_at", "extra")
"""Every field that an export carries, in the order of its columns."""


class ContactRow(msgspec.Struct, frozen=True, kw_only=True):
    """One contact as files carry it; None is "not known", and an empty text is never used.

    Shape: ``date_of_birth`` is YYYY-MM-DD; ``created_at`` and ``updated_at`` are RFC 3339 texts in whole seconds
    with ``Z``; ``chapter_ids`` holds ids or, from a foreign file, names; ``extra`` holds vCard lines for what
    the fields cannot hold, by property name, unfolded and in the form of vCard 4.0.
    """

    uid: str | None = None
    contact_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    date_of_birth: str | None = None
    chapter_ids: tuple[str, ...] = ()
    created_at: str | None = None
    updated_at: str | None = None
    extra: dict[str, list[str]] = {}


QUOTED_MAX_CHARS = 80


def quoted(text: str) -> str:
    """A text of the file as a problem's sentence shows it; of a long one the beginning, for sentences are stored."""
    return repr(text) if len(text) <= QUOTED_MAX_CHARS else f"{text[:QUOTED_MAX_CHARS]!r}..."


class RowProblem(msgspec.Struct, frozen=True):
    """One thing wrong with a row: the field (empty: the row itself), a code, a sentence for a person.

    ``refuses`` is True when the row must not be imported; otherwise it is a warning.
    """

    field: str
    code: str
    detail: str
    refuses: bool = True


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a file (a CSV row, a card, a JSON line): its contact, and its problems.

    Shape: ``row_number`` counts rows as a spreadsheet does (a CSV header is row 1; cards and lines begin at 1);
    ``uid`` is the key to upsert by, ``former_uid`` the one that an earlier release derived for the same row, if it was
    another; ``given`` names the fields that the file contains: a field that is not
    given stays, a given None clears it; ``raw`` is the row as it was read (cells, or one text).
    """

    row_number: int
    uid: str = ""
    contact: ContactRow
    former_uid: str | None = None
    given: frozenset[str] = frozenset()
    problems: tuple[RowProblem, ...] = ()
    raw: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """True when nothing in the row refuses its import."""
        return not any(problem.refuses for problem in self.problems)


def reason_of(parsed: Parsed) -> RowProblem:
    """The first reason for which a row was refused; its sentence has all of them."""
    refusing = [problem for problem in parsed.problems if problem.refuses]
    return msgspec.structs.replace(refusing[0], detail="; ".join(problem.detail for problem in refusing))


class UnusedColumn(msgspec.Struct, frozen=True):
    """A column of a file (or key of its objects) that is not read: its name, and the rows that have a text in it.

    ``reason`` is ``unknown`` (no field has this name) or ``repeated`` (an earlier column has this name); ``place``
    counts columns from 1, and is 0 for a key.
    """

    name: str
    rows: int
    reason: str = "unknown"
    place: int = 0

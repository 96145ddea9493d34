"""Chapters: the parts of an organisation to which contacts and users belong. Each has an id and a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.base.errors import FieldError, Invalid, NotFound, StateConflict
from headwater.base.ids import MAX_ID_LENGTH, is_acceptable, random_id
from headwater.store.database import Transaction

MAX_NAME_LENGTH = 200
_COLUMNS = "id, name, created_us, updated_us"


class Chapter(NamedTuple):
    """A chapter; times in microseconds UTC since 1970."""

    id: str
    name: str
    created_us: int
    updated_us: int


def find(tx: Transaction, organisation: str, id: str) -> Chapter | None:
    """Returns the chapter with this id, or None."""
    row = tx.row(f"SELECT {_COLUMNS} FROM chapters WHERE organisation = ? AND id = ?", organisation, id)
    return None if row is None else Chapter(*row)


def read_all(tx: Transaction, organisation: str) -> list[Chapter]:
    """Returns every chapter of an organisation, by id."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM chapters WHERE organisation = ? ORDER BY id", organisation)
    return [Chapter(*row) for row in rows]


def create(tx: Transaction, organisation: str, name: str, id: str | None = None) -> Chapter:
    """Creates a chapter, by default with a new id. Raises: Invalid, StateConflict (the id is taken)."""
    checked = _checked_name(name)
    chosen = random_id("chp", 12) if id is None else _checked_id(id, "id")
    if find(tx, organisation, chosen) is not None:
        raise StateConflict(f"organisation {organisation!r} already has a chapter {chosen!r}", code="CHAPTER_EXISTS")
    return _insert(tx, organisation, chosen, checked)


def rename(tx: Transaction, organisation: str, id: str, name: str) -> Chapter:
    """Renames a chapter; its id stays. Raises: Invalid, NotFound."""
    checked = _checked_name(name)
    found = find(tx, organisation, id)
    if found is None:
        raise NotFound(f"no chapter {id!r} in organisation {organisation!r}")
    if found.name == checked:
        return found
    tx.run(
        "UPDATE chapters SET name = ?, updated_us = ? WHERE organisation = ? AND id = ?",
        checked, max(tx.at_us, found.updated_us), organisation, id,
    )  # fmt: skip
    return found._replace(name=checked, updated_us=max(tx.at_us, found.updated_us))


def provide(
    tx: Transaction, organisation: str, ids: Sequence[str], *, open_provisioning: bool, field: str = "chapter_ids"
) -> list[Chapter]:
    """Returns the chapters of a body, in its order; open provisioning creates unknown ones, with their id as name.

    Raises: Invalid naming ``field[i]`` of each unusable id, and of each unknown one where provisioning is closed.
    """
    found = [find(tx, organisation, id) for id in ids]
    wrong = [
        FieldError(f"{field}[{index}]", code, detail)
        for index, (id, chapter) in enumerate(zip(ids, found, strict=True))
        if chapter is None
        for code, detail in _objection(id, open_provisioning=open_provisioning)
    ]
    if wrong:
        raise Invalid("; ".join(f"{error.field}: {error.detail}" for error in wrong), fields=tuple(wrong))
    provided: dict[str, Chapter] = {}
    for id, chapter in zip(ids, found, strict=True):
        if id not in provided:
            provided[id] = chapter or _insert(tx, organisation, id, id)
    return [provided[id] for id in ids]


def _objection(id: str, *, open_provisioning: bool) -> list[tuple[str, str]]:
    if not is_acceptable(id):
        return [("incorrect_value", f"a chapter id has 1-{MAX_ID_LENGTH} printable characters")]
    if not open_provisioning:
        return [("unknown", f"unknown chapter {id!r}; an operator adds it with 'headwater chapter create'")]
    return []


def _insert(tx: Transaction, organisation: str, id: str, name: str) -> Chapter:
    tx.run(
        "INSERT INTO chapters (organisation, id, name, created_us, updated_us) VALUES (?, ?, ?, ?, ?)",
        organisation, id, name, tx.at_us, tx.at_us,
    )  # fmt: skip
    return Chapter(id, name, tx.at_us, tx.at_us)


def _checked_id(id: str, field: str) -> str:
    if not is_acceptable(id):
        detail = f"a chapter id has 1-{MAX_ID_LENGTH} printable characters"
        raise Invalid(f"{field}: {detail}", fields=(FieldError(field, "incorrect_value", detail),))
    return id


def _checked_name(name: str) -> str:
    text = name.strip()
    if not text or len(text) > MAX_NAME_LENGTH or not text.isprintable():
        detail = f"a chapter's name has 1-{MAX_NAME_LENGTH} printable characters"
        raise Invalid(f"name: {detail}", fields=(FieldError("name", "incorrect_value", detail),))
    return text

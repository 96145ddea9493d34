"""Translates SQL from SQLite's dialect, in which all statements are written, to PostgreSQL's.

Only the differences are listed here. Statements that both databases understand follow these rules: compare with 0
and 1 instead of using a truth value; qualify the columns of an upsert's old row with their table; name every
subquery; write ``ESCAPE`` after LIKE; use no question mark in a literal.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

_WITHOUT_ROWID = re.compile(r"\)\s*WITHOUT ROWID", re.IGNORECASE)
# Text is compared in byte order, as in SQLite, whatever the database's own collation is.
_TYPES = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"', "REAL": "DOUBLE PRECISION"}
_TYPE = re.compile(r"\b(INTEGER|BLOB|TEXT|REAL)\b")
_COMMENT = re.compile(r"--[^\n]*")
_INSTR = re.compile(r"\binstr\(")

_LITERAL = r"(?:NULL|-?\d+|'[^']*')"
_VALUE = re.compile(rf"\?|{_LITERAL}")
_SETTING = re.compile(rf"(\w+) = (\?|{_LITERAL})")
_INSERT = re.compile(
    r"INSERT INTO (\w+) \(([^)]*)\) VALUES \(([^)]*)\)(?: (ON CONFLICT \(([^)]*)\) DO .*))?", re.DOTALL
)
_DELETE = re.compile(r"DELETE FROM (\w+) WHERE (.*)", re.DOTALL)
_UPDATE = re.compile(r"UPDATE (\w+) SET (.*?) WHERE (.*)", re.DOTALL)


def statements(script: str) -> list[str]:
    """Returns the statements of a schema file, without comments; no statement may contain a quoted semicolon."""
    return [text.strip() for text in _COMMENT.sub("", script).split(";") if text.strip()]


def to_postgres_schema(statement: str) -> bytes:
    """Returns a schema statement with PostgreSQL's types and without WITHOUT ROWID."""
    plain = _WITHOUT_ROWID.sub(")", statement)
    return _TYPE.sub(lambda match: _TYPES[match.group(1)], plain).encode()


@cache
def to_postgres(sql: str) -> bytes:
    """Returns a statement with psycopg's placeholders (``%s``) for ``?``."""
    return _INSTR.sub("strpos(", sql.replace("%", "%%")).replace("?", "%s").encode()


class Bulk(NamedTuple):
    """The plan by which PostgreSQL executes one statement for many rows at once.

    Shape: ``columns`` names the column of each placeholder. ``template`` has a replacement field for the arrays, one
    for each placeholder; it is None where the rows are inserted with COPY, and ``constants`` then names the columns
    with a literal, and their values. ``keys`` are the indexes of the placeholders that must differ between any two
    rows, so that the rows are independent.
    """

    table: str
    columns: tuple[str, ...]
    template: str | None
    constants: tuple[tuple[str, int | str | None], ...]
    keys: tuple[int, ...]


@cache
def bulk(sql: str) -> Bulk | None:
    """Returns the plan of a statement that inserts, upserts, updates or deletes by equality; None for any other."""
    for pattern, plan in ((_INSERT, _bulk_insert), (_UPDATE, _bulk_update), (_DELETE, _bulk_delete)):
        match = pattern.fullmatch(sql)
        if match is not None:
            return plan(match)
    return None


def _bulk_insert(match: re.Match[str]) -> Bulk | None:
    table, tail = match[1], match[4]
    names = [name.strip() for name in match[2].split(",")]
    values = [value.strip() for value in match[3].split(",")]
    if len(names) != len(values) or not all(_VALUE.fullmatch(value) for value in values):
        return None
    columns = tuple(name for name, value in zip(names, values, strict=True) if value == "?")
    if tail is None:
        literals = [(name, _read(value)) for name, value in zip(names, values, strict=True) if value != "?"]
        return Bulk(table, columns, None, tuple(literals), ())
    target = [name.strip() for name in match[5].split(",")]
    if "?" in tail or not set(target) <= set(columns):
        return None
    shown = ", ".join(_numbered(values))
    template = (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {shown} FROM unnest({{}}) AS v({_places(columns)}) {tail}"
    )
    return Bulk(table, columns, template, (), tuple(columns.index(name) for name in target))


def _bulk_update(match: re.Match[str]) -> Bulk | None:
    table = match[1]
    sets = [part.strip() for part in match[2].split(",")]
    wheres = [part.strip() for part in match[3].split(" AND ")]
    parts = [_SETTING.fullmatch(part) for part in (*sets, *wheres)]
    if not all(parts):
        return None
    found = [(part[1], part[2]) for part in parts if part is not None]
    columns = tuple(name for name, value in found if value == "?")
    shown = _numbered([value for _, value in found])
    assigned = ", ".join(f"{name} = {value}" for (name, _), value in zip(found[: len(sets)], shown, strict=False))
    held = " AND ".join(
        f"{table}.{name} = {value}" for (name, _), value in zip(found[len(sets) :], shown[len(sets) :], strict=True)
    )
    set_places = sum(value == "?" for _, value in found[: len(sets)])
    template = f"UPDATE {table} SET {assigned} FROM unnest({{}}) AS v({_places(columns)}) WHERE {held}"
    return Bulk(table, columns, template, (), tuple(range(set_places, len(columns))))


def _bulk_delete(match: re.Match[str]) -> Bulk | None:
    table = match[1]
    parts = [_SETTING.fullmatch(part.strip()) for part in match[2].split(" AND ")]
    if not all(parts):
        return None
    found = [(part[1], part[2]) for part in parts if part is not None]
    columns = tuple(name for name, value in found if value == "?")
    shown = _numbered([value for _, value in found])
    held = " AND ".join(f"{table}.{name} = {value}" for (name, _), value in zip(found, shown, strict=True))
    template = f"DELETE FROM {table} USING unnest({{}}) AS v({_places(columns)}) WHERE {held}"
    return Bulk(table, columns, template, (), ())


def _places(columns: tuple[str, ...]) -> str:
    return ", ".join(f"p{place}" for place in range(len(columns)))


def _numbered(values: list[str]) -> list[str]:
    """Returns the values with ``v.p0``, ``v.p1`` … for the placeholders."""
    numbers = iter(range(len(values)))
    return [f"v.p{next(numbers)}" if value == "?" else value for value in values]


def _read(literal: str) -> int | str | None:
    if literal == "NULL":
        return None
    return literal[1:-1] if literal.startswith("'") else int(literal)

"""The few places where PostgreSQL's words differ from SQLite's; all SQL is written for SQLite."""

from __future__ import annotations

import re
from functools import cache

_WITHOUT_ROWID = re.compile(r"\)\s*WITHOUT ROWID", re.IGNORECASE)
_TYPES = {"INTEGER": "BIGINT", "BLOB": "BYTEA"}
_TYPE = re.compile(r"\b(INTEGER|BLOB)\b")
_COMMENT = re.compile(r"--[^\n]*")


def statements(script: str) -> list[str]:
    """The single statements of a schema file, without its comments; no statement holds a quoted semicolon."""
    return [text.strip() for text in _COMMENT.sub("", script).split(";") if text.strip()]


def to_postgres_schema(statement: str) -> str:
    """A schema statement with PostgreSQL's types and without WITHOUT ROWID."""
    plain = _WITHOUT_ROWID.sub(")", statement)
    return _TYPE.sub(lambda match: _TYPES[match.group(1)], plain)


@cache
def to_postgres(sql: str) -> str:
    """A statement with psycopg's places (``%s``) for ``?``; no literal in our SQL holds a question mark."""
    return sql.replace("%", "%%").replace("?", "%s")

"""The users of each chapter; they have the chapter's access to shares."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import NotFound
from headwater.identity import chapters
from headwater.store.database import Transaction
from headwater.store.log import feeds

_USERS = (
    "SELECT u.id, u.name, u.role FROM users u JOIN user_chapters c ON c.user_id = u.id AND c.chapter_id = ?"
    " WHERE u.organisation = ? ORDER BY u.id"
)


class ChapterUser(NamedTuple):
    """A user of a chapter: id, name and role."""

    id: str
    name: str
    role: str


def read_all(tx: Transaction, organisation: str, chapter_id: str) -> list[ChapterUser]:
    """Returns the users of a chapter, by id. Raises: NotFound (chapter)."""
    _require_chapter(tx, organisation, chapter_id)
    return [ChapterUser(*row) for row in tx.rows(_USERS, chapter_id, organisation)]


def add(tx: Transaction, organisation: str, chapter_id: str, user_id: str) -> list[ChapterUser]:
    """Adds a user to a chapter of the same organisation; idempotent. Returns the chapter's users afterwards.

    Raises: NotFound (chapter, or user in this organisation).
    """
    _require(tx, organisation, chapter_id, user_id)
    tx.run(
        "INSERT INTO user_chapters (user_id, chapter_id) VALUES (?, ?) ON CONFLICT (user_id, chapter_id) DO NOTHING",
        user_id, chapter_id,
    )  # fmt: skip
    tx.notify(feeds.ACCESS)
    return read_all(tx, organisation, chapter_id)


def remove(tx: Transaction, organisation: str, chapter_id: str, user_id: str) -> list[ChapterUser]:
    """Removes a user from a chapter; idempotent. Returns the chapter's users afterwards. Raises: as ``add``."""
    _require(tx, organisation, chapter_id, user_id)
    tx.frees_room()
    tx.run("DELETE FROM user_chapters WHERE user_id = ? AND chapter_id = ?", user_id, chapter_id)
    tx.notify(feeds.ACCESS)
    return read_all(tx, organisation, chapter_id)


def _require(tx: Transaction, organisation: str, chapter_id: str, user_id: str) -> None:
    _require_chapter(tx, organisation, chapter_id)
    if not tx.value("SELECT 1 FROM users WHERE id = ? AND organisation = ?", user_id, organisation):
        raise NotFound(f"no user {user_id!r} in organisation {organisation!r}; 'headwater token list' shows users")


def _require_chapter(tx: Transaction, organisation: str, chapter_id: str) -> None:
    if chapters.find(tx, organisation, chapter_id) is None:
        raise NotFound(f"no chapter {chapter_id!r} in organisation {organisation!r}")

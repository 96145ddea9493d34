"""Users are put into chapters of their own organisation, and whoever remembers access hears of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from headwater.base.errors import NotFound
from headwater.identity import chapter_users, chapters, organisations, tokens
from headwater.identity.roles import Role
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds


@pytest.fixture
def user(database: Database) -> str:
    """A user of ``org_a``, which has the chapter ``osl``; so has ``org_b``."""

    def transaction(tx: Transaction) -> str:
        for organisation in ("org_a", "org_b"):
            organisations.create(tx, organisation)
            chapters.create(tx, organisation, "Oslo", "osl")
        return tokens.create(tx, "org_a", Role.COORDINATOR, ["files"])[1].user_id

    return database.write_now(transaction)


def ids(users: list[chapter_users.ChapterUser]) -> list[str]:
    return [user.id for user in users]


def test_a_user_is_in_a_chapter_from_when_it_is_added_until_it_is_removed(database: Database, user: str) -> None:
    for change, found in ((chapter_users.add, [user]), (chapter_users.remove, [])):
        for _ in range(2):
            assert (
                ids(database.write_now(partial(change, organisation="org_a", chapter_id="osl", user_id=user))) == found
            )
            assert ids(database.read_now(lambda tx: chapter_users.read_all(tx, "org_a", "osl"))) == found


def test_a_chapter_of_the_same_id_in_another_organisation_is_another(database: Database, user: str) -> None:
    database.write_now(lambda tx: chapter_users.add(tx, "org_a", "osl", user))
    assert database.read_now(lambda tx: chapter_users.read_all(tx, "org_b", "osl")) == []
    with pytest.raises(NotFound, match="no user"):
        database.write_now(lambda tx: chapter_users.add(tx, "org_b", "osl", user))


@pytest.mark.parametrize("change", [chapter_users.add, chapter_users.remove])
def test_a_chapter_that_is_unknown_is_not_found(database: Database, user: str, change: Callable[..., Any]) -> None:
    with pytest.raises(NotFound, match="no chapter 'trd'"):
        database.write_now(lambda tx: change(tx, "org_a", "trd", user))


@pytest.mark.parametrize("change", [chapter_users.add, chapter_users.remove])
def test_whoever_remembers_access_hears_of_it(database: Database, user: str, change: Callable[..., Any]) -> None:
    heard: list[int] = []
    database.on_commit(heard.extend)
    database.write_now(lambda tx: change(tx, "org_a", "osl", user))
    assert feeds.ACCESS in heard

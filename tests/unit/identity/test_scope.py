"""The organisations that a request reaches: its caller's own, one that it names, or all."""

from __future__ import annotations

import pytest

from headwater.base.errors import NotFound
from headwater.identity import organisations
from headwater.identity.principal import ANONYMOUS, Principal
from headwater.identity.roles import Role
from headwater.identity.scope import Scope
from headwater.store.database import Database

MEMBER = Principal("t1", "ada", "north", Role.COORDINATOR, frozenset(("contacts",)), feed=7)
ADMIN = MEMBER._replace(role=Role.GLOBAL_ADMIN)


def test_a_caller_reaches_its_own_organisation_and_a_global_admin_all() -> None:
    assert [Scope.of(caller).reaches("south") for caller in (MEMBER, ANONYMOUS, ADMIN)] == [False, False, True]
    assert Scope.of(MEMBER).reaches("north")


def test_a_scope_narrows_to_an_organisation_within_it_only() -> None:
    assert Scope.of(ADMIN).narrow("south") == Scope("south")
    assert Scope.of(ADMIN).narrow("north") == Scope.of(MEMBER)
    with pytest.raises(NotFound, match="no organisation 'south'"):
        Scope.of(MEMBER).narrow("south")


def test_a_known_feed_is_not_looked_up_and_another_one_is(database: Database) -> None:
    database.write_now(lambda tx: organisations.create(tx, "south"))
    assert database.read_now(Scope.of(MEMBER).feed) == 7
    found = database.read_now(Scope("south").feed)
    assert found == database.read_now(lambda tx: organisations.feed_of(tx, "south"))
    with pytest.raises(NotFound, match="no organisation 'east'"):
        database.read_now(Scope("east").feed)


def test_a_list_is_limited_unless_the_scope_reaches_all(database: Database) -> None:
    assert database.read_now(Scope.of(ADMIN).filter) is None
    assert database.read_now(Scope.of(MEMBER).filter) == "north"
    with pytest.raises(NotFound):
        database.read_now(Scope.of(ADMIN).narrow("east").filter)

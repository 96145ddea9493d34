from __future__ import annotations

from functools import partial

import pytest

from headwater.base.errors import Forbidden, NotFound
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.names import NamePolicy
from headwater.identity import chapters
from headwater.identity.principal import ANONYMOUS, Principal
from headwater.identity.roles import SCOPES, Role
from headwater.store.database import Database
from headwater.store.log import feeds


class Shares:
    """Shares of the organisation acme, owned by Ada."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def make(
        self, id: str, *members: tuple[str, str, Access], organisation: str = "acme", deleted: bool = False
    ) -> ShareRow:
        def transaction(tx: object) -> ShareRow:
            feed = feeds.create(tx, "share:" + id, organisation, history=True)  # type: ignore[arg-type]
            row = ShareRow(feed, id, organisation, id, "ada", 0, 1, None, 0, 0, 1 if deleted else None)
            sql = f"INSERT INTO shares ({', '.join(ShareRow._fields)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            tx.run(sql, *row)  # type: ignore[attr-defined]
            for kind, member, level in members:
                sql = "INSERT INTO share_members (feed, kind, member, access, at_us) VALUES (?, ?, ?, ?, 0)"
                tx.run(sql, feed, kind, member, int(level))  # type: ignore[attr-defined]
            return row

        return self.database.write_now(transaction)

    def access_of(self, principal: Principal, row: ShareRow) -> Access:
        return self.database.read_now(lambda tx: access.access_of(tx, principal, row))

    def require(self, principal: Principal, id: str, least: Access) -> ShareRow:
        return self.database.read_now(lambda tx: access.require(tx, principal, id, least))


@pytest.fixture
def shares(database: Database) -> Shares:
    return Shares(database)


def caller(user_id: str = "bo", role: Role = Role.PEER_MENTOR, organisation: str = "acme") -> Principal:
    return Principal("tok_1", user_id, organisation, role, frozenset(SCOPES))


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (caller("ada"), Access.MANAGE),
        (caller("bo"), Access.NONE),
        (caller("bo", Role.COORDINATOR), Access.NONE),
        (caller("bo", Role.ORG_ADMIN), Access.MANAGE),
        (caller("bo", Role.GLOBAL_ADMIN), Access.MANAGE),
        (caller("bo", Role.GLOBAL_ADMIN, "other"), Access.MANAGE),
        (caller("ada", Role.ORG_ADMIN, "other"), Access.NONE),
        (ANONYMOUS._replace(organisation="acme", user_id="ada"), Access.NONE),
    ],
)
def test_without_members_only_the_owner_and_admins_of_the_organisation_have_access(
    shares: Shares, principal: Principal, expected: Access
) -> None:
    assert shares.access_of(principal, shares.make("shr_1")) is expected


@pytest.mark.parametrize("level", [Access.READ, Access.WRITE, Access.MANAGE])
def test_a_member_has_what_the_membership_gives(shares: Shares, level: Access) -> None:
    row = shares.make("shr_1", ("user", "bo", level))
    assert shares.access_of(caller("bo"), row) is level
    assert shares.access_of(caller("cy"), row) is Access.NONE


@pytest.mark.parametrize(
    ("member", "role", "expected"),
    [
        (Role.COORDINATOR, Role.PEER_MENTOR, Access.NONE),
        (Role.COORDINATOR, Role.COORDINATOR, Access.WRITE),
        (Role.PEER_MENTOR, Role.COORDINATOR, Access.WRITE),
        (Role.COORDINATOR, Role.ORG_ADMIN, Access.MANAGE),
    ],
)
def test_a_role_that_is_a_member_stands_for_itself_and_higher_ones(
    shares: Shares, member: Role, role: Role, expected: Access
) -> None:
    row = shares.make("shr_1", ("role", member.wire, Access.WRITE))
    assert shares.access_of(caller(role=role), row) is expected


def test_a_role_that_no_longer_exists_gives_nothing(shares: Shares) -> None:
    row = shares.make("shr_1", ("role", "emperor", Access.MANAGE))
    assert shares.access_of(caller(role=Role.COORDINATOR), row) is Access.NONE


def test_a_chapter_stands_for_the_users_that_are_in_it(shares: Shares) -> None:
    row = shares.make("shr_1", ("chapter", "chp_1", Access.READ))
    assert shares.access_of(caller(), row) is Access.NONE
    into = "INSERT INTO user_chapters (user_id, chapter_id) VALUES ('bo', 'chp_1')"
    shares.database.write_now(lambda tx: tx.run(into))
    assert shares.access_of(caller(), row) is Access.READ
    assert shares.access_of(caller("cy"), row) is Access.NONE


def test_of_several_memberships_the_most_counts(shares: Shares) -> None:
    members = [("user", "bo", Access.READ), ("role", "peer_mentor", Access.WRITE), ("user", "cy", Access.MANAGE)]
    assert shares.access_of(caller("bo"), shares.make("shr_1", *members)) is Access.WRITE


class TestRequire:
    def test_a_caller_with_enough_access_gets_the_share(self, shares: Shares) -> None:
        row = shares.make("shr_1", ("user", "bo", Access.WRITE))
        for least in (Access.READ, Access.WRITE):
            assert shares.require(caller(), "shr_1", least) == row

    def test_a_caller_with_too_little_is_told_what_it_needs_and_has(self, shares: Shares) -> None:
        shares.make("shr_1", ("user", "bo", Access.READ))
        with pytest.raises(Forbidden, match=r"WRITE.*READ"):
            shares.require(caller(), "shr_1", Access.WRITE)

    def test_unknown_deleted_and_foreign_shares_are_told_alike(self, shares: Shares) -> None:
        shares.make("shr_1", ("user", "bo", Access.MANAGE), deleted=True)
        shares.make("shr_2", ("user", "bo", Access.MANAGE), organisation="other")
        shares.make("shr_3")
        for id in ("shr_0", "shr_1", "shr_2", "shr_3"):
            with pytest.raises(NotFound) as failure:
                shares.require(caller(), id, Access.READ)
            assert failure.value.detail == f"no share {id!r}"

    def test_a_share_is_found_by_its_feed_too(self, shares: Shares) -> None:
        row = shares.make("shr_1")
        found = shares.database.read_now(lambda tx: access.require_feed(tx, caller("ada"), row.feed, Access.MANAGE))
        assert found == row
        with pytest.raises(NotFound):
            shares.database.read_now(lambda tx: access.require_feed(tx, caller("ada"), 99, Access.READ))


def test_the_readable_shares_are_the_live_ones_with_access_by_id(shares: Shares) -> None:
    shares.make("shr_3", ("user", "bo", Access.READ))
    shares.make("shr_1", ("role", "peer_mentor", Access.WRITE))
    shares.make("shr_2")
    shares.make("shr_4", ("user", "bo", Access.MANAGE), deleted=True)
    shares.make("shr_5", ("user", "bo", Access.MANAGE), organisation="other")

    def readable(principal: Principal) -> list[str]:
        return [row.id for row in shares.database.read_now(lambda tx: access.readable(tx, principal))]

    assert readable(caller()) == ["shr_1", "shr_3"]
    assert readable(caller("ada")) == ["shr_1", "shr_2", "shr_3"]
    assert readable(caller("x", Role.GLOBAL_ADMIN)) == ["shr_1", "shr_2", "shr_3", "shr_5"]
    assert readable(ANONYMOUS._replace(organisation="acme")) == []


@pytest.mark.parametrize(("case_sensitive", "portable"), [(0, 1), (1, 0), (1, 1), (0, 0)])
def test_a_share_names_its_policy(case_sensitive: int, portable: int) -> None:
    row = ShareRow(7, "shr_1", "acme", "x", "ada", case_sensitive, portable, None, 0, 0, None)
    assert row.policy == NamePolicy(case_sensitive=bool(case_sensitive), portable=bool(portable))
    assert (row.share.feed, row.share.id, row.share.organisation) == (7, "shr_1", "acme")


def test_readable_names_the_shares_to_which_there_is_any_access(shares: Shares) -> None:
    shares.database.write_now(lambda tx: chapters.create(tx, "acme", "Oslo", "osl"))
    rows = [
        shares.make("s-none"),
        shares.make("s-user", ("user", "bo", Access.READ), ("user", "cy", Access.WRITE)),
        shares.make("s-role", ("role", "coordinator", Access.READ)),
        shares.make("s-low", ("role", "peer_mentor", Access.MANAGE)),
        shares.make("s-chapter", ("chapter", "osl", Access.WRITE)),
        shares.make("s-other", ("user", "bo", Access.READ), organisation="other"),
        shares.make("s-unknown", ("role", "no such role", Access.READ), ("user", "osl", Access.READ)),
        shares.make("s-deleted", ("user", "bo", Access.READ), deleted=True),
    ]
    put = "INSERT INTO user_chapters (user_id, chapter_id) VALUES (?, ?)"
    shares.database.write_now(lambda tx: tx.run(put, "cy", "osl"))
    callers = [
        caller(user, role, place) for user in ("ada", "bo", "cy") for role in Role for place in ("acme", "other")
    ]
    for principal in [*callers, ANONYMOUS]:
        found = shares.database.read_now(partial(access.readable, principal=principal))
        live = [row for row in rows if row.deleted_us is None]
        expected = sorted(row.id for row in live if shares.access_of(principal, row) >= Access.READ)
        assert [row.id for row in found] == expected
        states = shares.database.read_now(partial(access.readable_states, principal=principal))
        assert sorted(state.id for state in states) == expected
        assert [state.feed for state in states] == sorted(state.feed for state in states)

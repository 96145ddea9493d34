from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.identity import organisations, tokens
from headwater.identity.roles import Role
from headwater.store.database import Database
from tests.support.clock import SECOND_US, MovableClock


@pytest.fixture
def acme(database: Database) -> Database:
    """A database with the organisations acme and other."""
    for name in ("acme", "other"):
        database.write_now(partial(organisations.create, id=name))
    return database


def make(database: Database, **more: Any) -> tuple[str, tokens.Token]:
    given = {"organisation": "acme", "role": Role.COORDINATOR, "scopes": ["files", "contacts:read"]} | more
    return database.write_now(lambda tx: tokens.create(tx, **given))  # type: ignore[arg-type]


class TestText:
    def test_a_token_is_64_characters_that_begin_with_its_prefix(self) -> None:
        text = tokens.make_text()
        assert len(text) == tokens.LENGTH == 64
        assert text.startswith(tokens.PREFIX)
        assert tokens.well_formed(text)

    def test_tokens_do_not_repeat(self) -> None:
        assert len({tokens.make_text() for _ in range(500)}) == 500

    @pytest.mark.parametrize("at", [0, 3, 4, 30, 57, 58, 63])
    def test_a_token_with_one_other_character_is_no_token(self, at: int) -> None:
        text = tokens.make_text()
        other = "A" if text[at] != "A" else "B"
        assert not tokens.well_formed(text[:at] + other + text[at + 1 :])

    def test_a_token_in_another_form_is_no_token(self) -> None:
        text = tokens.make_text()
        for other in (text.lower(), text.upper(), text + "0", text[:-1], " " + text[1:], text[:-1] + "\n"):
            assert not tokens.well_formed(other)

    @given(st.text(max_size=80))
    def test_no_other_text_is_a_token(self, text: str) -> None:
        assert not tokens.well_formed(text)
        assert not tokens.well_formed(tokens.PREFIX + text)


class TestCreate:
    def test_a_token_is_stored_as_its_hash_alone(self, acme: Database) -> None:
        text, row = make(acme)
        stored = acme.read_now(lambda tx: tx.row("SELECT * FROM tokens WHERE id = ?", row.id))
        assert stored is not None
        assert bytes(next(value for value in stored if isinstance(value, bytes | memoryview))) == tokens.digest(text)
        assert all(text not in str(value) for value in stored)

    def test_a_token_knows_its_organisation_role_scopes_and_feed(self, acme: Database, clock: MovableClock) -> None:
        _, row = make(acme, label="laptop", expires_us=clock.at_us + 5)
        assert row.organisation == "acme"
        assert row.role == Role.COORDINATOR.wire
        assert row.scopes == "contacts:read files"
        assert row.label == row.user_name == "laptop"
        assert (row.created_us, row.expires_us, row.revoked_us) == (clock.at_us, clock.at_us + 5, None)
        assert row.feed == acme.read_now(lambda tx: organisations.feed_of(tx, "acme"))

    def test_scopes_are_stored_once_each_and_in_order(self, acme: Database) -> None:
        assert make(acme, scopes=["sync", "files", "sync", "admin"])[1].scopes == "admin files sync"

    @pytest.mark.parametrize("scope", ["file", "files:write", "", "files sync"])
    def test_an_unknown_scope_is_refused_and_makes_no_user(self, acme: Database, scope: str) -> None:
        with pytest.raises(Invalid) as failure:
            make(acme, scopes=["files", scope])
        assert failure.value.fields[0].field == "scopes"
        assert acme.read_now(lambda tx: tx.value("SELECT count(*) FROM users")) == 0

    @pytest.mark.parametrize(
        ("given", "name"),
        [({"user_name": "Ada", "label": "laptop"}, "Ada"), ({"label": "laptop"}, "laptop"), ({}, None)],
    )
    def test_a_new_user_is_called_by_name_or_label_or_id(
        self, acme: Database, given: dict[str, str], name: str | None
    ) -> None:
        _, row = make(acme, **given)
        assert row.user_name == (name or row.user_id)
        assert row.user_id.startswith(tokens.USER_PREFIX)

    def test_a_second_token_of_a_user_makes_no_second_user(self, acme: Database) -> None:
        _, first = make(acme)
        _, second = make(acme, user_id=first.user_id)
        assert second.user_id == first.user_id
        assert second.id != first.id
        assert acme.read_now(lambda tx: tx.value("SELECT count(*) FROM users")) == 1

    def test_a_user_of_another_organisation_gets_no_token_here(self, acme: Database) -> None:
        _, row = make(acme)
        with pytest.raises(NotFound, match="other"):
            make(acme, organisation="other", user_id=row.user_id)


class TestUserNamed:
    def find(self, database: Database, text: str, role: Role = Role.COORDINATOR, organisation: str = "acme") -> Any:
        return database.read_now(lambda tx: tokens.user_named(tx, organisation, text, role))

    def test_a_user_is_found_by_id_and_by_a_name_that_one_user_has(self, acme: Database) -> None:
        _, ada = make(acme, user_name="Ada")
        assert self.find(acme, ada.user_id) == self.find(acme, "Ada") == ada.user_id

    def test_a_name_of_nobody_is_a_new_one(self, acme: Database) -> None:
        make(acme, user_name="Ada")
        assert self.find(acme, "ada") is None
        assert self.find(acme, "Ada", organisation="other") is None

    def test_an_id_of_nobody_is_no_new_name(self, acme: Database) -> None:
        with pytest.raises(NotFound, match="headwater token list"):
            self.find(acme, "usr_nobody")

    def test_a_name_of_several_users_is_refused_with_their_ids(self, acme: Database) -> None:
        ids = sorted(make(acme, user_name="Ada")[1].user_id for _ in range(2))
        with pytest.raises(StateConflict, match=f"{ids[0]}, {ids[1]}"):
            self.find(acme, "Ada")

    def test_an_id_wins_over_other_users_of_that_name(self, acme: Database) -> None:
        _, ada = make(acme, user_name="Ada")
        make(acme, user_name=ada.user_id)
        assert self.find(acme, ada.user_id) == ada.user_id

    def test_a_user_of_another_role_is_refused(self, acme: Database) -> None:
        make(acme, user_name="Ada")
        with pytest.raises(StateConflict, match="coordinator"):
            self.find(acme, "Ada", Role.ORG_ADMIN)


class TestReading:
    def test_tokens_are_listed_oldest_first_of_one_organisation_or_of_all(
        self, acme: Database, clock: MovableClock
    ) -> None:
        made = []
        for organisation in ("acme", "other", "acme"):
            made.append(make(acme, organisation=organisation)[1].id)
            clock.advance(1)
        assert [row.id for row in acme.read_now(tokens.read_all)] == made
        assert [row.id for row in acme.read_now(lambda tx: tokens.read_all(tx, "acme"))] == [made[0], made[2]]
        assert acme.read_now(lambda tx: tokens.read_all(tx, "nobody")) == []

    def test_an_unknown_token_is_not_found(self, acme: Database) -> None:
        with pytest.raises(NotFound, match="tok_1"):
            acme.read_now(lambda tx: tokens.read(tx, "tok_1"))


class TestEnd:
    def principals(self, database: Database, text: str, row: tokens.Token, now_us: int) -> list[Any]:
        return [
            database.read_now(lambda tx: tokens.principal_of_hash(tx, tokens.digest(text), now_us)),
            database.read_now(lambda tx: tokens.principal_of_id(tx, row.id, now_us)),
        ]

    def test_a_good_token_stands_for_one_caller_by_hash_and_by_id(self, acme: Database, clock: MovableClock) -> None:
        text, row = make(acme)
        by_hash, by_id = self.principals(acme, text, row, clock.at_us)
        assert by_hash == by_id
        assert by_hash.role is Role.COORDINATOR
        assert by_hash.scopes == {"files", "contacts:read"}
        assert (by_hash.token_id, by_hash.user_id, by_hash.feed) == (row.id, row.user_id, row.feed)

    @pytest.mark.parametrize(("after_us", "good"), [(-1, True), (0, False), (1, False)])
    def test_a_token_ends_at_the_instant_of_its_expiry(
        self, acme: Database, clock: MovableClock, after_us: int, good: bool
    ) -> None:
        expires_us = clock.at_us + 60 * SECOND_US
        text, row = make(acme, expires_us=expires_us)
        found = self.principals(acme, text, row, expires_us + after_us)
        assert [principal is not None for principal in found] == [good, good]

    def test_a_revoked_token_stands_for_no_caller(self, acme: Database, clock: MovableClock) -> None:
        text, row = make(acme)
        acme.write_now(lambda tx: tokens.revoke(tx, row.id))
        assert self.principals(acme, text, row, clock.at_us) == [None, None]

    def test_revoking_again_keeps_the_first_instant(self, acme: Database, clock: MovableClock) -> None:
        _, row = make(acme)
        first = acme.write_now(lambda tx: tokens.revoke(tx, row.id))
        clock.advance(60)
        assert acme.write_now(lambda tx: tokens.revoke(tx, row.id)) == first

    def test_revoking_one_token_leaves_the_users_other_one(self, acme: Database, clock: MovableClock) -> None:
        _, first = make(acme)
        text, second = make(acme, user_id=first.user_id)
        acme.write_now(lambda tx: tokens.revoke(tx, first.id))
        assert None not in self.principals(acme, text, second, clock.at_us)

    def test_an_unknown_token_cannot_be_revoked(self, acme: Database) -> None:
        with pytest.raises(NotFound):
            acme.write_now(lambda tx: tokens.revoke(tx, "tok_1"))

    def test_a_role_that_no_longer_exists_lets_no_caller_in(self, acme: Database, clock: MovableClock) -> None:
        text, row = make(acme)
        acme.write_now(lambda tx: tx.run("UPDATE users SET role = 'emperor' WHERE id = ?", row.user_id))
        assert self.principals(acme, text, row, clock.at_us) == [None, None]

    def test_what_changes_callers_raises_the_identity_counter_and_nothing_else_does(self, acme: Database) -> None:
        def counter() -> int:
            return acme.read_now(lambda tx: tx.counter(0, "identity"))

        seen = [counter()]
        _, row = make(acme)
        seen.append(counter())
        acme.write_now(lambda tx: tokens.revoke(tx, row.id))
        seen.append(counter())
        acme.write_now(lambda tx: tokens.revoke(tx, row.id))
        acme.read_now(tokens.read_all)
        seen.append(counter())
        assert seen[0] < seen[1] < seen[2] == seen[3]

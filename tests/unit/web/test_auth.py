from __future__ import annotations

from typing import Any

import pytest

from headwater.base.errors import Forbidden, Unauthenticated
from headwater.identity.principal import ANONYMOUS, Principal
from headwater.identity.roles import Role
from headwater.web import auth
from headwater.web.access_rule import AccessRule
from headwater.web.auth import Authenticator, permit
from tests.support.clock import SECOND_US
from tests.support.server.serving import ServerUnderTest

READER = Principal("tok_1", "usr_1", "acme", Role.COORDINATOR, frozenset({"files:read", "contacts"}))
FILES = AccessRule("files")


class TestPermit:
    def refusal(self, access: AccessRule) -> str | None:
        """What the reader lacks for a route with this rule: a scope, or a role; None when it lacks nothing."""
        try:
            permit(READER, access)
        except Forbidden as failure:
            return str(failure.extra.get("missing", "a role"))
        return None

    @pytest.mark.parametrize(
        ("access", "lacking"),
        [
            (AccessRule(), None),
            (FILES, None),
            (AccessRule("contacts", write=True), None),
            (AccessRule("contacts", least=Role.COORDINATOR), None),
            (AccessRule("files", write=True), "files"),
            (AccessRule("admin"), "admin"),
            (AccessRule("admin", least=Role.GLOBAL_ADMIN), "admin"),
            (AccessRule("contacts", least=Role.ORG_ADMIN), "a role"),
        ],
    )
    def test_a_caller_needs_the_scope_and_then_the_role(self, access: AccessRule, lacking: str | None) -> None:
        assert self.refusal(access) == lacking

    def test_the_missing_scope_is_named_for_programs(self) -> None:
        with pytest.raises(Forbidden) as failure:
            permit(READER, AccessRule("sync"))
        assert failure.value.extra == {"missing": "sync"}


class Door:
    """The authenticator of a server, asked from outside its loop."""

    def __init__(self, server: ServerUnderTest) -> None:
        self.server = server
        self.auth: Authenticator = server.services.authenticator

    def caller(self, token: str | None, access: AccessRule = FILES) -> Principal:
        headers = {} if token is None else {b"authorization": b"Bearer " + token.encode()}
        return self.server.loop.run(self.auth.caller(headers, access))

    def known(self, token: str, access: AccessRule = FILES) -> Principal | None:
        return self.auth.cached({b"authorization": b"Bearer " + token.encode()}, access)


@pytest.fixture
def door(server: ServerUnderTest) -> Door:
    return Door(server)


class TestCaller:
    @pytest.mark.sqlite_only
    def test_an_open_route_asks_for_nothing_and_reads_no_token(self, door: Door) -> None:
        for token in (None, "rubbish"):
            assert door.caller(token, AccessRule(open=True)) is ANONYMOUS

    def test_a_route_that_is_not_public_needs_a_token(self, door: Door) -> None:
        with pytest.raises(Unauthenticated):
            door.caller(None)

    def test_a_good_token_is_its_caller_with_its_feed(self, door: Door) -> None:
        text, row = door.server.token_row("acme", "coordinator", ["files"])
        found = door.caller(text)
        assert (found.token_id, found.organisation, found.role, found.feed) == (
            row.id,
            "acme",
            Role.COORDINATOR,
            row.feed,
        )

    @pytest.mark.parametrize("credentials", [b"", b"Bearer", b"Bearer ", b"Basic abc", b"token abc", b"\xff\xfe"])
    @pytest.mark.sqlite_only
    def test_credentials_of_another_form_are_refused_with_the_form(self, door: Door, credentials: bytes) -> None:
        with pytest.raises(Unauthenticated, match="Bearer TOKEN"):
            door.server.loop.run(door.auth.principal(credentials))

    def test_a_text_that_is_no_token_is_refused_without_a_look_into_the_database(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads: list[object] = []
        monkeypatch.setattr(door.server.database, "read", reads.append)
        with pytest.raises(Unauthenticated):
            door.caller("hwt_" + "x" * 60)
        assert reads == []


@pytest.mark.sqlite_only
class TestKnown:
    """Where the database is embedded a caller is remembered."""

    def test_a_token_is_known_once_it_came(self, door: Door) -> None:
        text = door.server.token("acme")
        assert door.known(text) is None
        assert door.known(text) is None
        first = door.caller(text)
        assert door.known(text) == first

    def test_an_open_route_and_a_request_without_a_token_know_no_caller(self, door: Door) -> None:
        text = door.server.token("acme")
        door.caller(text)
        assert door.known(text, AccessRule(open=True)) is None
        assert door.auth.cached({}, FILES) is None

    def test_what_is_known_is_still_held_against_the_rule(self, door: Door) -> None:
        text = door.server.token("acme", "coordinator", ["files:read"])
        door.caller(text)
        with pytest.raises(Forbidden):
            door.known(text, AccessRule("files", write=True))

    def test_a_change_of_any_token_empties_the_memory(self, door: Door) -> None:
        text = door.server.token("acme")
        door.caller(text)
        door.server.token("acme")
        assert door.known(text) is None

    def test_a_token_that_expired_is_known_no_more(self, door: Door) -> None:
        expires_us = door.server.clock.at_us + SECOND_US
        text = door.server.token("acme", expires_us=expires_us)
        door.caller(text)
        door.server.clock.advance(1)
        assert door.known(text) is None
        with pytest.raises(Unauthenticated):
            door.caller(text)

    def test_the_memory_has_an_end(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(auth, "_MAX_CACHED", 3)
        for text in [door.server.token("acme") for _ in range(5)]:
            door.caller(text)
            assert len(door.auth._cached) <= 3


class TestJwt:
    def test_a_jwt_is_its_tokens_caller_until_its_end(self, door: Door) -> None:
        principal = door.caller(door.server.token("acme"))
        now = door.server.clock.at_us // SECOND_US
        text, ends = door.auth.mint_jwt(principal, now)
        assert door.caller(text) == principal._replace(expires_us=ends * SECOND_US)
        assert ends == now + door.server.settings.access.jwt_lifetime_seconds
        door.server.clock.advance(ends - now)
        with pytest.raises(Unauthenticated):
            door.caller(text)

    def test_a_jwt_ends_with_its_token(self, door: Door) -> None:
        token, row = door.server.token_row("acme")
        text, _ = door.auth.mint_jwt(door.caller(token), door.server.clock.at_us // SECOND_US)
        door.server.revoke(row.id)
        with pytest.raises(Unauthenticated):
            door.caller(text)

    def test_a_caller_without_a_token_gets_no_jwt(self, door: Door) -> None:
        with pytest.raises(Unauthenticated):
            door.auth.mint_jwt(ANONYMOUS, 0)


class TestAnew:
    def anew(self, door: Door, principal: Principal, token: str) -> Any:
        headers = {b"authorization": b"Bearer " + token.encode()}
        return door.server.loop.run(door.auth.refreshed(principal, headers))

    def test_a_caller_that_came_in_is_read_again(self, door: Door) -> None:
        text = door.server.token("acme")
        principal = door.caller(text)
        assert self.anew(door, principal, text) == principal
        door.server.token("acme")
        assert self.anew(door, principal, text) == principal

    def test_a_caller_whose_token_ended_is_let_in_no_more(self, door: Door) -> None:
        text, row = door.server.token_row("acme")
        principal = door.caller(text)
        door.server.revoke(row.id)
        with pytest.raises(Unauthenticated):
            self.anew(door, principal, text)

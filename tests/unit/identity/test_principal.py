from __future__ import annotations

import pytest

from headwater.identity.principal import ANONYMOUS, DEFAULT_ORGANISATION, Principal
from headwater.identity.roles import SCOPES, Role, allows


def caller(role: Role, organisation: str = "acme", token_id: str = "tok_1") -> Principal:
    return Principal(token_id, "usr_1", organisation, role, frozenset(SCOPES))


@pytest.mark.parametrize("role", Role)
def test_every_role_sees_its_own_organisation(role: Role) -> None:
    assert caller(role).sees("acme")


@pytest.mark.parametrize("role", Role)
def test_only_a_global_admin_sees_other_organisations(role: Role) -> None:
    assert caller(role).sees("other") is (role is Role.GLOBAL_ADMIN)
    assert caller(role).sees_all is (role is Role.GLOBAL_ADMIN)


def test_no_role_lets_a_caller_without_a_token_see_all() -> None:
    nameless = caller(Role.GLOBAL_ADMIN, token_id="")
    assert nameless.anonymous
    assert not nameless.sees_all
    assert not nameless.sees("other")


def test_the_caller_without_a_token_works_in_the_default_organisation_alone() -> None:
    assert ANONYMOUS.anonymous
    assert ANONYMOUS.sees(DEFAULT_ORGANISATION)
    assert not ANONYMOUS.sees("acme")


@pytest.mark.parametrize("scope", SCOPES)
def test_the_caller_without_a_token_has_contacts_and_the_cache_and_nothing_else(scope: str) -> None:
    assert allows(ANONYMOUS.scopes, scope, write=True) is (scope in {"contacts", "cache"})
    assert allows(ANONYMOUS.scopes, scope, write=False) is (scope in {"contacts", "cache"})


def test_the_caller_without_a_token_is_no_administrator() -> None:
    assert ANONYMOUS.role < Role.ORG_ADMIN

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.identity.roles import SCOPES, Role, allows, known_scope, role_of

HALVES = [*SCOPES, *(scope + ":read" for scope in SCOPES)]


def test_each_role_includes_the_lower_ones() -> None:
    order = [Role.PEER_MENTOR, Role.COORDINATOR, Role.ORG_ADMIN, Role.GLOBAL_ADMIN]
    assert all(lower < higher for lower, higher in pairwise(order))
    assert order == list(Role)


@pytest.mark.parametrize("role", Role)
def test_a_role_is_found_by_its_wire_name(role: Role) -> None:
    assert role_of(role.wire) is role


@pytest.mark.parametrize("name", ["", "admin", "GLOBAL_ADMIN", "global admin", "Coordinator", "4"])
def test_any_other_name_is_no_role(name: str) -> None:
    assert role_of(name) is None


@pytest.mark.parametrize("scope", HALVES)
def test_every_scope_is_known_with_and_without_its_read_half(scope: str) -> None:
    assert known_scope(scope)


@pytest.mark.parametrize("scope", ["", ":read", "file", "files:write", "files:read:read", "FILES", "files "])
def test_any_other_text_is_no_scope(scope: str) -> None:
    assert not known_scope(scope)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_allows_reading_and_writing_and_its_read_half_only_reading(scope: str) -> None:
    whole, half = frozenset({scope}), frozenset({scope + ":read"})
    assert allows(whole, scope, write=True)
    assert allows(whole, scope, write=False)
    assert allows(half, scope, write=False)
    assert not allows(half, scope, write=True)


@given(st.frozensets(st.sampled_from(HALVES)), st.sampled_from(SCOPES), st.booleans())
def test_no_set_of_other_scopes_allows_one(scopes: frozenset[str], scope: str, write: bool) -> None:
    others = scopes - {scope, scope + ":read"}
    assert not allows(others, scope, write=write)
    assert allows(scopes, scope, write=write) or not allows(scopes, scope, write=True)

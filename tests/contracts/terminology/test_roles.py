"""The rights of each role: exactly as printed, and other tenants' records that do not exist for a caller."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.server.serving import ServerUnderTest

SYNC = "/api/v1/terminology-sync"
LABELS = "/api/v1/terminology"
ROLES = ["peer_mentor", "coordinator", "org_admin", "global_admin"]

ROUTES: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("GET", SYNC, None, "org_admin"),
    ("GET", f"{SYNC}/org_a", None, "coordinator"),
    ("POST", SYNC, {"organization_id": "org_a"}, "org_admin"),
    ("PUT", f"{SYNC}/org_a", {"ttl_seconds": 60}, "org_admin"),
    ("DELETE", f"{SYNC}/org_a", None, "global_admin"),
    ("POST", f"{SYNC}/org_a/sync-if-stale", None, "coordinator"),
    ("POST", f"{SYNC}/org_a/force-sync", None, "org_admin"),
    ("GET", f"{SYNC}/org_a/stale", None, "coordinator"),
    ("GET", LABELS, None, "peer_mentor"),
    ("GET", f"{LABELS}/org_a", None, "peer_mentor"),
    ("POST", LABELS, {"organization_id": "org_a", "labels": {}}, "org_admin"),
    ("PUT", f"{LABELS}/org_a", {"labels": {"k": "v"}}, "org_admin"),
    ("DELETE", f"{LABELS}/org_a", None, "global_admin"),
    ("GET", f"{LABELS}/org_a/source", None, "global_admin"),
    ("PUT", f"{LABELS}/org_a/source", {"source": "own"}, "global_admin"),
]


@pytest.fixture
def stocked(server: ServerUnderTest) -> ServerUnderTest:
    for organisation in ("org_a", "org_b"):
        server.client.post(SYNC, json={"organization_id": organisation})
        server.client.post(LABELS, json={"organization_id": organisation, "labels": {"k": organisation}})
    return server


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("method", "path", "body", "least"), ROUTES)
def test_a_route_lets_in_the_printed_roles_and_no_lower_one(
    stocked: ServerUnderTest, method: str, path: str, body: dict[str, Any] | None, least: str
) -> None:
    options = {} if body is None else {"json": body}
    for role in ROLES:
        answer = stocked.caller("org_a", role).request(method, path, **options)
        if ROLES.index(role) < ROLES.index(least):
            assert answer.problem() == (403, "FORBIDDEN")
        else:
            assert answer.status in (200, 409)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("method", "path", "body", "least"), ROUTES)
def test_a_route_needs_a_token_with_the_scope(
    stocked: ServerUnderTest, method: str, path: str, body: dict[str, Any] | None, least: str
) -> None:
    options = {} if body is None else {"json": body}
    assert stocked.public.request(method, path, **options).problem() == (401, "UNAUTHENTICATED")
    other = stocked.caller("org_a", "global_admin", scopes=["contacts", "cache"])
    assert other.request(method, path, **options).problem() == (403, "FORBIDDEN")
    reading = stocked.caller("org_a", "global_admin", scopes=["terminology:read"])
    assert (reading.request(method, path, **options).status == 403) == (method != "GET")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("method", "path", "body"), [route[:3] for route in ROUTES if route[3] != "global_admin"])
def test_another_tenants_organisation_is_told_like_an_unknown_one(
    stocked: ServerUnderTest, method: str, path: str, body: dict[str, Any] | None
) -> None:
    caller = stocked.caller("org_a", "org_admin")
    answers = []
    for organisation in ("org_b", "org_unknown"):
        asked = path.replace("org_a", organisation)
        if asked == path:
            asked += f"?org_id={organisation}" if method == "GET" else ""
        given = None if body is None else {**body, **({"organization_id": organisation} if "org" in str(body) else {})}
        answer = caller.request(method, asked, **({} if given is None else {"json": given}))
        assert answer.problem() == (404, "NOT_FOUND")
        answers.append(answer.json()["detail"].replace(organisation, "?"))
    assert answers[0] == answers[1]


def test_an_org_admin_sees_its_own_organisation_in_the_lists(stocked: ServerUnderTest) -> None:
    for path in (SYNC, LABELS):
        found = stocked.caller("org_b", "org_admin").get(path).json()
        assert [row["organization_id"] for row in found["data"]] == ["org_b"]
        assert found["pagination"]["total"] == 1


def test_an_org_admin_cannot_make_an_organisation(stocked: ServerUnderTest) -> None:
    stocked.caller("org_a", "org_admin").post(SYNC, json={"organization_id": "org_new"})
    assert stocked.client.get(f"{SYNC}/org_new").json()["detail"] == "no organisation 'org_new'"

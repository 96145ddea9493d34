"""Roles by routes by own and foreign objects, over every route that is served, those to come included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from headwater.base.ids import random_id
from headwater.base.settings.table import LimitSettings, Settings
from headwater.identity.roles import SCOPES, Role
from headwater.server import jobs
from headwater.store import dump
from headwater.store.database import Database, Transaction
from headwater.store.migrate import steps
from headwater.web.access_rule import AccessRule
from tests.support.clock import MovableClock
from tests.support.server.asgi import Answer, Client
from tests.support.server.doors import Door, doors
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import fresh_sqlite
from tests.support.store.objects import MAKERS, Owner, ask, ids_of, things_for

READING = tuple(scope + ":read" for scope in SCOPES)
SHOWING_NOTHING = ("operations", "documentation")
"""Doors that hold nothing of anybody's."""


def each(doors: Iterable[Door]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("door", list(doors), ids=lambda door: door.name)


def inner_ids(door: Door) -> list[str]:
    return sorted(ids_of(door) - NO_IDS)


NO_IDS = {"queue", "chunk"}
"""Names in paths that name nothing of anybody's."""

every_door = each(doors())
every_door_with_ids = each(door for door in doors() if ids_of(door))
every_door_with_inner_ids = each(door for door in doors() if len(inner_ids(door)) > 1)
LISTS = [
    door
    for door in doors()
    if door.route.method == "GET" and not ids_of(door) and door.contract.name not in SHOWING_NOTHING
]
every_list = each(LISTS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    """One server for all cases: each makes its own objects, and none may see another's."""
    folder, clock = tmp_path_factory.mktemp("matrix"), MovableClock()
    limits = LimitSettings(rate_address_per_second=1_000_000, rate_address_burst=10_000_000)
    with fresh_sqlite(folder, clock) as database, serving(database, Settings(limits=limits), clock, folder) as under:
        yield under


def owner(server: ServerUnderTest, role: Role = Role.ORG_ADMIN) -> Owner:
    """Somebody in an organisation of its own."""
    organisation = random_id("org")
    return Owner(server.caller(organisation, role), organisation, server.client)


def pair(server: ServerUnderTest, role: Role, scopes: Iterable[str]) -> tuple[Owner, Client]:
    """A user with every scope, to make what it owns, and the same user with just these scopes."""
    organisation = random_id("org")
    text, row = server.token_row(organisation, role)
    narrow = server.token(organisation, role, scopes, user_id=row.user_id)
    return Owner(server.client.as_token(text), organisation, server.client), server.client.as_token(narrow)


def alike(answer: Answer, ids: dict[str, str]) -> tuple[int, str]:
    """What an answer tells, without the ids that the caller named itself and without the request's own id."""
    text = answer.text.replace(answer.headers["x-request-id"], "ID")
    for id in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(id, "NAMED")
    return answer.status, text


@every_door_with_ids
def test_each_route_with_ids_has_something_to_be_tried_on(server: ServerUnderTest, door: Door) -> None:
    assert ids_of(door) <= things_for(door, owner(server)).keys()


@every_door
def test_without_good_credentials_only_what_says_so_answers(server: ServerUnderTest, door: Door) -> None:
    ids = things_for(door, owner(server))
    text, row = server.token_row("org_a", Role.ORG_ADMIN)
    server.revoke(row.id)
    expired = server.token("org_a", Role.ORG_ADMIN, expires_us=server.clock() - 1)
    access: AccessRule = door.route.access
    assert (ask(server.public, door, ids).status == 401) == (not access.open and not access.public), "no token"
    for name, token in (("garbage", "x" * 64), ("revoked", text), ("expired", expired), ("cut", text[:63])):
        assert (ask(server.client.as_token(token), door, ids).status == 401) == (not access.open), name


@every_door
def test_the_least_role_and_those_above_are_let_in_and_none_below(server: ServerUnderTest, door: Door) -> None:
    for role in Role:
        own, caller = pair(server, role, SCOPES)
        answer = ask(caller, door, things_for(door, own))
        if role < door.route.access.least:
            assert answer.status == 403, role
        else:
            assert answer.status not in (401, 403, 405), (role, answer.body)
            assert answer.status < 500, (role, answer.body)


@every_door
def test_a_route_asks_for_its_scope_and_for_writing_for_the_whole_of_it(server: ServerUnderTest, door: Door) -> None:
    access = door.route.access
    others = [scope for scope in SCOPES if scope != access.scope]
    for name, scopes, enough in (
        ("no scope", (), not access.scope),
        ("all others", others, not access.scope),
        ("reading", READING, not access.write),
        ("all", SCOPES, True),
    ):
        own, caller = pair(server, Role.GLOBAL_ADMIN, scopes)
        answer = ask(caller, door, things_for(door, own))
        assert (answer.status != 403) == enough, (name, answer.body)


@every_door
def test_a_token_that_only_reads_changes_no_row(server: ServerUnderTest, door: Door) -> None:
    own, reader = pair(server, Role.GLOBAL_ADMIN, READING)
    ids = things_for(door, own)
    server.loop.run(jobs.write_sightings(server.services))
    before = every_row(server.database)
    answer = ask(reader, door, ids, headers={"X-Device-Id": "device-1"})
    server.loop.run(jobs.write_sightings(server.services))
    assert every_row(server.database) == before
    assert (answer.status == 403) == (door.route.access.write and bool(door.route.access.scope))


def every_row(database: Database) -> dict[str, list[object]]:
    """Every row of every table."""

    def transaction(tx: Transaction) -> dict[str, list[object]]:
        tables = [dump.describe(tx, name, embedded=database.embedded) for name in dump.names([n for n, _ in steps()])]
        return {table.name: [row for page in dump.pages(tx, table) for row in page] for table in tables}

    return database.read_now(transaction)


@every_door_with_ids
def test_its_owner_finds_it(server: ServerUnderTest, door: Door) -> None:
    of = owner(server)
    ids = things_for(door, of)
    client = of.admin if door.route.access.least > Role.ORG_ADMIN else of.client
    answer = ask(client, door, ids)
    assert answer.status < 500, answer.body
    assert answer.status != 404, answer.body


@every_door_with_ids
def test_what_is_anothers_is_told_like_what_is_not_there(server: ServerUnderTest, door: Door) -> None:
    ids = things_for(door, owner(server))
    stranger = owner(server).client
    foreign = ask(stranger, door, ids)
    missing = {name: ids[name] if name in NO_IDS else f"none-{name}" for name in ids}
    unknown = ask(stranger, door, missing)
    assert alike(foreign, ids) == alike(unknown, missing)
    assert foreign.status == (404 if door.route.access.least <= Role.ORG_ADMIN else 403)
    assert "anary" not in foreign.text


@every_door_with_inner_ids
def test_an_inner_id_of_another_does_not_pass_under_ones_own(server: ServerUnderTest, door: Door) -> None:
    stranger = owner(server)
    theirs, mine = things_for(door, owner(server)), things_for(door, stranger)
    for name in inner_ids(door):
        unknown = f"none-{name}"
        refused = ask(stranger.client, door, {**mine, name: theirs[name]})
        told = alike(refused, {**mine, name: theirs[name]})
        assert told == alike(ask(stranger.client, door, {**mine, name: unknown}), {**mine, name: unknown}), name
        # A batch tells of each item what became of it; a sync record tells that it is of one organisation only.
        assert refused.status in (404, 409) or '"NOT_FOUND"' in refused.text, (name, refused.body)
        assert "anary" not in refused.text


@every_list
def test_a_list_shows_nothing_of_another_organisation(server: ServerUnderTest, door: Door) -> None:
    theirs = everything(server)
    stranger = owner(server).client
    assert "anary" not in ask(stranger, door, {}).text
    if any(param.name == "org_id" for param in door.route.params):
        refused = stranger.get(f"{door.path}?org_id={theirs.organisation}")
        unknown = stranger.get(f"{door.path}?org_id=none-org")
        assert alike(refused, {"id": theirs.organisation}) == alike(unknown, {"id": "none-org"})
        assert refused.status == 404


def test_the_lists_would_show_it(server: ServerUnderTest) -> None:
    own = everything(server)
    showing = {door.name for door in LISTS if "anary" in ask(own.client, door, {}).text}
    assert {"GET /api/v1/contacts", "GET /api/v1/feed", "GET /api/v1/shares", "GET /api/v1/sync/devices"} <= showing


def everything(server: ServerUnderTest) -> Owner:
    """An owner of one of every kind."""
    own = owner(server)
    for make in dict.fromkeys(MAKERS.values()):
        make(own)
    return own


def test_a_write_that_names_another_organisation_is_told_like_an_unknown_one(server: ServerUnderTest) -> None:
    theirs, stranger = owner(server), owner(server).client
    for organisation in (theirs.organisation, "none-org"):
        sync: dict[str, Any] = {"org_id": organisation, "contacts": [], "notes": []}
        assert stranger.post("/api/v1/cache/sync", json=sync).problem() == (404, "NOT_FOUND")
        made = stranger.post(f"/api/v1/contacts?org_id={organisation}", json={"first_name": "x"})
        assert made.problem() == (404, "NOT_FOUND")

"""What the readings say of all doors alike (section 1), held against every route that is served."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import pytest

from headwater.base.ids import random_id
from headwater.base.settings.table import LimitSettings, Settings
from headwater.identity.roles import Role
from headwater.web.docs.openapi import is_single
from tests.support.clock import MovableClock
from tests.support.server.asgi import Answer
from tests.support.server.doors import Door, doors
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import fresh_sqlite
from tests.support.store.objects import BODIES, Owner, ask, things_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    folder, clock = tmp_path_factory.mktemp("common"), MovableClock()
    limits = LimitSettings(rate_token_per_second=1_000_000, rate_token_burst=10_000_000)
    with fresh_sqlite(folder, clock) as database, serving(database, Settings(limits=limits), clock, folder) as under:
        yield under


def new_owner(server: ServerUnderTest) -> Owner:
    """A global admin in an organisation of its own, so that no role stands in the way."""
    organisation = random_id("org")
    caller = server.caller(organisation, Role.GLOBAL_ADMIN)
    return Owner(caller, organisation, caller)


@pytest.fixture
def owner(server: ServerUnderTest) -> Owner:
    return new_owner(server)


def each(chosen: Iterable[Door]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("door", list(chosen), ids=lambda door: door.name)


SINGLE = [door for door in doors() if is_single(door.route)]
SHOWN = [door for door in SINGLE if door.route.method == "GET"]
CHANGED = [door for door in SINGLE if door.route.method != "GET"]
PAGED = [door for door in doors() if any(param.name == "page" for param in door.route.params)]
KEYED = [
    door for door in doors()
    if door.route.method == "POST" and door.route.keyed and (not door.route.raw or door.name in BODIES)
]  # fmt: skip


@each(SHOWN)
def test_a_single_resource_has_an_etag_and_is_not_sent_again_when_it_is_held(owner: Owner, door: Door) -> None:
    ids = things_for(door, owner)
    first = ask(owner.client, door, ids)
    assert first.status == 200, first.body
    tag = first.headers["etag"]
    again = ask(owner.client, door, ids, headers={"if-none-match": tag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert ask(owner.client, door, ids, headers={"if-none-match": '"other"'}).status == 200


@each(CHANGED)
def test_a_change_on_another_state_than_the_present_one_is_refused(owner: Owner, door: Door) -> None:
    ids = things_for(door, owner)
    refused = ask(owner.client, door, ids, headers={"if-match": '"other"'})
    assert refused.problem()[0] == 412, refused.body
    assert ask(owner.client, door, ids, headers={"if-match": "*"}).status < 300


@each(door for door in doors() if door.route.method == "DELETE")
def test_deleting_again_finds_nothing(owner: Owner, door: Door) -> None:
    ids = things_for(door, owner)
    first = ask(owner.client, door, ids)
    assert first.status in (200, 204), first.body
    assert (first.body == b"") == (first.status == 204)
    if door.name not in STAYS:
        assert ask(owner.client, door, ids).problem()[0] == 404


STAYS = {"DELETE /api/v1/cache/sync/{id}", "DELETE /api/v1/shares/{share_id}/trash"}
"""What clears something else than the thing that it names: the history of syncs stays, and so does the share."""


@each(KEYED)
def test_a_post_with_a_key_is_answered_alike_twice_and_refused_for_another_request(
    server: ServerUnderTest, owner: Owner, door: Door
) -> None:
    ids = things_for(door, owner)
    key = {"idempotency-key": "k-1"}
    first = ask(owner.client, door, ids, headers=key)
    assert first.status < 300, first.body
    server.clock.advance(1)
    again = ask(owner.client, door, ids, headers=key)
    assert (again.status, again.body) == (first.status, first.body)
    other = ask(owner.client, door, ids, headers=key, query="x=1")
    assert other.problem()[0] == 422, other.body


@each(PAGED)
def test_page_and_limit_out_of_range_are_422_and_past_the_end_is_empty(owner: Owner, door: Door) -> None:
    path = door.path.format_map(things_for(door, owner))
    for query in ("page=0", "page=x", "limit=0", "limit=101", "limit=", "page=1.5"):
        answer = owner.client.get(f"{path}?{query}")
        assert answer.problem()[0] == 422, (query, answer.body)
        assert answer.json()["errors"][0]["field"] == query.partition("=")[0]
    past = owner.client.get(f"{path}?page=1000000&limit=7")
    assert past.status == 200, past.body
    assert past.json()["data"] == []
    assert past.json()["pagination"] == {"page": 1_000_000, "limit": 7, "total": past.json()["pagination"]["total"]}
    assert 'rel="first"' in past.headers["link"]


@each(doors())
def test_a_trailing_slash_does_not_matter_and_nothing_redirects(server: ServerUnderTest, door: Door) -> None:
    one, other = new_owner(server), new_owner(server)
    plain = ask(one.client, door, things_for(door, one))
    slashed = ask(other.client, door, things_for(door, other), ending="/")
    assert slashed.status == plain.status
    assert "location" not in slashed.headers or slashed.status == 201


@each(door for door in doors() if len(door.contract.prefixes) > 1)
def test_the_doubled_path_answers_like_the_single_one(server: ServerUnderTest, door: Door) -> None:
    one, other = new_owner(server), new_owner(server)
    single = ask(one.client, door, things_for(door, one))
    doubled = ask(
        other.client, door, things_for(door, other), prefix=(door.contract.prefixes[0], door.contract.prefixes[1])
    )
    assert (doubled.status, keys_of(doubled)) == (single.status, keys_of(single))


@each(door for door in doors() if door.route.body is not None and not door.route.raw)
def test_malformed_json_is_400_and_a_wrong_type_is_422_with_its_path(owner: Owner, door: Door) -> None:
    ids = things_for(door, owner)
    malformed = ask(owner.client, door, ids, content=b'{"a":')
    assert malformed.problem()[0] == 400, malformed.body
    wrong = ask(owner.client, door, ids, content=b"[1]")
    assert wrong.problem()[0] == 422, wrong.body
    assert_envelope(malformed, door)
    assert_envelope(wrong, door)


@each(door for door in doors() if not door.route.access.open)
def test_errors_come_in_the_doors_envelope_with_the_requests_id(owner: Owner, door: Door) -> None:
    refused = ask(owner.client.as_token("x" * 64), door, things_for(door, owner))
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert_envelope(refused, door)


def assert_envelope(answer: Answer, door: Door) -> None:
    body = answer.json()
    assert answer.headers["content-type"] == door.contract.error_media
    if door.contract.name == "sell":
        assert body["meta"]["logref"] == answer.headers["x-request-id"]
        assert body["meta"]["http_status"].startswith(f"{answer.status} ")
        assert body["errors"][0]["error"]["details"]
        return
    assert body["status"] == answer.status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["type"] == "/docs/errors#" + body["code"]
    assert body["title"]
    assert body["detail"]


def keys_of(answer: Answer) -> list[str]:
    if "json" not in answer.headers.get("content-type", "") or not answer.body:
        return []
    body = json.loads(answer.body)
    return sorted(body) if isinstance(body, dict) else []

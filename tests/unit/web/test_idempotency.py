"""Idempotency-Key: one request, however often it is sent, is applied once and answered alike."""

from __future__ import annotations

import pytest

from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"
KEY = {"idempotency-key": "k-1"}
BODY = {"first_name": "Bjørn"}
DAY_SECONDS = 86_400


def count(client: Client) -> int:
    total: int = client.get(CONTACTS).json()["pagination"]["total"]
    return total


def test_a_repeat_is_not_applied_and_gets_the_first_answer(client: Client) -> None:
    first, again = client.post(CONTACTS, json=BODY, headers=KEY), client.post(CONTACTS, json=BODY, headers=KEY)
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == first.headers["etag"]
    assert count(client) == 1


def test_a_repeat_gets_the_first_answer_even_when_the_thing_has_changed_since(client: Client) -> None:
    first = client.post(CONTACTS, json=BODY, headers=KEY)
    assert client.put(first.headers["location"], json={"first_name": "Berit"}).status == 200
    assert client.post(CONTACTS, json=BODY, headers=KEY).body == first.body
    assert count(client) == 1


def test_a_repeat_gets_no_answer_that_shows_a_thing_deleted_since(client: Client) -> None:
    first = client.post(CONTACTS, json=BODY, headers=KEY)
    client.delete(first.headers["location"])
    assert client.post(CONTACTS, json=BODY, headers=KEY).problem() == (404, "ERASED")
    assert count(client) == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [(CONTACTS, {"first_name": "Kari"}), (CONTACTS + "?org_id=default", BODY)],
    ids=["body", "query"],
)
def test_the_same_key_on_another_request_is_422(client: Client, path: str, body: dict[str, str]) -> None:
    client.post(CONTACTS, json=BODY, headers=KEY)
    answer = client.post(path, json=body, headers=KEY)
    assert answer.problem() == (422, "IDEMPOTENCY_KEY_REUSED")
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert count(client) == 1


def test_the_same_key_at_another_path_is_422(client: Client) -> None:
    both = {"first_name": "Kari", "name": "Oslo"}
    client.post(CONTACTS, json=both, headers=KEY)
    assert client.post("/api/v1/chapters", json=both, headers=KEY).problem() == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("first", ["", "/", CONTACTS, CONTACTS + "/"], ids=["single", "slash", "doubled", "both"])
@pytest.mark.parametrize("again", ["", "/", CONTACTS, CONTACTS + "/"], ids=["single", "slash", "doubled", "both"])
def test_every_form_of_a_path_is_one_path(client: Client, first: str, again: str) -> None:
    answers = [client.post(CONTACTS + form, json=BODY, headers=KEY) for form in (first, again)]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    assert count(client) == 1


def test_an_id_in_another_percent_encoding_is_one_path(client: Client) -> None:
    made = client.post("/api/v1/shares", json={"name": "Oslo"}).json()["id"]
    folder = {"path": "/Minutes"}
    coded = "".join(f"%{ord(character):02x}" for character in made)
    first = client.post(f"/api/v1/shares/{made}/folders", json=folder, headers=KEY)
    again = client.post(f"/api/v1/shares/{coded}/folders/", json=folder, headers=KEY)
    assert (first.status, again.status, first.body) == (201, 201, again.body)


def test_twins_under_way_at_once_are_applied_once(client: Client) -> None:
    twins = client.together([("POST", CONTACTS, {"json": BODY, "headers": KEY})] * 20)
    assert {answer.body for answer in twins} == {twins[0].body}
    assert {answer.status for answer in twins} == {201}
    assert count(client) == 1


def test_a_key_is_forgotten_after_a_day(server: ServerUnderTest) -> None:
    client = server.client
    first = client.post(CONTACTS, json=BODY, headers=KEY)
    server.clock.advance(DAY_SECONDS)
    assert client.post(CONTACTS, json=BODY, headers=KEY).body == first.body
    server.clock.advance(1)
    assert client.post(CONTACTS, json={"first_name": "Kari"}, headers=KEY).status == 201
    assert count(client) == 2


def test_another_callers_key_is_another_key(server: ServerUnderTest) -> None:
    for caller in (server.client, server.caller(), server.public, server.caller("org_b", "coordinator")):
        assert caller.post(CONTACTS, json=BODY, headers=KEY).status == 201
    assert count(server.client) == 4


def test_what_was_refused_is_not_kept(client: Client) -> None:
    assert client.post(CONTACTS, json={}, headers=KEY).status == 422
    assert client.post(CONTACTS, json=BODY, headers=KEY).status == 201


@pytest.mark.sqlite_only
@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_1_to_255_characters(client: Client, key: str) -> None:
    assert client.post(CONTACTS, json=BODY, headers={"idempotency-key": key}).problem() == (422, "INVALID")
    assert count(client) == 0


@pytest.mark.sqlite_only
def test_a_key_may_hold_any_characters(client: Client) -> None:
    key = {"idempotency-key": "ø 'x' " + "k" * 240}
    first, again = client.post(CONTACTS, json=BODY, headers=key), client.post(CONTACTS, json=BODY, headers=key)
    assert first.body == again.body


@pytest.mark.sqlite_only
def test_requests_without_a_key_are_each_applied(client: Client) -> None:
    assert client.post(CONTACTS, json=BODY).body != client.post(CONTACTS, json=BODY).body
    assert count(client) == 2

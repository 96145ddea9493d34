"""The rights of a token in the record feed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest


def edit(change_id: str, fields: dict[str, Any], base: int = 0, **more: Any) -> dict[str, Any]:
    """One pushed edit of the contact ``ada``."""
    return {"client_change_id": change_id, "kind": "contact", "id": "ada", "op": "put", "base_revision": base,
            "fields": fields, **more}  # fmt: skip


def push(client: Client, *changes: dict[str, Any], device: str = "phone") -> list[dict[str, Any]]:
    """The outcomes of edits, which must all be taken."""
    answer = client.post("/api/v1/feed/push", json={"device_id": device, "changes": list(changes)})
    assert answer.status == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def conflict_over_the_phone(client: Client) -> str:
    """A conflict between two edits of the contact ``ada``; the device's value ``3`` is in force."""
    push(client, edit("1", {"first_name": "Ada", "phone": "1"}))
    push(client, edit("2", {"phone": "2"}, 1), device="tablet")
    outcome = push(client, edit("3", {"phone": "3"}, 1))[0]
    assert outcome["outcome"] == "conflict"
    return str(outcome["conflict_id"])


def phone_of(client: Client) -> object:
    return client.get("/api/v1/contacts/ada").json()["phone"]


@pytest.mark.parametrize("scopes", [["sync"], ["sync", "contacts:read"]])
def test_a_token_that_may_not_write_contacts_resolves_no_conflict_of_one(
    server: ServerUnderTest, scopes: list[str]
) -> None:
    conflict = conflict_over_the_phone(server.client)
    answer = server.caller(scopes=scopes).post(f"/api/v1/feed/conflicts/{conflict}/resolve", json={"take": "server"})
    assert answer.problem() == (403, "FORBIDDEN")
    assert phone_of(server.client) == "3"


def test_resolving_for_the_device_that_deleted_deletes_the_record(server: ServerUnderTest) -> None:
    push(server.client, edit("1", {"first_name": "Ada"}))
    push(server.client, edit("2", {"phone": "2"}, 1), device="tablet")
    outcome = push(server.client, edit("3", {}, 1, op="delete"))[0]
    assert outcome["outcome"] == "conflict"
    resolved = server.client.post(f"/api/v1/feed/conflicts/{outcome['conflict_id']}/resolve", json={"take": "client"})
    assert resolved.status == 200
    assert resolved.json()["winner"] == "client"
    assert server.client.get("/api/v1/contacts/ada").status == 404


def test_resolving_for_the_server_that_deleted_deletes_the_revived_record_again(server: ServerUnderTest) -> None:
    client = server.client
    push(client, edit("1", {"first_name": "Ada"}))
    client.delete("/api/v1/contacts/ada")
    outcome = push(client, edit("2", {"first_name": "Ada", "phone": "2"}, 1))[0]
    assert (outcome["outcome"], phone_of(client)) == ("conflict", "2")
    (kept,) = client.get("/api/v1/feed/conflicts").json()["data"]
    assert (kept["id"], kept["winner"], kept["deleted"]) == (outcome["conflict_id"], "client", "server")
    path = f"/api/v1/feed/conflicts/{kept['id']}/resolve"
    resolved = client.post(path, json={"take": "server"})
    assert (resolved.status, resolved.json()["winner"]) == (200, "server")
    assert client.get("/api/v1/contacts/ada").status == 404
    changes = client.get("/api/v1/feed").json()["changes"]
    assert [change["id"] for change in changes] == []


def test_resolving_for_the_device_that_revived_a_record_leaves_it(server: ServerUnderTest) -> None:
    client = server.client
    push(client, edit("1", {"first_name": "Ada"}))
    client.delete("/api/v1/contacts/ada")
    conflict = push(client, edit("2", {"first_name": "Ada", "phone": "2"}, 1))[0]["conflict_id"]
    client.put("/api/v1/contacts/ada", json={"phone": "later"})
    assert client.post(f"/api/v1/feed/conflicts/{conflict}/resolve", json={"take": "client"}).status == 200
    assert phone_of(client) == "later"


@pytest.mark.parametrize(("take", "phone"), [("client", "later"), ("server", "2")])
def test_resolving_for_the_side_in_force_leaves_what_was_edited_later(
    server: ServerUnderTest, take: str, phone: str
) -> None:
    client = server.client
    conflict = conflict_over_the_phone(client)
    client.put("/api/v1/contacts/ada", json={"phone": "later"})
    head = client.get("/api/v1/feed").json()["cursor"]
    resolved = client.post(f"/api/v1/feed/conflicts/{conflict}/resolve", json={"take": take})
    assert (resolved.status, resolved.json()["winner"]) == (200, take)
    assert resolved.json()["resolved_at"] is not None
    assert phone_of(client) == phone
    assert bool(client.get(f"/api/v1/feed?cursor={head}").json()["changes"]) is (take == "server")


def test_resolving_for_the_server_that_kept_a_record_leaves_what_was_edited_later(server: ServerUnderTest) -> None:
    client = server.client
    push(client, edit("1", {"first_name": "Ada"}))
    push(client, edit("2", {"phone": "2"}, 1), device="tablet")
    outcome = push(client, edit("3", {}, 1, op="delete"))[0]
    (kept,) = client.get("/api/v1/feed/conflicts").json()["data"]
    assert (kept["winner"], kept["deleted"]) == ("server", "client")
    client.put("/api/v1/contacts/ada", json={"phone": "later"})
    path = f"/api/v1/feed/conflicts/{outcome['conflict_id']}/resolve"
    assert client.post(path, json={"take": "server"}).status == 200
    assert phone_of(client) == "later"


def test_a_refusal_for_want_of_a_scope_is_not_remembered(server: ServerUnderTest) -> None:
    token, row = server.token_row(scopes=["sync"])
    user = server.client.as_token(token)
    change = edit("1", {"first_name": "Ada"})
    assert [outcome["code"] for outcome in push(user, change, change)] == ["FORBIDDEN", "FORBIDDEN"]
    mended = server.client.as_token(server.token(scopes=["sync", "contacts"], user_id=row.user_id))
    assert push(mended, change)[0]["outcome"] == "applied"


def test_a_refused_edit_may_come_again_mended_under_its_id(client: Client) -> None:
    assert push(client, edit("1", {"first_name": "Ada", "email": "nowhere"}))[0]["outcome"] == "refused"
    assert push(client, edit("1", {"first_name": "Ada", "email": "ada@example.org"}))[0]["outcome"] == "applied"


def test_a_refusal_that_was_decided_on_the_record_is_the_first_answer_for_ever(client: Client) -> None:
    late = edit("1", {"phone": "1"}, 7)
    assert push(client, late)[0]["code"] == "BASE_UNKNOWN"
    push(client, edit("2", {"first_name": "Ada"}))
    assert push(client, late)[0]["code"] == "BASE_UNKNOWN"

"""Notes and the contacts that they belong to, as devices write and drain them."""

from __future__ import annotations

from typing import Any

from tests.support.server.serving import ServerUnderTest

DEVICE = {"X-Basecrm-Device-UUID": "device-1"}


def push(server: ServerUnderTest, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The outcomes of edits."""
    answer = server.client.post("/api/v1/feed/push", json={"device_id": "phone", "changes": list(changes)})
    assert answer.status == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def put(change_id: str, kind: str, id: str, fields: dict[str, Any], base: int = 0) -> dict[str, Any]:
    """One pushed edit."""
    return {"client_change_id": change_id, "kind": kind, "id": id, "op": "put", "base_revision": base,
            "fields": fields}  # fmt: skip


def delete(change_id: str, kind: str, id: str, base: int) -> dict[str, Any]:
    """One pushed deletion."""
    return {"client_change_id": change_id, "kind": kind, "id": id, "op": "delete", "base_revision": base}


def drain(server: ServerUnderTest) -> list[dict[str, Any]]:
    """Everything that a sell device gets in one session, acknowledged."""
    started = server.client.post("/v2/sync/start", headers=DEVICE)
    if started.status == 204:
        return []
    path = f"/v2/sync/{started.json()['data']['id']}/queues/main"
    items: list[dict[str, Any]] = []
    while (page := server.client.get(path, headers=DEVICE)).status == 200:
        items += page.json()["items"]
    keys = [item["meta"]["sync"]["ack_key"] for item in items]
    assert server.client.post("/v2/sync/ack", headers=DEVICE, json={"data": {"ack_keys": keys}}).status == 202
    return items


def notes(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item["data"] for item in items if item["meta"]["type"] == "note"]


def test_a_note_that_came_before_its_contact_is_sent_again_with_the_contact(server: ServerUnderTest) -> None:
    push(server, put("1", "note", "n1", {"contact_id": "ada", "content": "Call"}))
    assert notes(drain(server))[0]["resource_id"] is None
    push(server, put("2", "contact", "ada", {"first_name": "Ada"}))
    items = drain(server)
    ada = next(item["data"]["id"] for item in items if item["meta"]["type"] == "contact")
    assert [note["resource_id"] for note in notes(items)] == [ada]


def test_a_note_that_was_linked_meanwhile_takes_an_edit_of_the_older_state_without_a_conflict(
    server: ServerUnderTest,
) -> None:
    push(server, put("1", "note", "n1", {"contact_id": "ada", "content": "Call"}))
    push(server, put("2", "cached_contact", "ada", {"name": "Ada"}))
    outcome = push(server, put("3", "note", "n1", {"content": "Call again"}, 1))[0]
    assert (outcome["outcome"], outcome.get("conflict_id")) == ("merged", None)


def test_a_note_belongs_to_the_live_contact_of_two_with_its_id(server: ServerUnderTest) -> None:
    push(
        server,
        put("1", "cached_contact", "ada", {"name": "Ada"}),
        delete("2", "cached_contact", "ada", 1),
        put("3", "contact", "ada", {"first_name": "Ada"}),
        put("4", "note", "n1", {"contact_id": "ada", "content": "Call"}),
    )
    items = drain(server)
    ada = next(item["data"]["id"] for item in items if item["meta"]["type"] == "contact")
    assert [note["resource_id"] for note in notes(items)] == [ada]

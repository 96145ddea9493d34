"""From a label's change to every device: stale at once, waiting callers woken, one change in the feed."""

from __future__ import annotations

from typing import Any

from tests.support.clock import MovableClock
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

SYNC = "/api/v1/terminology-sync"
LABELS = "/api/v1/terminology"
FEED = "/api/v1/feed"


def feed(client: Client, cursor: str | None = None) -> tuple[list[dict[str, Any]], str]:
    found = client.get(FEED + (f"?cursor={cursor}" if cursor else "")).json()
    return found["changes"], found["cursor"]


def sell_items(client: Client) -> list[str]:
    """The items that a sell device gets until its queue is empty, acknowledged."""
    headers = {"x-basecrm-device-uuid": "phone"}
    started = client.post("/v2/sync/start", headers=headers)
    if started.status == 204:
        return []
    session = started.json()["data"]["id"]
    kinds: list[str] = []
    while (page := client.get(f"/v2/sync/{session}/queues/main", headers=headers)).status == 200:
        items = page.json()["items"]
        kinds += [item["meta"]["type"] for item in items]
        keys = [item["meta"]["sync"]["ack_key"] for item in items]
        client.post("/v2/sync/ack", json={"data": {"ack_keys": keys}}, headers=headers)
    return kinds


def test_a_label_change_reaches_every_device_through_one_change_of_the_feed(
    server: ServerUnderTest, clock: MovableClock
) -> None:
    client = server.caller("org_a", "org_admin")
    kari = client.post("/api/v1/contacts", json={"first_name": "Kari"}).json()["contact_id"]
    client.post(SYNC, json={"organization_id": "org_a"})
    client.post(f"{SYNC}/org_a/sync-if-stale")
    changes, cursor = feed(client)
    assert [(change["kind"], change["id"], change["revision"]) for change in changes] == [
        ("contact", kari, 1),
        ("labels", "labels", 2),
    ]
    assert len(changes[1]["body"]["labels"]) == 40
    assert sell_items(client) == ["contact"]

    clock.advance(60)
    client.put(f"{LABELS}/org_a", json={"labels": {"en.member": "Participant"}})
    assert client.get(f"{SYNC}/org_a/stale").json()["is_stale"] is True
    assert feed(client, cursor) == ([], cursor)

    clock.advance(60)
    client.post(f"{SYNC}/org_a/sync-if-stale")
    changes, cursor = feed(client, cursor)
    assert [(change["kind"], change["id"], change["revision"], change["op"]) for change in changes] == [
        ("labels", "labels", 3, "put")
    ]
    body = changes[0]["body"]
    assert (body["organization_id"], body["updated_at"]) == ("org_a", "2026-03-26T11:27:00.000Z")
    assert body["labels"]["en.member"] == "Participant"
    assert sell_items(client) == []

    client.post(f"{SYNC}/org_a/force-sync")
    assert feed(client, cursor) == ([], cursor)


def test_dropped_labels_reach_devices_as_a_deletion(server: ServerUnderTest) -> None:
    server.client.post(SYNC, json={"organization_id": "default"})
    server.client.post(f"{SYNC}/default/sync-if-stale")
    _, cursor = feed(server.client)
    server.client.delete(f"{LABELS}/default")
    changes, _ = feed(server.client, cursor)
    assert [(change["kind"], change["op"], change["body"]) for change in changes] == [("labels", "delete", None)]


def test_who_waits_for_staleness_is_woken_by_a_label_change(server: ServerUnderTest) -> None:
    client = server.caller("org_a", "org_admin")
    client.post(SYNC, json={"organization_id": "org_a"})
    client.post(f"{SYNC}/org_a/sync-if-stale")
    waiting = client.start("GET", f"{SYNC}/org_a/stale?wait=60")
    client.get(f"{SYNC}/org_a")
    assert not waiting.done()
    client.put(f"{LABELS}/org_a", json={"labels": {"en.member": "Participant"}})
    assert waiting.result(60).json()["is_stale"] is True


def test_who_waits_for_staleness_is_woken_by_a_reset_and_told_of_a_removal(server: ServerUnderTest) -> None:
    client = server.client
    client.post(SYNC, json={"organization_id": "org_a"})
    client.post(f"{SYNC}/org_a/sync-if-stale")
    waiting = client.start("GET", f"{SYNC}/org_a/stale?wait=60")
    client.put(f"{SYNC}/org_a", json={"last_sync_at": None})
    assert waiting.result(60).json()["stale_since"] == "2026-03-26T11:25:00.000Z"
    client.post(f"{SYNC}/org_a/sync-if-stale")
    waiting = client.start("GET", f"{SYNC}/org_a/stale?wait=60")
    client.delete(f"{SYNC}/org_a")
    assert waiting.result(60).problem() == (404, "NOT_FOUND")


def test_a_wait_ends_with_the_answer_fresh_when_its_time_is_over(client: Client) -> None:
    client.post(SYNC, json={"organization_id": "org_a"})
    client.post(f"{SYNC}/org_a/sync-if-stale")
    assert client.get(f"{SYNC}/org_a/stale?wait=1").json()["is_stale"] is False
    assert client.get(f"{SYNC}/org_a/stale?wait=61").problem() == (422, "INVALID")


def test_a_label_change_nudges_the_sockets_of_its_organisation(server: ServerUnderTest) -> None:
    client = server.caller("org_a", "org_admin")
    client.post(LABELS, json={"organization_id": "org_a", "labels": {"a": "A"}})
    with client.socket(f"{FEED}/ws") as socket:
        first = socket.receive()
        assert first == {"type": "moved", "feed": "org:org_a", "head": 0}
        client.put(f"{LABELS}/org_a", json={"labels": {"a": "other"}})
        assert socket.receive() == first


def test_times_of_labels_and_their_tracking_never_fall(server: ServerUnderTest, clock: MovableClock) -> None:
    client = server.caller("org_a", "org_admin")
    client.post(SYNC, json={"organization_id": "org_a"})
    times: dict[str, list[str]] = {"labels": [], "tracking": []}
    for number, step_seconds in enumerate((60, -7200, 60)):
        clock.advance(step_seconds)
        changed = client.put(f"{LABELS}/org_a", json={"labels": {"en.member": f"Name {number}"}, "merge": True})
        if changed.status == 404:
            client.post(LABELS, json={"organization_id": "org_a", "labels": {"en.member": "Name"}})
            changed = client.put(f"{LABELS}/org_a", json={"labels": {"en.member": f"Name {number}"}, "merge": True})
        times["labels"].append(changed.json()["updated_at"])
        times["tracking"].append(client.put(f"{SYNC}/org_a", json={"ttl_seconds": 100 + number}).json()["updated_at"])
    assert all(found == sorted(found) for found in times.values())

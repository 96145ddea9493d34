"""Several workers on one device, and a feed that moves while they drain it."""

from __future__ import annotations

from typing import Any

from tests.support.server.serving import ServerUnderTest

DEVICE = {"X-Basecrm-Device-UUID": "device-1"}


def fill(server: ServerUnderTest, first: int, count: int, day: int = 1) -> None:
    """Bring so many cached contacts, with a time of that day."""
    rows = [
        {"id": f"c{i}", "name": "Ada", "updated_at": f"2026-01-0{day}T00:00:00Z"} for i in range(first, first + count)
    ]
    assert server.client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": rows}).status == 201


def start(server: ServerUnderTest) -> str:
    """The path of a new session's queue."""
    session = server.client.post("/v2/sync/start", headers=DEVICE).json()["data"]["id"]
    return f"/v2/sync/{session}/queues/main"


def test_workers_of_one_session_share_every_item_and_none_twice(server: ServerUnderTest) -> None:
    fill(server, 0, 550)
    queue = start(server)
    keys: list[str] = []
    pages: list[Any] = [None]
    while pages:
        answers = server.client.together([("GET", queue, {"headers": DEVICE})] * 4)
        pages = [answer.json() for answer in answers if answer.status == 200]
        keys += [item["meta"]["sync"]["ack_key"] for page in pages for item in page["items"]]
    assert len(keys) == len(set(keys)) == 550


def test_of_sessions_that_start_together_one_lives(server: ServerUnderTest) -> None:
    fill(server, 0, 5)
    answers = server.client.together([("POST", "/v2/sync/start", {"headers": DEVICE})] * 4)
    queues = [f"/v2/sync/{answer.json()['data']['id']}/queues/main" for answer in answers]
    assert sorted(server.client.get(queue, headers=DEVICE).status for queue in queues) == [200, 204, 204, 204]


def test_what_is_replaced_far_from_the_end_is_not_counted_as_left(server: ServerUnderTest) -> None:
    fill(server, 0, 2600)
    queue = start(server)
    assert server.client.get(queue, headers=DEVICE).json()["meta"]["count_left"] == 2500
    fill(server, 2000, 300, day=2)
    left = server.client.get(queue, headers=DEVICE).json()["meta"]["count_left"]
    handed_out = 0
    while (page := server.client.get(queue, headers=DEVICE)).status == 200:
        handed_out += page.json()["meta"]["count"]
    assert left == handed_out == 2100

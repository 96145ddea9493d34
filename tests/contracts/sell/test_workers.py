"""Several workers on one device, and a feed that moves while they drain it."""

from __future__ import annotations

from typing import Any

import pytest

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


@pytest.mark.slow
def test_count_left_is_exact_on_a_long_queue(server: ServerUnderTest) -> None:
    fill(server, 0, 30_000)
    queue = start(server)
    assert server.client.get(queue, headers=DEVICE).json()["meta"]["count_left"] == 29_900
    fill(server, 20_000, 5_000, day=2)
    assert server.client.get(queue, headers=DEVICE).json()["meta"]["count_left"] == 24_800
    fill(server, 20_000, 100, day=3)
    fill(server, 200, 100, day=3)
    assert server.client.get(queue, headers=DEVICE).json()["meta"]["count_left"] == 24_600, "a full page of what lives"


def test_the_count_goes_down_to_nothing_while_the_queue_is_edited(server: ServerUnderTest) -> None:
    fill(server, 0, 700)
    queue = start(server)
    counts: list[tuple[int, int]] = []
    while (page := server.client.get(queue, headers=DEVICE)).status == 200:
        meta = page.json()["meta"]
        counts.append((meta["count"], meta["count_left"]))
        fill(server, 700 - 50 * len(counts), 50, day=2)
    assert counts == [(100, 600), (100, 450), (100, 300), (100, 150), (100, 0)]

"""A sell device that starts, drains and acks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest

DEVICE = "X-Basecrm-Device-UUID"


class Phone:
    """A sell device; ``prefix`` is the path of the door."""

    def __init__(self, client: Client, device_id: str) -> None:
        self.client = client
        self.headers = {DEVICE: device_id}

    def start(self) -> Answer:
        """POST /start."""
        return self.client.post("/v2/sync/start", headers=self.headers)

    def page(self, session: str) -> Answer:
        """GET the next page of a session."""
        return self.client.get(f"/v2/sync/{session}/queues/main", headers=self.headers)

    def ack(self, *keys: str) -> Answer:
        """POST /ack."""
        return self.client.post("/v2/sync/ack", json={"data": {"ack_keys": list(keys)}}, headers=self.headers)

    def drain(self) -> list[dict[str, Any]]:
        """Every item of a new session, unacked; none when there is nothing to download."""
        started = self.start()
        if started.status == 204:
            return []
        assert started.status == 201
        session = started.json()["data"]["id"]
        items: list[dict[str, Any]] = []
        while (page := self.page(session)).status == 200:
            items += page.json()["items"]
        assert page.status == 204
        return items

    def sync(self) -> list[dict[str, Any]]:
        """Every item of a new session, acked."""
        items = self.drain()
        self.ack(*keys(items))
        return items


def keys(items: list[dict[str, Any]]) -> list[str]:
    """The ack keys of items."""
    return [item["meta"]["sync"]["ack_key"] for item in items]


def events(items: list[dict[str, Any]]) -> list[tuple[str, str | int]]:
    """The event of an item, and the id in our own words (a deletion's integer)."""
    return [
        (
            item["meta"]["sync"]["event_type"],
            item["data"].get("custom_fields", {}).get("headwater_id", item["data"]["id"]),
        )
        for item in items
    ]


@pytest.fixture
def phone(server: ServerUnderTest) -> Phone:
    return Phone(server.client, "phone-1")


@pytest.fixture
def tablet(server: ServerUnderTest) -> Phone:
    return Phone(server.client, "tablet-2")

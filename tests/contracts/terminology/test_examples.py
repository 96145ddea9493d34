"""The contract's own examples, sent to a fresh server at the instants that they print."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.contracts.terminology import shapes
from tests.support.clock import MovableClock
from tests.support.server.asgi import Answer
from tests.support.server.serving import ServerUnderTest

SINGLE = "/api/v1/terminology-sync"
PREFIXES = [SINGLE, SINGLE + SINGLE]


def shows(answer: Answer, status: int, example: dict[str, Any], *, aside: tuple[str, ...] = ()) -> None:
    """The answer holds every key of the example with its value, save for those set aside."""
    assert answer.status == status
    found = answer.json()
    assert found.keys() >= example.keys()
    assert {name: found[name] for name in example if name not in aside} == {
        name: value for name, value in example.items() if name not in aside
    }


def track(server: ServerUnderTest, clock: MovableClock, organisation: str, synced: str | None) -> None:
    """Track an organisation, and sync it at an instant."""
    if synced is not None:
        clock.set(synced)
    assert server.client.post(SINGLE, json={"organization_id": organisation, "ttl_seconds": 43200}).status == 201
    if synced is not None:
        assert server.client.post(f"{SINGLE}/{organisation}/sync-if-stale").status == 200


@pytest.fixture
def stocked(server: ServerUnderTest, clock: MovableClock) -> ServerUnderTest:
    """A server on which the examples' organisations are tracked, on the examples' day."""
    track(server, clock, "org_hlf", "2026-03-24T12:00:00Z")
    track(server, clock, "org_nhf_oslo", "2026-03-26T06:00:00Z")
    clock.set("2026-03-26T09:40:00Z")
    return server


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_list_is_as_printed(stocked: ServerUnderTest, clock: MovableClock, prefix: str) -> None:
    for n in range(5):
        track(stocked, clock, f"org_z{n}", None)
    answer = stocked.client.get(prefix)
    assert answer.status == 200
    found = answer.json()
    by_id = {row["organization_id"]: row for row in found["data"]}
    assert [by_id["org_nhf_oslo"], by_id["org_hlf"]] == shapes.LIST_EXAMPLE["data"]
    assert found["pagination"] == shapes.LIST_EXAMPLE["pagination"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_one_record_is_as_printed(stocked: ServerUnderTest, prefix: str) -> None:
    answer = stocked.client.get(f"{prefix}/org_nhf_oslo")
    shows(answer, 200, shapes.DETAILS_EXAMPLE)
    assert answer.headers["etag"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_new_record_is_as_printed(stocked: ServerUnderTest, prefix: str) -> None:
    answer = stocked.client.post(prefix, json=shapes.CREATE_EXAMPLE)
    shows(answer, 201, shapes.CREATED_EXAMPLE)
    assert stocked.client.get(answer.headers["location"]).status == 200


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_changed_record_is_as_printed(stocked: ServerUnderTest, clock: MovableClock, prefix: str) -> None:
    clock.set("2026-03-26T09:42:00Z")
    answer = stocked.client.put(f"{prefix}/org_nhf_oslo", json=shapes.CHANGE_EXAMPLE)
    shows(answer, 200, shapes.CHANGED_EXAMPLE)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_removed_record_is_as_printed(stocked: ServerUnderTest, prefix: str) -> None:
    shows(stocked.client.delete(f"{prefix}/org_nhf_oslo"), 200, shapes.REMOVED_EXAMPLE)
    assert stocked.client.delete(f"{prefix}/org_nhf_oslo").problem() == (404, "NOT_FOUND")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_sync_of_stale_labels_is_as_printed(stocked: ServerUnderTest, clock: MovableClock, prefix: str) -> None:
    clock.set("2026-03-26T09:43:10Z")
    shows(stocked.client.post(f"{prefix}/org_hlf/sync-if-stale"), 200, shapes.SYNC_IF_STALE_EXAMPLE)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_forced_sync_is_as_printed(stocked: ServerUnderTest, clock: MovableClock, prefix: str) -> None:
    clock.set("2026-03-26T09:44:00Z")
    shown = stocked.client.get("/api/v1/terminology/org_nhf_oslo").json()["labels"]
    changed = {key: text + "!" for key, text in list(shown.items())[:18]}
    stocked.client.put("/api/v1/terminology/org_nhf_oslo", json={"labels": changed})
    answer = stocked.client.post(f"{prefix}/org_nhf_oslo/force-sync")
    shows(answer, 200, shapes.FORCED_EXAMPLE, aside=("duration_ms",))
    duration_ms = answer.json()["duration_ms"]
    assert isinstance(duration_ms, int)
    assert duration_ms >= 0


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_staleness_is_as_printed(stocked: ServerUnderTest, prefix: str) -> None:
    shows(stocked.client.get(f"{prefix}/org_hlf/stale"), 200, shapes.STALE_EXAMPLE)

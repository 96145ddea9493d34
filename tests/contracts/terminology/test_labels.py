"""The labels themselves: kept here, edited, shown with a tag, dropped."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clock import MovableClock
from tests.support.server.asgi import Client

SYNC = "/api/v1/terminology-sync"
LABELS = "/api/v1/terminology"
ONE = f"{LABELS}/org_a"


@pytest.fixture
def stocked(client: Client) -> Client:
    """The admin's client, with two labels kept for one organisation."""
    assert client.post(LABELS, json={"organization_id": "org_a", "labels": {"b": "B", "a": "A"}}).status == 201
    return client


def test_a_new_set_answers_its_size_and_is_shown_in_the_order_of_its_keys(client: Client) -> None:
    made = client.post(LABELS, json={"organization_id": "org_a", "labels": {"b": "B", "a": "Å"}})
    at = "2026-03-26T11:25:00.000Z"
    assert made.json() == {"organization_id": "org_a", "label_count": 2, "created_at": at, "updated_at": at}
    shown = client.get(made.headers["location"])
    assert shown.text == f'{{"organization_id":"org_a","labels":{{"a":"Å","b":"B"}},"updated_at":"{at}"}}'


def test_a_second_set_of_an_organisation_is_a_conflict(stocked: Client) -> None:
    again = {"organization_id": "org_a", "labels": {}}
    assert stocked.post(LABELS, json=again).problem() == (409, "STATE_CONFLICT")


def test_a_change_is_merged_into_the_labels_and_null_removes_one(stocked: Client, clock: MovableClock) -> None:
    clock.advance(1)
    changed = stocked.put(ONE, json={"labels": {"a": None, "b": "B", "c": "C"}}).json()
    assert changed == {
        "organization_id": "org_a",
        "updated_keys": 2,
        "total_label_count": 2,
        "updated_at": "2026-03-26T11:25:01.000Z",
    }
    assert stocked.get(ONE).json()["labels"] == {"b": "B", "c": "C"}


def test_a_change_without_merging_replaces_the_labels(stocked: Client) -> None:
    changed = stocked.put(ONE, json={"labels": {"b": "B"}, "merge": False}).json()
    assert (changed["updated_keys"], changed["total_label_count"]) == (1, 1)
    assert stocked.get(ONE).json()["labels"] == {"b": "B"}


def test_a_change_begins_with_what_was_published_when_nothing_is_kept_here(client: Client) -> None:
    client.post(SYNC, json={"organization_id": "org_a"})
    client.post(f"{SYNC}/org_a/sync-if-stale")
    changed = client.put(ONE, json={"labels": {"en.member": "Participant"}}).json()
    assert (changed["updated_keys"], changed["total_label_count"]) == (1, 40)


def test_labels_of_nobody_are_not_found(client: Client) -> None:
    client.post(SYNC, json={"organization_id": "org_a"})
    assert client.get(ONE).problem() == (404, "NOT_FOUND")
    assert client.put(ONE, json={"labels": {}}).problem() == (404, "NOT_FOUND")
    assert client.delete(ONE).problem() == (404, "NOT_FOUND")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ({"a": 1}, "labels.a"),
        ({"a": {"b": "c"}}, "labels.a"),
        ({"a": None}, "labels.a"),
        ({"": "x"}, "labels."),
        ({"k" * 201: "x"}, "labels." + "k" * 200),
        ({"a\nb": "x"}, "labels.a\nb"),
        ({"a": "x" * 2001}, "labels.a"),
        ({str(n): "x" for n in range(5001)}, "labels"),
        ([], "labels"),
        (None, "labels"),
    ],
)
def test_labels_that_are_none_are_refused_by_name(client: Client, labels: Any, field: str) -> None:
    answer = client.post(LABELS, json={"organization_id": "org_a", "labels": labels})
    assert answer.problem() == (422, "INVALID")
    assert answer.json()["errors"][0]["field"] == field


def test_a_merge_cannot_grow_past_the_limit(stocked: Client) -> None:
    answer = stocked.put(ONE, json={"labels": {str(n): "x" for n in range(4999)}})
    assert answer.problem() == (422, "INVALID")
    assert stocked.get(ONE).json()["labels"] == {"a": "A", "b": "B"}


def test_the_tag_changes_with_the_labels_alone(stocked: Client) -> None:
    first = stocked.get(ONE)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, max-age=0, stale-while-revalidate=43200"
    unchanged = stocked.get(ONE, headers={"if-none-match": f'"x", W/{tag}'})
    assert (unchanged.status, unchanged.body) == (304, b"")
    stocked.put(ONE, json={"labels": {"a": "A"}})
    assert stocked.get(ONE).headers["etag"] == tag
    stocked.put(ONE, json={"labels": {"a": "other"}})
    assert stocked.get(ONE, headers={"if-none-match": tag}).status == 200


def test_a_change_on_an_old_tag_is_held_back(stocked: Client) -> None:
    tag = stocked.get(ONE).headers["etag"]
    assert stocked.put(ONE, json={"labels": {"a": "1"}}, headers={"if-match": tag}).status == 200
    late = stocked.put(ONE, json={"labels": {"a": "2"}}, headers={"if-match": tag})
    assert late.problem() == (412, "PRECONDITION_FAILED")
    assert stocked.delete(ONE, headers={"if-match": tag}).problem() == (412, "PRECONDITION_FAILED")


def test_labels_may_be_shown_while_asked_for_anew_as_long_as_a_sync_is_good(stocked: Client) -> None:
    stocked.post(SYNC, json={"organization_id": "org_a", "ttl_seconds": 77})
    assert stocked.get(ONE).headers["cache-control"].endswith("stale-while-revalidate=77")


def test_dropped_labels_are_gone_until_the_next_sync_brings_the_shipped_ones(stocked: Client) -> None:
    stocked.post(SYNC, json={"organization_id": "org_a"})
    stocked.post(f"{SYNC}/org_a/sync-if-stale")
    assert stocked.delete(ONE).json() == {"organization_id": "org_a", "deleted": True}
    assert stocked.delete(ONE).problem() == (404, "NOT_FOUND")
    assert stocked.get(ONE).problem() == (404, "NOT_FOUND")
    assert stocked.get(f"{SYNC}/org_a/stale").json()["is_stale"] is True
    assert stocked.post(f"{SYNC}/org_a/force-sync").json()["updated_keys"] == 40
    assert stocked.get(ONE).json()["labels"]["nb.member"] == "Medlem"


def test_the_list_tells_how_many_labels_each_organisation_shows(stocked: Client, clock: MovableClock) -> None:
    clock.advance(60)
    stocked.post(SYNC, json={"organization_id": "org_b"})
    stocked.post(f"{SYNC}/org_b/sync-if-stale")
    stocked.post(SYNC, json={"organization_id": "org_c"})
    found = stocked.get(LABELS).json()
    assert found["data"] == [
        {"organization_id": "org_a", "label_count": 2, "updated_at": "2026-03-26T11:25:00.000Z"},
        {"organization_id": "org_b", "label_count": 40, "updated_at": "2026-03-26T11:26:00.000Z"},
    ]
    assert found["pagination"] == {"page": 1, "limit": 20, "total": 2}
    assert stocked.get(LABELS + LABELS).json() == found


def test_a_repeated_key_makes_labels_once(client: Client) -> None:
    asked = {"json": {"organization_id": "org_a", "labels": {}}, "headers": {"idempotency-key": "k"}}
    assert client.post(LABELS, **asked).json() == client.post(LABELS, **asked).json()

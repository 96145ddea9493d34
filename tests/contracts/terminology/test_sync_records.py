"""Tracking records: when labels are stale, at every boundary, and what may be asked of a record."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.base.settings.table import AccessSettings, Settings
from tests.support.clock import MovableClock
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

SYNC = "/api/v1/terminology-sync"
LABELS = "/api/v1/terminology"
ORG = "org_a"
ONE = f"{SYNC}/{ORG}"


@pytest.fixture
def tracked(client: Client) -> Client:
    """The admin's client, with one organisation tracked for a minute's freshness."""
    assert client.post(SYNC, json={"organization_id": ORG, "ttl_seconds": 60}).status == 201
    return client


@pytest.fixture
def synced(tracked: Client) -> Client:
    """The same after a sync."""
    assert tracked.post(f"{ONE}/sync-if-stale").json()["sync_triggered"] is True
    return tracked


def staleness(client: Client) -> tuple[bool, str | None]:
    found = client.get(f"{ONE}/stale").json()
    listed = client.get(SYNC).json()["data"][0]
    assert found["is_stale"] == client.get(ONE).json()["is_stale"] == listed["is_stale"]
    return found["is_stale"], found["stale_since"]


def test_labels_that_were_never_synced_are_stale_since_the_record_was_made(tracked: Client) -> None:
    assert staleness(tracked) == (True, "2026-03-26T11:25:00.000Z")
    found = tracked.get(ONE).json()
    assert (found["last_sync_at"], found["next_sync_due_at"]) == (None, None)


def test_labels_are_fresh_until_the_last_microsecond_of_their_time(synced: Client, clock: MovableClock) -> None:
    clock.at_us += 60 * 1_000_000 - 1
    assert staleness(synced) == (False, None)
    clock.at_us += 1
    assert staleness(synced) == (True, "2026-03-26T11:26:00.000Z")


def test_labels_are_stale_while_the_clock_stands_before_the_last_sync(synced: Client, clock: MovableClock) -> None:
    assert staleness(synced) == (False, None)
    clock.at_us -= 1
    assert staleness(synced) == (True, "2026-03-26T11:25:00.000Z")
    assert synced.get(ONE).json()["next_sync_due_at"] is None


def test_a_new_time_to_live_moves_the_due_time_of_the_last_sync(synced: Client, clock: MovableClock) -> None:
    clock.advance(90)
    assert staleness(synced)[0] is True
    synced.put(ONE, json={"ttl_seconds": 100})
    assert staleness(synced) == (False, None)
    assert synced.get(ONE).json()["next_sync_due_at"] == "2026-03-26T11:26:40.000Z"


def test_a_reset_makes_the_labels_stale_and_keeps_them(synced: Client, clock: MovableClock) -> None:
    clock.advance(1)
    answer = synced.put(ONE, json={"last_sync_at": None})
    assert answer.json()["ttl_seconds"] == 60
    assert staleness(synced) == (True, "2026-03-26T11:25:00.000Z")
    assert synced.get(f"{LABELS}/{ORG}").json()["labels"]


def test_a_label_change_makes_the_labels_stale_before_their_time(synced: Client, clock: MovableClock) -> None:
    clock.advance(20)
    synced.put(f"{LABELS}/{ORG}", json={"labels": {"en.member": "Participant"}})
    clock.advance(5)
    assert staleness(synced) == (True, "2026-03-26T11:25:20.000Z")
    assert synced.get(ONE).json()["next_sync_due_at"] == "2026-03-26T11:25:20.000Z"
    synced.post(f"{ONE}/sync-if-stale")
    assert staleness(synced) == (False, None)


def test_a_change_to_the_same_labels_leaves_them_fresh(synced: Client) -> None:
    shown = synced.get(f"{LABELS}/{ORG}").json()["labels"]
    assert synced.put(f"{LABELS}/{ORG}", json={"labels": shown}).json()["updated_keys"] == 0
    assert staleness(synced) == (False, None)


def test_a_sync_of_fresh_labels_does_nothing_and_tells_of_the_last(synced: Client, clock: MovableClock) -> None:
    clock.advance(30)
    assert synced.post(f"{ONE}/sync-if-stale").json() == {
        "organization_id": ORG,
        "was_stale": False,
        "sync_triggered": False,
        "synced_at": "2026-03-26T11:25:00.000Z",
    }


def test_a_forced_sync_syncs_fresh_labels_and_counts_what_changed(synced: Client, clock: MovableClock) -> None:
    clock.advance(30)
    answer = synced.post(f"{ONE}/force-sync").json()
    assert (answer["synced_at"], answer["updated_keys"]) == ("2026-03-26T11:25:30.000Z", 0)
    shown = synced.get(f"{LABELS}/{ORG}").json()["labels"]
    gone, kept = sorted(shown)[:2]
    change = {"labels": {gone: None, kept: "other", "new.key": "new"}}
    synced.put(f"{LABELS}/{ORG}", json=change)
    assert synced.post(f"{ONE}/force-sync").json()["updated_keys"] == 3


def test_too_many_forced_syncs_are_told_when_to_come_again(tracked: Client) -> None:
    answers = [tracked.post(f"{ONE}/force-sync") for _ in range(100)]
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.problem() for answer in refused} == {(429, "TOO_MANY_REQUESTS")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_a_second_record_of_an_organisation_is_a_conflict(tracked: Client) -> None:
    assert tracked.post(SYNC, json={"organization_id": ORG}).problem() == (409, "STATE_CONFLICT")


def test_a_record_without_a_time_to_live_gets_the_servers_own(client: Client) -> None:
    client.post(SYNC, json={"organization_id": ORG})
    assert client.get(ONE).json()["ttl_seconds"] == 43200


@pytest.mark.parametrize("seconds", [1, 2_592_000])
def test_the_ends_of_the_range_of_a_time_to_live_are_accepted(tracked: Client, seconds: int) -> None:
    assert tracked.put(ONE, json={"ttl_seconds": seconds}).json()["ttl_seconds"] == seconds


@pytest.mark.sqlite_only
@pytest.mark.parametrize("seconds", [0, -1, 2_592_001, 1.5, "60", True, None])
def test_any_other_time_to_live_is_refused(tracked: Client, seconds: Any) -> None:
    for answer in (
        tracked.put(ONE, json={"ttl_seconds": seconds}),
        tracked.post(SYNC, json={"organization_id": "org_b", "ttl_seconds": seconds}),
    ):
        assert answer.problem() == (422, "INVALID")
        assert answer.json()["errors"][0]["field"] == "ttl_seconds"
    assert tracked.get(ONE).json()["ttl_seconds"] == 60


@pytest.mark.sqlite_only
@pytest.mark.parametrize("body", [{}, {"unknown": 1}, {"last_sync_at": "2026-03-26T11:25:00Z"}])
def test_an_update_that_changes_nothing_or_sets_a_sync_time_is_refused(tracked: Client, body: dict[str, Any]) -> None:
    assert tracked.put(ONE, json=body).problem() == (422, "INVALID")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("organisation", ["", "x" * 129, "a\u0000b", 7, None])
def test_a_record_of_an_impossible_organisation_is_refused(client: Client, organisation: Any) -> None:
    assert client.post(SYNC, json={"organization_id": organisation}).problem() == (422, "INVALID")


def test_malformed_json_is_told_as_such(client: Client) -> None:
    assert client.post(SYNC, content=b'{"organization_id":').problem() == (400, "MALFORMED")


@pytest.mark.parametrize("path", [ONE, f"{ONE}/stale"])
def test_an_organisation_without_a_record_is_not_found(server: ServerUnderTest, path: str) -> None:
    server.token(ORG)
    assert server.client.get(path).problem() == (404, "NOT_FOUND")
    assert server.client.post(f"{ONE}/sync-if-stale").problem() == (404, "NOT_FOUND")
    assert server.client.post(f"{ONE}/force-sync").problem() == (404, "NOT_FOUND")
    assert server.client.put(ONE, json={"ttl_seconds": 5}).problem() == (404, "NOT_FOUND")


def test_removing_a_record_leaves_the_labels(synced: Client) -> None:
    before = synced.get(f"{LABELS}/{ORG}").json()
    synced.delete(ONE)
    assert synced.get(f"{LABELS}/{ORG}").json() == before
    assert synced.post(SYNC, json={"organization_id": ORG}).json()["last_sync_at"] is None


def test_a_records_tag_follows_its_staleness_and_guards_changes(synced: Client, clock: MovableClock) -> None:
    tag = synced.get(ONE).headers["etag"]
    assert synced.get(ONE, headers={"if-none-match": tag}).status == 304
    clock.advance(60)
    assert synced.get(ONE, headers={"if-none-match": tag}).status == 200
    changed = {"json": {"ttl_seconds": 5}, "headers": {"if-match": tag}}
    assert synced.put(ONE, **changed).problem() == (412, "PRECONDITION_FAILED")
    assert synced.delete(ONE, headers={"if-match": tag}).problem() == (412, "PRECONDITION_FAILED")
    assert synced.delete(ONE, headers={"if-match": synced.get(ONE).headers["etag"]}).status == 200


def test_the_list_is_paged_by_organisation(client: Client) -> None:
    for n in (3, 1, 2):
        client.post(SYNC, json={"organization_id": f"org_{n}"})
    page = client.get(f"{SYNC}?page=2&limit=2")
    assert [row["organization_id"] for row in page.json()["data"]] == ["org_3"]
    assert page.json()["pagination"] == {"page": 2, "limit": 2, "total": 3}
    assert 'rel="prev"' in page.headers["link"]
    past = client.get(f"{SYNC}?page=9").json()
    assert (past["data"], past["pagination"]["total"]) == ([], 3)
    assert client.get(f"{SYNC}?limit=101").problem() == (422, "INVALID")
    assert [row["organization_id"] for row in client.get(f"{SYNC}?org_id=org_2").json()["data"]] == ["org_2"]


def test_a_repeated_key_gets_the_first_answer_and_syncs_once(tracked: Client, clock: MovableClock) -> None:
    key = {"headers": {"idempotency-key": "once"}}
    first = tracked.post(f"{ONE}/force-sync", **key)
    clock.advance(10)
    again = tracked.post(f"{ONE}/force-sync", **key)
    assert again.json() == first.json()
    assert tracked.get(ONE).json()["last_sync_at"] == first.json()["synced_at"]
    assert tracked.post(f"{ONE}/sync-if-stale", **key).problem() == (422, "IDEMPOTENCY_KEY_REUSED")


def test_organisation_ids_may_hold_any_printable_character(client: Client) -> None:
    odd = 'ø "x"/?#'
    made = client.post(SYNC, json={"organization_id": odd})
    assert client.get(made.headers["location"]).json()["organization_id"] == odd
    client.post(made.headers["location"] + "/force-sync")
    assert client.get(made.headers["location"].replace("-sync", "")).json()["organization_id"] == odd


class TestClosedProvisioning:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(access=AccessSettings(provisioning="closed"))

    @pytest.mark.parametrize(
        ("path", "body"), [(SYNC, {"organization_id": ORG}), (LABELS, {"organization_id": ORG, "labels": {}})]
    )
    def test_an_unknown_organisation_in_a_body_is_refused(
        self, client: Client, path: str, body: dict[str, Any]
    ) -> None:
        answer = client.post(path, json=body)
        assert answer.status == 422
        assert answer.json()["errors"][0]["field"] == "organization_id"

"""Syncs from an upstream: one fetch for all callers, good labels kept whatever the upstream does, and waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from headwater.base.settings.table import LimitSettings, Settings, TerminologySettings
from headwater.contracts.terminology import source_rules
from headwater.store.database import Transaction
from headwater.store.log import feeds
from tests.support.clock import MovableClock
from tests.support.loop import WAIT_SECONDS
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest
from tests.support.server.upstream import FakeUpstream, fake_upstream

SYNC = "/api/v1/terminology-sync/org_a"
LABELS = "/api/v1/terminology/org_a"
GOOD = {"a": "A", "b": "B"}
CALLERS = 1_000


@pytest.fixture
def settings() -> Settings:
    return Settings(
        limits=LimitSettings(in_flight_requests=2 * CALLERS),
        terminology=TerminologySettings(
            allowed_hosts=("127.0.0.1",),
            upstream_bytes=100_000,
            upstream_seconds=30,
            retry_base_seconds=8,
            retry_max_seconds=20,
        ),
    )


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with fake_upstream() as served:
        served.gives(GOOD, etag='"1"')
        yield served


@pytest.fixture
def stocked(client: Client, upstream: FakeUpstream) -> Client:
    """The admin's client, with an organisation that is tracked and named its upstream, but never synced."""
    client.post("/api/v1/terminology-sync", json={"organization_id": "org_a", "ttl_seconds": 60})
    assert client.put(f"{LABELS}/source", json={"source": "url", "url": upstream.url}).status == 200
    return client


def shown(client: Client) -> Any:
    return client.get(LABELS).json()["labels"]


def name_file(server: ServerUnderTest, path: Path) -> None:
    """Name a file as the command line does."""

    def transaction(tx: Transaction) -> None:
        source_rules.check("file", str(path), ())
        source_rules.name(tx, feeds.organisation_feed(tx, "org_a") or 0, "org_a", "file", str(path))

    server.database.write_now(transaction)


def together(server: ServerUnderTest, upstream: FakeUpstream) -> list[Answer]:
    """The answers to a thousand callers who are all there before the source gives its own."""
    upstream.hold()
    calling = [server.client.start("POST", f"{SYNC}/sync-if-stale") for _ in range(CALLERS)]
    until = monotonic() + WAIT_SECONDS
    while server.edge.places.waiting.count < CALLERS:
        assert monotonic() < until, "the callers did not come together"
        sleep(0.01)
    upstream.released.set()
    return [call.result(WAIT_SECONDS) for call in calling]


def test_a_thousand_stale_callers_cause_one_fetch_and_all_get_its_result(
    server: ServerUnderTest, stocked: Client, upstream: FakeUpstream
) -> None:
    answers = together(server, upstream)
    assert len(upstream.asked) == 1
    expected = {
        "organization_id": "org_a",
        "was_stale": True,
        "sync_triggered": True,
        "synced_at": "2026-03-26T11:25:00.000Z",
    }
    assert all((answer.status, answer.json()) == (200, expected) for answer in answers)
    assert shown(stocked) == GOOD


def test_a_thousand_callers_of_a_failing_source_cause_one_fetch(
    server: ServerUnderTest, stocked: Client, upstream: FakeUpstream
) -> None:
    upstream.fails(500)
    answers = together(server, upstream)
    assert len(upstream.asked) == 1
    assert {answer.problem() for answer in answers} == {(502, "UPSTREAM_FAILED")}


def test_a_forced_sync_joins_the_fetch_under_way(stocked: Client, upstream: FakeUpstream) -> None:
    upstream.hold()
    first = stocked.start("POST", f"{SYNC}/sync-if-stale")
    assert upstream.arrived.wait(60)
    forced = stocked.start("POST", f"{SYNC}/force-sync")
    assert stocked.get(SYNC).json()["is_stale"] is True
    upstream.released.set()
    assert first.result(60).json()["sync_triggered"] is True
    assert forced.result(60).json()["updated_keys"] == 2
    assert len(upstream.asked) == 1


def test_a_source_that_says_unchanged_makes_the_labels_fresh_and_changes_none(
    stocked: Client, upstream: FakeUpstream, clock: MovableClock
) -> None:
    stocked.post(f"{SYNC}/force-sync")
    before = stocked.get(LABELS)
    clock.advance(60)
    answer = stocked.post(f"{SYNC}/force-sync").json()
    assert (answer["updated_keys"], answer["synced_at"]) == (0, "2026-03-26T11:26:00.000Z")
    assert upstream.asked[-1]["if-none-match"] == '"1"'
    assert (stocked.get(LABELS).body, stocked.get(LABELS).headers["etag"]) == (before.body, before.headers["etag"])
    assert stocked.get(SYNC).json()["is_stale"] is False


def test_changed_labels_of_a_source_are_counted_against_the_published_ones(
    stocked: Client, upstream: FakeUpstream
) -> None:
    assert stocked.post(f"{SYNC}/force-sync").json()["updated_keys"] == 2
    upstream.gives({"b": "other", "c": "C"}, etag='"2"')
    assert stocked.post(f"{SYNC}/force-sync").json()["updated_keys"] == 3
    assert shown(stocked) == {"b": "other", "c": "C"}


BAD: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "status 500": (500, b"", {}),
    "no labels": (200, b"<html>", {}),
    "wrong types": (200, b'{"labels":{"a":1}}', {}),
    "no label at all": (200, b'{"labels":{}}', {}),
    "ten megabytes": (200, b'{"a":"' + b"x" * 10_000_000 + b'"}', {}),
    "a redirect": (302, b"", {"Location": "/labels.json"}),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_source_answers_502_and_changes_nothing(
    stocked: Client, upstream: FakeUpstream, clock: MovableClock, fault: str
) -> None:
    stocked.post(f"{SYNC}/sync-if-stale")
    clock.advance(60)
    before = (stocked.get(LABELS).body, stocked.get(SYNC).body)
    status, body, headers = BAD[fault]
    upstream.fails(status, body, **headers)
    for path in ("sync-if-stale", "force-sync"):
        answer = stocked.post(f"{SYNC}/{path}")
        assert answer.problem() == (502, "UPSTREAM_FAILED")
        assert upstream.url not in answer.text
    assert (stocked.get(LABELS).body, stocked.get(SYNC).body) == before
    assert stocked.get(f"{SYNC}/stale").json()["stale_since"] == "2026-03-26T11:26:00.000Z"


class TestSlow:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(terminology=TerminologySettings(allowed_hosts=("127.0.0.1",), upstream_seconds=1))

    def test_a_slow_source_answers_502_and_changes_nothing(self, stocked: Client, upstream: FakeUpstream) -> None:
        stocked.post(f"{SYNC}/sync-if-stale")
        upstream.hold()
        answer = stocked.post(f"{SYNC}/force-sync")
        assert answer.problem() == (502, "UPSTREAM_FAILED")
        assert answer.json()["reason"] == "slow"
        assert shown(stocked) == GOOD
        assert stocked.get(SYNC).json()["is_stale"] is False


def refused(client: Client) -> int:
    """The seconds after which a failing sync may be tried again."""
    answer: Answer = client.post(f"{SYNC}/sync-if-stale")
    assert answer.problem() == (502, "UPSTREAM_FAILED")
    return int(answer.headers["retry-after"])


def test_a_failed_source_is_left_alone_for_a_growing_while(
    stocked: Client, upstream: FakeUpstream, clock: MovableClock
) -> None:
    upstream.fails(503)
    waits = []
    for n in range(1, 5):
        waits.append(refused(stocked))
        assert len(upstream.asked) == n
        clock.advance(waits[-1] - 1)
        assert refused(stocked) == 1
        assert len(upstream.asked) == n
        clock.advance(1)
    for seconds, longest in zip(waits, (8, 16, 20, 20), strict=True):
        assert longest / 2 <= seconds <= longest
    upstream.gives(GOOD)
    assert stocked.post(f"{SYNC}/sync-if-stale").status == 200
    upstream.fails(503)
    clock.advance(60)
    assert refused(stocked) <= 8


def test_a_forced_sync_asks_a_source_that_is_left_alone(stocked: Client, upstream: FakeUpstream) -> None:
    upstream.fails(503)
    refused(stocked)
    upstream.gives(GOOD)
    assert stocked.post(f"{SYNC}/force-sync").json()["updated_keys"] == 2
    assert stocked.post(f"{SYNC}/sync-if-stale").json()["was_stale"] is False


def test_fresh_labels_are_told_as_such_while_their_source_is_left_alone(
    stocked: Client, upstream: FakeUpstream
) -> None:
    stocked.post(f"{SYNC}/sync-if-stale")
    upstream.fails(503)
    assert stocked.post(f"{SYNC}/force-sync").status == 502
    assert stocked.post(f"{SYNC}/sync-if-stale").json()["was_stale"] is False


def test_a_clock_that_steps_back_does_not_keep_a_source_alone_for_long(
    stocked: Client, upstream: FakeUpstream, clock: MovableClock
) -> None:
    upstream.fails(503)
    refused(stocked)
    upstream.gives(GOOD)
    clock.advance(-1_000_000)
    assert stocked.post(f"{SYNC}/sync-if-stale").status == 200


def test_another_source_is_asked_at_once_and_makes_the_labels_stale(
    stocked: Client, upstream: FakeUpstream, clock: MovableClock
) -> None:
    stocked.post(f"{SYNC}/sync-if-stale")
    clock.advance(10)
    upstream.fails(503)
    assert stocked.post(f"{SYNC}/force-sync").status == 502
    with fake_upstream() as other:
        other.gives({"c": "C"}, etag='"1"')
        stocked.put(f"{LABELS}/source", json={"source": "url", "url": other.url})
        assert stocked.get(f"{SYNC}/stale").json()["stale_since"] == "2026-03-26T11:25:10.000Z"
        assert shown(stocked) == GOOD
        assert stocked.post(f"{SYNC}/sync-if-stale").status == 200
        assert "if-none-match" not in other.asked[0]
    assert shown(stocked) == {"c": "C"}


def test_what_an_old_source_still_brings_after_another_was_named_is_not_published(
    stocked: Client, upstream: FakeUpstream
) -> None:
    upstream.hold()
    syncing = stocked.start("POST", f"{SYNC}/sync-if-stale")
    assert upstream.arrived.wait(60)
    with fake_upstream() as other:
        other.gives({"c": "C"})
        stocked.put(f"{LABELS}/source", json={"source": "url", "url": other.url})
        upstream.released.set()
        assert syncing.result(60).status == 200
        assert len(other.asked) == 1
    assert shown(stocked) == {"c": "C"}


def test_a_record_removed_during_a_fetch_is_not_found_and_nothing_is_published(
    stocked: Client, upstream: FakeUpstream
) -> None:
    upstream.hold()
    syncing = stocked.start("POST", f"{SYNC}/sync-if-stale")
    assert upstream.arrived.wait(60)
    stocked.delete(SYNC)
    upstream.released.set()
    assert syncing.result(60).problem() == (404, "NOT_FOUND")
    assert stocked.get(LABELS).status == 404


def test_labels_of_an_upstream_are_not_edited_here(stocked: Client) -> None:
    stocked.post(f"{SYNC}/sync-if-stale")
    body = {"organization_id": "org_a", "labels": {}}
    assert stocked.post("/api/v1/terminology", json=body).problem() == (409, "STATE_CONFLICT")
    assert stocked.put(LABELS, json={"labels": {}}).problem() == (409, "STATE_CONFLICT")
    assert stocked.delete(LABELS).problem() == (409, "STATE_CONFLICT")


def test_going_back_to_our_own_keeps_what_the_upstream_last_gave(stocked: Client) -> None:
    stocked.post(f"{SYNC}/sync-if-stale")
    stocked.put(f"{LABELS}/source", json={"source": "own"})
    assert shown(stocked) == GOOD
    assert stocked.post(f"{SYNC}/force-sync").json()["updated_keys"] == 0
    assert stocked.put(LABELS, json={"labels": {"a": "new"}}).json()["updated_keys"] == 1


def test_going_back_to_our_own_shows_the_labels_that_were_kept_here(stocked: Client, upstream: FakeUpstream) -> None:
    stocked.put(f"{LABELS}/source", json={"source": "own"})
    stocked.post("/api/v1/terminology", json={"organization_id": "org_a", "labels": {"own": "label"}})
    stocked.put(f"{LABELS}/source", json={"source": "url", "url": upstream.url})
    stocked.post(f"{SYNC}/sync-if-stale")
    assert shown(stocked) == GOOD
    stocked.put(f"{LABELS}/source", json={"source": "own"})
    assert shown(stocked) == {"own": "label"}
    assert stocked.post(f"{SYNC}/sync-if-stale").json()["was_stale"] is True


def test_the_source_tells_how_its_fetches_went(stocked: Client, upstream: FakeUpstream) -> None:
    upstream.fails(500)
    refused(stocked)
    found = stocked.get(f"{LABELS}/source").json()
    assert (found["source"], found["location"], found["failures"]) == ("url", upstream.url, 1)
    assert found["retry_at"] > "2026-03-26T11:25:03"
    again = stocked.put(f"{LABELS}/source", json={"source": "url", "url": upstream.url}).json()
    assert (again["failures"], again["retry_at"], again["changed_at"]) == (0, None, found["changed_at"])


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "body",
    [
        {"source": "url"},
        {"source": "url", "url": None},
        {"source": "url", "url": "ftp://127.0.0.1/"},
        {"source": "url", "url": "https://127.0.0.1:99999/"},
        {"source": "url", "url": "https://user@127.0.0.1/"},
        {"source": "file", "file": "/etc/passwd"},
        {"source": "else"},
        {},
    ],
)
def test_a_source_that_may_not_be_fetched_is_refused(stocked: Client, upstream: FakeUpstream, body: Any) -> None:
    assert stocked.put(f"{LABELS}/source", json=body).problem() == (422, "INVALID")
    assert stocked.get(f"{LABELS}/source").json()["location"] == upstream.url


def test_a_source_on_a_host_that_is_not_listed_is_refused(stocked: Client, upstream: FakeUpstream) -> None:
    for url in ("https://other.example.org/", "http://10.0.0.1/"):
        answer = stocked.put(f"{LABELS}/source", json={"source": "url", "url": url})
        assert answer.problem() == (409, "SOURCE_HOST_NOT_ALLOWED")
    assert stocked.get(f"{LABELS}/source").json()["location"] == upstream.url


def test_an_organisation_without_a_named_source_has_its_own(server: ServerUnderTest) -> None:
    server.token("org_b")
    assert server.client.get("/api/v1/terminology/org_b/source").json() == {
        "organization_id": "org_b",
        "source": "own",
        "location": None,
        "changed_at": None,
        "failures": 0,
        "retry_at": None,
    }


def test_labels_come_from_a_file_that_the_operator_names(
    server: ServerUnderTest, stocked: Client, tmp_path: Path
) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(GOOD), "utf-8")
    name_file(server, path)
    assert stocked.post(f"{SYNC}/force-sync").json()["updated_keys"] == 2
    assert stocked.post(f"{SYNC}/force-sync").json()["updated_keys"] == 0
    path.unlink()
    assert stocked.post(f"{SYNC}/force-sync").problem() == (502, "UPSTREAM_FAILED")
    assert shown(stocked) == GOOD

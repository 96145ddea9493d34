"""Sell's sessions with two processes on one database: whichever answers knows the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from headwater.base.settings.table import Settings
from headwater.store.database import Database
from tests.contracts.sell.conftest import Phone
from tests.support.clock import MovableClock
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import address_of, open_at


@pytest.fixture
def other(
    server: ServerUnderTest, database: Database, settings: Settings, clock: MovableClock, tmp_path: Path
) -> Iterator[ServerUnderTest]:
    """A second process: a server of its own, over connections of its own."""
    second = open_at(address_of(database), clock=clock)
    try:
        with serving(second, settings, clock, tmp_path) as under:
            assert under.admin_token == server.admin_token
            yield under
    finally:
        second.close()


@pytest.fixture
def here(server: ServerUnderTest) -> Phone:
    rows = [{"id": f"c{i}", "name": "Ada", "updated_at": "2026-01-01T00:00:00Z"} for i in range(265)]
    assert server.client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": rows}).status == 201
    return Phone(server.client, "phone-1")


@pytest.fixture
def there(here: Phone, other: ServerUnderTest) -> Phone:
    """The same device, answered by the second process."""
    assert here.client is not other.client
    return Phone(other.client, "phone-1")


def started(phone: Phone) -> str:
    session: str = phone.start().json()["data"]["id"]
    return session


def test_a_session_that_one_process_began_is_drained_at_the_other(here: Phone, there: Phone) -> None:
    session = started(here)
    pages = [phone.page(session).json() for phone in (there, here, there)]
    assert [(page["meta"]["count"], page["meta"]["count_left"]) for page in pages] == [(100, 165), (100, 65), (65, 0)]
    ids = [item["data"]["id"] for page in pages for item in page["items"]]
    assert len(set(ids)) == 265
    assert [phone.page(session).status for phone in (here, there)] == [204, 204]


def test_workers_at_two_processes_share_every_item_and_none_twice(here: Phone, there: Phone) -> None:
    session = started(here)
    keys: list[str] = []
    while True:
        path = f"/v2/sync/{session}/queues/main"
        flying = [phone.client.start("GET", path, headers=phone.headers) for phone in (here, there) * 3]
        pages = [answer.json() for flight in flying if (answer := flight.result(60)).status == 200]
        if not pages:
            break
        keys += [item["meta"]["sync"]["ack_key"] for page in pages for item in page["items"]]
    assert len(keys) == len(set(keys)) == 265


def test_a_new_start_at_the_other_process_replaces_the_session(here: Phone, there: Phone) -> None:
    first = started(here)
    second = started(there)
    assert [phone.page(first).status for phone in (here, there)] == [204, 204]
    assert here.page(second).json()["meta"]["count"] == 100


def test_what_was_never_issued_is_404_at_both(here: Phone, there: Phone) -> None:
    session = started(here)
    for phone in (here, there):
        assert Phone(phone.client, "another").page(session).problem() == (404, "not_found")
        assert phone.page("0" * 48).problem() == (404, "not_found")


def test_an_expired_session_is_204_at_both(here: Phone, there: Phone, clock: MovableClock) -> None:
    session = started(here)
    clock.advance(3601)
    assert [phone.page(session).status for phone in (there, here)] == [204, 204]


def test_a_restart_loses_no_session(here: Phone, there: Phone) -> None:
    session = started(here)
    here.page(session)
    assert there.page(session).json()["meta"]["count_left"] == 65, "a process that began after the session"


class TestPlaces:
    @pytest.fixture
    def settings(self) -> Settings:
        base = Settings()
        return msgspec.structs.replace(base, sell=msgspec.structs.replace(base.sell, sessions_per_account=2))

    def test_the_places_of_an_account_are_those_of_all_processes(self, here: Phone, there: Phone) -> None:
        assert Phone(here.client, "a").start().status == 201
        assert Phone(there.client, "b").start().status == 201
        for phone in (here, there):
            refused = Phone(phone.client, "c").start()
            assert refused.problem() == (429, "rate_limit_exceeded")
            assert int(refused.headers["retry-after"]) > 0

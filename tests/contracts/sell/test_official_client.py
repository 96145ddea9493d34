"""The official Python client drains, acks some, rejects some, and gets exactly the rest next time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server.asgi import Client
from tests.support.server.live import LiveServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import basecrm

CONTACTS = "/api/v1/contacts"
Seen = list[tuple[str, str | int]]


def official(live: LiveServer) -> Any:
    """The client as an integration makes it: only its base URL is ours."""
    return basecrm.Client(access_token=live.admin_token, base_url=live.url, timeout=60)


def fetch(client: Any, device: str, judge: Callable[[Any, Any], bool] = lambda _meta, _data: True) -> Seen:
    """Run one whole synchronization; what came, as (event, name or id)."""
    seen: Seen = []

    def received(meta: Any, data: Any) -> bool:
        acked = judge(meta, data)
        seen.append((meta.sync.event_type, data.get("name", data.id)))
        return acked

    basecrm.Sync(client=client, device_uuid=device).fetch(received)
    return seen


@pytest.fixture
def names(client: Client) -> list[str]:
    made = [f"Person {n:03d}" for n in range(230)]
    rows = [{"id": name, "name": name, "updated_at": "2026-03-25T14:00:00Z"} for name in made]
    client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": rows})
    return made


def test_what_it_rejects_and_nothing_else_returns(live_server: LiveServer, names: list[str]) -> None:
    crm = official(live_server)
    first = fetch(crm, "laptop", lambda _meta, data: data.id % 3 != 0)
    assert first == [("created", name) for name in names]
    rejected = [("created", name) for number, name in enumerate(names, 1) if number % 3 == 0]
    assert fetch(crm, "laptop") == rejected
    assert fetch(crm, "laptop") == []


def test_two_devices_each_get_everything_then_only_the_changes(
    live_server: LiveServer, client: Client, names: list[str]
) -> None:
    crm = official(live_server)
    assert len(fetch(crm, "laptop")) == len(fetch(crm, "phone")) == 230
    id = client.post(CONTACTS, json={"first_name": "New", "last_name": "One"}).json()["contact_id"]
    assert fetch(crm, "laptop") == [("created", "New One")]
    client.put(f"{CONTACTS}/{id}", json={"last_name": "Two"})
    assert fetch(crm, "laptop") == [("updated", "New Two")]
    assert fetch(crm, "phone") == [("created", "New Two")]
    client.delete(f"{CONTACTS}/{id}")
    assert fetch(crm, "laptop") == fetch(crm, "phone") == [("deleted", 231)]
    assert fetch(crm, "laptop") == fetch(crm, "phone") == []


def test_worker_threads_share_one_session_without_a_repeat_or_a_gap(live_server: LiveServer, names: list[str]) -> None:
    crm = official(live_server)
    session = crm.sync.start("laptop")
    lock = threading.Lock()
    ids: list[int] = []
    acked: list[bool] = []

    def transaction() -> None:
        mine = official(live_server)
        while items := mine.sync.fetch("laptop", session.id):
            ok = mine.sync.ack("laptop", [item.meta.sync.ack_key for item in items])
            with lock:
                ids.extend(item.data.id for item in items)
                acked.append(ok)

    workers = [threading.Thread(target=transaction) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(ids) == list(range(1, 231))
    assert all(acked)
    assert crm.sync.start("laptop") is None


def test_an_error_reaches_the_official_client_as_an_error(live_server: LiveServer) -> None:
    with pytest.raises(basecrm.errors.RequestError) as failed:
        official(live_server).sync.fetch("laptop", "never-issued")
    assert failed.value.http_status == 404
    assert failed.value.errors[0].code == "not_found"

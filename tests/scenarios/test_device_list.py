"""What ``device list`` shows of every kind of device, while they call."""

from __future__ import annotations

from headwater.feed import devices
from headwater.feed.devices import DeviceLag
from headwater.server.jobs import write_sightings
from tests.support.server.serving import ServerUnderTest

SELL = {"X-Basecrm-Device-UUID": "till"}


def listed(server: ServerUnderTest, door: str) -> DeviceLag:
    """The only device of a door, after the job that writes what was seen."""
    server.loop.run(write_sightings(server.services))
    [device] = [row for row in server.database.read_now(devices.read_all) if row.door == door]
    return device


def make_contact(server: ServerUnderTest) -> None:
    assert server.client.post("/api/v1/contacts", json={"first_name": "Ada"}).status == 201


def test_an_up_to_date_sell_device_is_seen_at_each_start(server: ServerUnderTest) -> None:
    assert server.client.post("/v2/sync/start", headers=SELL).status == 204
    for _ in range(2):
        server.clock.advance(60)
        assert server.client.post("/v2/sync/start", headers=SELL).status == 204
        assert listed(server, "sell").last_seen_us == server.clock.at_us


def test_a_deactivated_sell_device_that_comes_again_is_active_without_news(server: ServerUnderTest) -> None:
    assert server.client.post("/v2/sync/start", headers=SELL).status == 204
    id = listed(server, "sell").id
    server.database.write_now(lambda tx: devices.deactivate(tx, id))
    assert not listed(server, "sell").is_active
    server.clock.advance(1)
    assert server.client.post("/v2/sync/start", headers=SELL).status == 204
    assert listed(server, "sell").is_active


def test_a_replica_that_names_itself_is_listed_with_its_lag(server: ServerUnderTest) -> None:
    make_contact(server)
    replica = {"X-Device-Id": "replica"}
    page = server.client.get("/api/v1/feed", headers=replica).json()
    assert listed(server, "feed").position == 0, "it has confirmed nothing yet"
    make_contact(server)
    server.clock.advance(5)
    page = server.client.get(f"/api/v1/feed?cursor={page['cursor']}", headers=replica).json()
    assert len(page["changes"]) == 1
    assert (listed(server, "feed").position, listed(server, "feed").lag) == (1, 1)
    assert listed(server, "feed").last_seen_us == server.clock.at_us
    server.client.get(f"/api/v1/feed?cursor={page['cursor']}", headers=replica)
    assert (listed(server, "feed").position, listed(server, "feed").lag) == (2, 0)


def test_a_replica_of_another_organisation_is_listed_there(server: ServerUnderTest) -> None:
    server.token("acme")
    assert server.client.get("/api/v1/feed?org_id=acme", headers={"X-Device-Id": "admins"}).status == 200
    assert listed(server, "feed").organisation == "acme"


def test_a_device_that_polls_the_changes_of_files_is_seen(server: ServerUnderTest) -> None:
    assert (
        server.client.post(
            "/api/v1/sync/devices",
            json={"device_id": "laptop", "platform": "linux", "client_version": "1.0.0"},
        ).status
        == 201
    )
    server.clock.advance(30)
    assert server.client.get("/api/v1/sync/changes", headers={"X-Device-Id": "laptop"}).status == 200
    assert listed(server, "files").last_seen_us == server.clock.at_us


def test_an_unacceptable_device_name_is_refused(server: ServerUnderTest) -> None:
    answer = server.client.get("/api/v1/feed", headers={"X-Device-Id": "x" * 129})
    assert answer.problem() == (422, "INVALID")
    assert answer.json()["errors"][0]["field"] == "X-Device-Id"


def test_an_edit_pushed_into_another_organisation_lists_its_device_there(server: ServerUnderTest) -> None:
    server.token("acme")
    change = {"client_change_id": "1", "kind": "contact", "id": "ada", "op": "put", "fields": {"first_name": "Ada"}}
    pushed = {"device_id": "admins", "changes": [change]}
    assert server.client.post("/api/v1/feed/push?org_id=acme", json=pushed).status == 200
    assert listed(server, "feed").organisation == "acme"


def test_a_replica_of_another_user_is_refused(server: ServerUnderTest) -> None:
    replica = {"X-Device-Id": "replica"}
    assert server.client.get("/api/v1/feed", headers=replica).status == 200
    other = server.caller(role="coordinator")
    assert other.get("/api/v1/feed", headers=replica).problem() == (403, "DEVICE_OF_ANOTHER")
    assert server.client.get("/api/v1/feed", headers=replica).status == 200

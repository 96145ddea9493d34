"""A device that was away while compaction dropped tombstones still receives the deletions."""

from __future__ import annotations

import pytest

from headwater.store import integrity
from headwater.store.database import Transaction
from headwater.store.log import feeds
from tests.contracts.sell.conftest import Phone, events
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"


def compact(server: ServerUnderTest) -> None:
    """Drop every tombstone and raise the floor to the head, as compaction does after the time of keeping."""

    def transaction(tx: Transaction) -> None:
        feed = feeds.organisation_feed(tx, "default") or 0
        tx.run("DELETE FROM changes WHERE feed = ? AND deleted = 1", feed)
        feeds.raise_floor(tx, feed, feeds.head(tx, feed))

    server.database.write_now(transaction)


def findings(server: ServerUnderTest) -> list[integrity.Finding]:
    return server.database.read_now(lambda tx: list(integrity.check(tx)))


@pytest.fixture
def ids(client: Client) -> list[str]:
    return [client.post(CONTACTS, json={"first_name": f"P{n}"}).json()["contact_id"] for n in range(4)]


def test_a_device_long_away_gets_the_deletions_whose_tombstones_are_gone(
    server: ServerUnderTest, client: Client, ids: list[str], phone: Phone
) -> None:
    phone.sync()
    client.delete(f"{CONTACTS}/{ids[0]}")
    client.delete(f"{CONTACTS}/{ids[2]}")
    client.put(f"{CONTACTS}/{ids[1]}", json={"first_name": "New"})
    made = client.post(CONTACTS, json={"first_name": "P5"}).json()["contact_id"]
    compact(server)
    assert sorted(events(phone.sync()), key=str) == [
        ("created", made),
        ("deleted", 1),
        ("deleted", 3),
        ("updated", ids[1]),
    ]
    assert phone.sync() == []
    assert findings(server) == []


def test_what_was_delivered_and_never_acked_is_told_deleted_after_its_tombstone_is_gone_too(
    server: ServerUnderTest, client: Client, ids: list[str], phone: Phone, tablet: Phone
) -> None:
    assert len(phone.drain()) == 4
    client.delete(f"{CONTACTS}/{ids[0]}")
    compact(server)
    assert sorted(events(phone.sync()), key=str) == [
        ("created", ids[1]), ("created", ids[2]), ("created", ids[3]), ("deleted", 1),
    ]  # fmt: skip
    assert phone.start().status == 204
    client.delete(f"{CONTACTS}/{ids[1]}")
    compact(server)
    assert events(phone.sync()) == [("deleted", 2)]
    assert [event for event, _ in events(tablet.sync())] == ["created"] * 2


def test_a_deletion_that_the_device_acked_is_not_told_again(
    server: ServerUnderTest, client: Client, ids: list[str], phone: Phone
) -> None:
    phone.sync()
    client.delete(f"{CONTACTS}/{ids[0]}")
    phone.sync()
    client.delete(f"{CONTACTS}/{ids[1]}")
    compact(server)
    assert events(phone.sync()) == [("deleted", 2)]


def test_a_new_device_and_one_that_is_up_to_date_are_told_nothing(
    server: ServerUnderTest, client: Client, ids: list[str], phone: Phone, tablet: Phone
) -> None:
    phone.sync()
    client.delete(f"{CONTACTS}/{ids[0]}")
    phone.sync()
    compact(server)
    assert phone.start().status == 204
    assert [event for event, _ in events(tablet.sync())] == ["created"] * 3


def test_the_deletion_of_an_old_life_does_not_take_the_new_one_away(
    server: ServerUnderTest, client: Client, ids: list[str], phone: Phone
) -> None:
    phone.sync()
    client.delete(f"{CONTACTS}/{ids[0]}")
    change = {"client_change_id": "1", "kind": "contact", "id": ids[0], "op": "put", "fields": {"first_name": "Back"}}
    base = {"base_revision": len(ids) + 1}
    pushed = client.post("/api/v1/feed/push", json={"device_id": "d", "changes": [change | base]})
    assert pushed.json()["results"][0]["outcome"] == "applied"
    assert findings(server) == []
    compact(server)
    cursor = client.get("/api/v1/feed").json()["cursor"]
    assert sorted(events(phone.sync()), key=str) == [("created", ids[0]), ("deleted", 1)]
    deleted = [row["id"] for row in client.get(f"/api/v1/feed?cursor={cursor}").json()["changes"]]
    assert deleted == ["gone-contact-1"]
    assert client.get(f"{CONTACTS}/{ids[0]}").status == 200
    assert findings(server) == []


def test_two_absent_devices_share_one_tombstone(
    server: ServerUnderTest, client: Client, ids: list[str], phone: Phone, tablet: Phone
) -> None:
    phone.sync()
    tablet.sync()
    client.delete(f"{CONTACTS}/{ids[3]}")
    compact(server)
    assert events(phone.sync()) == events(tablet.sync()) == [("deleted", 4)]
    assert phone.start().status == 204
    count = server.database.read_now(lambda tx: tx.value("SELECT count(*) FROM changes WHERE deleted = 1"))
    assert count == 1

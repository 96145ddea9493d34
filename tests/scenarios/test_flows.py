"""One log, many doors: what is written through one reaches the devices of the others. Readings 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headwater.contracts.contacts import upsert
from headwater.contracts.contacts.interchange.csv.format import read_csv
from headwater.store import integrity
from headwater.store.database import Transaction
from headwater.store.log import feeds
from tests.contracts.sell.conftest import Phone, events
from tests.support.command import headwater, running
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"
CACHE = "/api/v1/cache/sync"
AT = "2026-03-25T14:00:00Z"


@pytest.fixture
def devices(server: ServerUnderTest) -> list[Phone]:
    return [Phone(server.client, name) for name in ("phone", "tablet")]


def bring(client: Client, contacts: list[dict[str, Any]], notes: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    body = {"org_id": "default", "contacts": contacts, "notes": notes or []}
    brought: dict[str, Any] = client.post(CACHE, json=body).json()
    return brought


def well(server: ServerUnderTest) -> None:
    assert server.database.read_now(lambda tx: list(integrity.check(tx))) == []


def test_a_contact_reaches_every_device_as_created_then_updated_then_deleted(
    server: ServerUnderTest, client: Client, devices: list[Phone]
) -> None:
    id = client.post(CONTACTS, json={"first_name": "Bjørn"}).json()["contact_id"]
    for device in devices:
        assert events(device.sync()) == [("created", id)]
    client.put(f"{CONTACTS}/{id}", json={"last_name": "Dahl"})
    client.put(f"{CONTACTS}/{id}/chapter-affiliations", json={"chapter_ids": ["ch-01"]})
    for device in devices:
        (item,) = device.sync()
        assert events([item]) == [("updated", id)]
        assert (item["data"]["name"], item["data"]["tags"]) == ("Bjørn Dahl", ["ch-01"])
    client.delete(f"{CONTACTS}/{id}")
    for device in devices:
        assert events(device.sync()) == [("deleted", 1)]
        assert device.sync() == []
    well(server)


def test_a_cache_batch_reaches_every_device_and_clearing_it_takes_everything_back(
    server: ServerUnderTest, client: Client, devices: list[Phone]
) -> None:
    contacts = [{"id": f"cnt_{n}", "name": f"Name {n}", "updated_at": AT} for n in range(150)]
    notes = [{"id": "n1", "contact_id": "cnt_7", "content": "Hello", "updated_at": AT}]
    sync = bring(client, contacts, notes)["id"]
    for device in devices:
        items = device.sync()
        assert [event for event, _ in events(items)] == ["created"] * 151
        assert items[-1]["data"]["resource_id"] == 8
    bring(client, [contacts[3] | {"name": "Other", "updated_at": "2026-03-25T15:00:00Z"}])
    assert events(devices[0].sync()) == [("updated", "cnt_3")]
    client.delete(f"{CACHE}/{sync}")
    for device in devices:
        gone = device.sync()
        assert len(gone) == 151
        assert {event for event, _ in events(gone)} == {"deleted"}
        assert {tuple(item["data"]) for item in gone} == {("id",)}
    well(server)


def test_an_offline_edit_from_the_record_feed_reaches_sell_devices(
    server: ServerUnderTest, client: Client, devices: list[Phone]
) -> None:
    id = client.post(CONTACTS, json={"first_name": "Bjørn"}).json()["contact_id"]
    devices[0].sync()
    change = {"client_change_id": "1", "kind": "contact", "id": id, "op": "put", "base_revision": 1}
    client.post("/api/v1/feed/push", json={"device_id": "d", "changes": [change | {"fields": {"phone": "1"}}]})
    assert events(devices[0].sync()) == [("updated", id)]
    well(server)


def test_imported_contacts_reach_every_device_as_created_and_a_second_run_reaches_nobody(
    server: ServerUnderTest, client: Client, devices: list[Phone], tmp_path: Path
) -> None:
    path = tmp_path / "members.csv"
    path.write_text("uid,first_name\n" + "".join(f"m{n},Person {n}\n" for n in range(120)), "utf-8")

    def bring_in(tx: Transaction) -> None:
        with path.open("rb") as stream:
            upsert.upsert(
                tx, feeds.organisation_feed(tx, "default") or 0, list(read_csv(stream)), open_provisioning=True
            )

    server.database.write_now(bring_in)
    for device in devices:
        assert [event for event, _ in events(device.sync())] == ["created"] * 120
    server.database.write_now(bring_in)
    assert [device.start().status for device in devices] == [204, 204]
    well(server)


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_an_import_beside_a_running_server_is_seen_by_its_waiting_readers(tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("uid,first_name\nm1,Bjørn\nm2,Ingrid\n", "utf-8")
    with running(tmp_path / "here") as server:
        cursor = server.call("GET", "/api/v1/feed")["cursor"]
        done = headwater("import", "contacts", path, "--org", "default", "--data", tmp_path / "here", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        page = server.call("GET", f"/api/v1/feed?cursor={cursor}&wait=30")
        assert [change["body"]["first_name"] for change in page["changes"]] == ["Bjørn", "Ingrid"]
        assert server.call("GET", f"{CONTACTS}?q=ingrid")["pagination"]["total"] == 1
        started = headwater("export", "contacts", tmp_path / "out.vcf", "--data", tmp_path / "here")
        assert (started.returncode, (tmp_path / "out.vcf").read_text("utf-8").count("BEGIN:VCARD")) == (0, 2)

"""A note is sent again when what it is linked to comes or goes: a device that follows has the links of a fresh one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from headwater.contracts.contacts import upsert
from headwater.contracts.contacts.interchange.record import ContactRow, Parsed
from headwater.store.database import Transaction
from tests.contracts.sell.conftest import Phone
from tests.support.server.serving import ServerUnderTest

CONTACTS, CACHE, PUSH = "/api/v1/contacts", "/api/v1/cache/sync", "/api/v1/feed/push"
_ids = itertools.count(1)


class Doors:
    """Every door through which a contact comes or goes, and a device that follows at sell."""

    def __init__(self, server: ServerUnderTest) -> None:
        self.server = server
        self.client = server.client
        self.device = Phone(server.client, "follows")
        self.links: dict[int, Any] = {}

    def push(self, op: str, kind: str, id: str, base: int = 0, **fields: Any) -> dict[str, Any]:
        change = {
            "client_change_id": f"e{next(_ids)}", "kind": kind, "id": id, "op": op, "base_revision": base,
            "fields": fields,
        }  # fmt: skip
        answer = self.client.post(PUSH, json={"device_id": "phone", "changes": [change]})
        [outcome] = answer.json()["results"]
        assert outcome["outcome"] != "refused", outcome
        found: dict[str, Any] = outcome
        return found

    def note(self, id: str, parent: str) -> dict[str, Any]:
        return self.push("put", "note", id, contact_id=parent, content="Call")

    def cache(self, *contacts: str, notes: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
        at = "2026-03-25T14:00:00Z"
        body = {
            "org_id": "default",
            "contacts": [{"id": id, "name": "Ada", "updated_at": at} for id in contacts],
            "notes": [{"id": id, "contact_id": parent, "content": "x", "updated_at": at} for id, parent in notes],
        }
        answer = self.client.post(CACHE, json=body)
        assert answer.status == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def revision(self, kind: str, id: str) -> int:
        for change in self.client.get("/api/v1/feed?limit=5000").json()["changes"]:
            if (change["kind"], change["id"]) == (kind, id):
                return int(change["revision"])
        raise AssertionError(id)

    def follow(self) -> dict[int, Any]:
        """The links of the notes of the device that follows, which just synced."""
        self.links = applied(self.links, self.device.sync())
        return self.links

    def fresh(self) -> dict[int, Any]:
        """The links of the notes of a device that begins now."""
        return applied({}, Phone(self.client, f"fresh{next(_ids)}").drain())


def applied(links: dict[int, Any], items: list[dict[str, Any]]) -> dict[int, Any]:
    after = dict(links)
    for item in items:
        if item["meta"]["type"] == "note":
            after.pop(item["data"]["id"], None)
            if item["meta"]["sync"]["event_type"] != "deleted":
                after[item["data"]["id"]] = item["data"]["resource_id"]
    return after


@pytest.fixture
def doors(server: ServerUnderTest) -> Doors:
    return Doors(server)


def next_contact(doors: Doors) -> str:
    """The id that the next contact of the server's own gets."""
    made = doors.client.post(CONTACTS, json={"first_name": "Before"}).json()["contact_id"]
    return f"c-{int(made.removeprefix('c-')) + 1:05d}"


def by_post(doors: Doors) -> str:
    id = next_contact(doors)
    doors.note("n1", id)
    doors.follow()
    assert doors.client.post(CONTACTS, json={"first_name": "Ada"}).json()["contact_id"] == id
    return id


def by_import(doors: Doors) -> str:
    id = next_contact(doors)
    doors.note("n1", id)
    doors.follow()

    def transaction(tx: Transaction) -> None:
        feed = tx.value("SELECT feed FROM feeds WHERE name = 'org:default'")
        row = Parsed(row_number=1, uid="row-1", contact=ContactRow(first_name="Ada"), given=frozenset({"first_name"}))
        upsert.upsert(tx, feed, [row], open_provisioning=True)

    doors.server.database.write_now(transaction)
    assert doors.client.get(f"{CONTACTS}/{id}").status == 200
    return id


def by_push(doors: Doors) -> str:
    doors.note("n1", "ada")
    doors.follow()
    doors.push("put", "contact", "ada", first_name="Ada")
    return "ada"


def by_cache(doors: Doors) -> str:
    doors.note("n1", "ada")
    doors.follow()
    doors.cache("ada")
    return "ada"


def by_cache_with_the_unchanged_note(doors: Doors) -> str:
    doors.cache(notes=(("n1", "ada"),))
    doors.follow()
    doors.cache("ada", notes=(("n1", "ada"),))
    return "ada"


def by_revival(doors: Doors) -> str:
    id = by_push(doors)
    alive = doors.revision("contact", id)
    doors.client.delete(f"{CONTACTS}/{id}")
    doors.follow()
    doors.push("put", "contact", id, alive, first_name="Ada again")
    return id


COMING: list[Callable[[Doors], str]] = [
    by_post, by_import, by_push, by_cache, by_cache_with_the_unchanged_note, by_revival,
]  # fmt: skip


@pytest.mark.parametrize("come", COMING)
def test_a_note_that_waits_is_sent_again_when_its_contact_comes_by_any_door(
    doors: Doors, come: Callable[[Doors], str]
) -> None:
    come(doors)
    assert doors.follow() == doors.fresh()
    assert None not in doors.links.values()


@pytest.mark.parametrize("door", ["contacts", "push", "cache"])
def test_a_note_is_sent_again_when_its_contact_goes_by_any_door(doors: Doors, door: str) -> None:
    if door == "cache":
        doors.cache("ada", notes=(("n1", "ada"), ("n2", "none")))
    else:
        doors.push("put", "contact", "ada", first_name="Ada")
        doors.note("n1", "ada")
    assert len(set(doors.follow().values()) - {None}) == 1
    if door == "contacts":
        assert doors.client.delete(f"{CONTACTS}/ada").status == 200
    elif door == "push":
        doors.push("delete", "contact", "ada", doors.revision("contact", "ada"))
    else:
        doors.push("delete", "cached_contact", "ada", doors.revision("cached_contact", "ada"))
    assert doors.follow() == doors.fresh()
    assert set(doors.links.values()) == {None}


def test_a_cached_contact_precedes_our_own_and_gives_way_to_it(doors: Doors) -> None:
    by_push(doors)
    doors.follow()
    own = next(iter(doors.links.values()))
    doors.cache("ada")
    cached = next(iter(doors.follow().values()))
    assert doors.links == doors.fresh()
    assert cached != own
    doors.push("delete", "cached_contact", "ada", doors.revision("cached_contact", "ada"))
    assert doors.follow() == doors.fresh() == dict.fromkeys(doors.links, own)


def test_what_shows_the_same_is_not_sent_again(doors: Doors) -> None:
    doors.cache("ada", notes=(("n1", "ada"),))
    doors.follow()
    doors.push("put", "contact", "ada", first_name="Ada")
    assert [item["meta"]["type"] for item in doors.device.sync()] == ["contact"]
    doors.client.delete(f"{CONTACTS}/ada")
    assert [item["meta"]["type"] for item in doors.device.sync()] == ["contact"]


def test_clearing_the_cache_deletes_notes_and_sends_none_again(doors: Doors) -> None:
    sync = doors.cache("ada", notes=(("n1", "ada"),))["id"]
    doors.follow()
    assert doors.client.delete(f"{CACHE}/{sync}").status == 200
    assert sorted(item["meta"]["sync"]["event_type"] for item in doors.device.sync()) == ["deleted", "deleted"]


def test_a_note_that_was_only_sent_again_is_deleted_by_who_saw_it_before(doors: Doors) -> None:
    base = doors.note("n1", "ada")["revision"]
    doors.push("put", "contact", "ada", first_name="Ada")
    assert doors.revision("note", "n1") > base
    assert doors.push("delete", "note", "n1", base)["outcome"] == "applied"
    doors.follow()
    assert doors.links == {}

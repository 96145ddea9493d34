"""Every example that the contacts contract prints, on a fresh server, without a token, under both forms of the path."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.contracts.contacts import shapes
from tests.support.printed import assert_printed
from tests.support.server.serving import ServerUnderTest

PREFIX = "/api/v1/contacts"
INGRID = {
    "first_name": "Ingrid",
    "last_name": "Solberg",
    "email": "ingrid.solberg@example.no",
    "phone": "+47 912 34 567",
    "address": "Storgata 12, 0155 Oslo",
    "date_of_birth": "1988-04-21",
}
SHOWN: dict[str, Any] = {
    "contact_id": "c-00123",
    **INGRID,
    "created_at": "2025-09-14T10:22:00Z",
    "updated_at": "2026-01-05T08:44:00Z",
}

pytestmark = pytest.mark.parametrize("base", [PREFIX, PREFIX + PREFIX])


def test_creating_prints_the_contact(server: ServerUnderTest, base: str) -> None:
    made = server.public.post(base, json=shapes.CREATE_EXAMPLE)
    assert made.status == 201
    assert_printed(made.json(), shapes.CONTACT_EXAMPLE)
    assert made.json()["contact_id"] == "c-00001"
    assert made.headers["location"] == f"{PREFIX}/c-00001"


def test_listing_and_fetching_print_the_contact(server: ServerUnderTest, base: str) -> None:
    id = server.public.post(base, json=INGRID).json()["contact_id"]
    listed = server.public.get(base)
    assert listed.status == 200
    assert_printed(listed.json(), {"data": [SHOWN], "pagination": {"page": 1, "limit": 20, "total": 1}})
    fetched = server.public.get(f"{base}/{id}")
    assert fetched.status == 200
    assert_printed(fetched.json(), SHOWN)
    assert server.public.get(f"{base}/{id}/").json() == fetched.json()


def test_updating_prints_the_merged_contact(server: ServerUnderTest, base: str) -> None:
    made = server.public.post(base, json=shapes.CREATE_EXAMPLE).json()
    server.clock.advance(60)
    updated = server.public.put(f"{base}/{made['contact_id']}", json=shapes.UPDATE_EXAMPLE)
    assert updated.status == 200
    assert_printed(updated.json(), {**shapes.CONTACT_EXAMPLE, **shapes.UPDATE_EXAMPLE})
    assert updated.json()["updated_at"] > made["updated_at"]


def test_deleting_prints_the_deletion(server: ServerUnderTest, base: str) -> None:
    id = server.public.post(base, json=shapes.CREATE_EXAMPLE).json()["contact_id"]
    deleted = server.public.delete(f"{base}/{id}")
    assert deleted.status == 200
    assert_printed(deleted.json(), shapes.DELETED_EXAMPLE)


def test_affiliations_print_their_set_and_their_list(server: ServerUnderTest, base: str) -> None:
    id = server.public.post(base, json=INGRID).json()["contact_id"]
    for chapter_id, name in (("ch-01", "Oslo Sentrum"), ("ch-07", "Grünerløkka")):
        server.public.post("/api/v1/chapters", json={"chapter_id": chapter_id, "name": name})
    server.public.put(f"{base}/{id}/chapter-affiliations", json={"chapter_ids": ["ch-01", "ch-07"]})
    listed = server.public.get(f"{base}/{id}/chapter-affiliations")
    assert listed.status == 200
    assert_printed(listed.json(), shapes.AFFILIATIONS_LIST_EXAMPLE)
    replaced = server.public.put(f"{base}/{id}/chapter-affiliations", json=shapes.AFFILIATIONS_EXAMPLE)
    assert replaced.status == 200
    assert_printed(replaced.json(), shapes.AFFILIATIONS_SET_EXAMPLE)

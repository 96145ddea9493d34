"""Cached contacts and notes as the record feed takes them apart and puts them together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.base.errors import Invalid
from headwater.base.wire import format_seconds
from headwater.contracts.cache.kinds import CACHED_CONTACT_KIND, NOTE_KIND
from headwater.feed.kinds import RecordKind
from headwater.store.database import Database, Transaction
from headwater.store.log import records
from headwater.store.log.records import Draft
from tests.support.clock import MovableClock
from tests.support.store.transactions import make_feed


def draft(database: Database, kind: RecordKind, values: dict[str, Any]) -> Draft:
    return database.write_now(lambda tx: kind.draft(tx, "x1", dict.fromkeys(kind.fields) | values, None))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (CACHED_CONTACT_KIND, {"name": "Ada", "email": "a@x.no", "phone": "1", "org_name": "Acme"}),
        (CACHED_CONTACT_KIND, {"name": "Ada", "email": None, "phone": None, "org_name": None}),
        (NOTE_KIND, {"contact_id": "c1", "content": "Hello", "author_name": "Bo"}),
        (NOTE_KIND, {"contact_id": "c1", "content": "Hello", "author_name": None}),
    ],
)
def test_a_record_survives_being_put_together_and_taken_apart(
    database: Database, clock: MovableClock, kind: RecordKind, values: dict[str, Any]
) -> None:
    made = draft(database, kind, values)
    assert kind.values(made.body) == values
    assert (made.id, json.loads(made.body)["updated_at"]) == ("x1", format_seconds(clock.at_us))


@pytest.mark.parametrize(
    ("kind", "values", "field"),
    [
        (CACHED_CONTACT_KIND, {"email": "a@x.no"}, "name"),
        (CACHED_CONTACT_KIND, {"name": 7}, "name"),
        (NOTE_KIND, {"content": "Hello"}, "contact_id"),
        (NOTE_KIND, {"contact_id": "a\nb", "content": "Hello"}, "contact_id"),
    ],
)
def test_a_record_that_lacks_a_field_or_has_a_wrong_one_is_refused(
    database: Database, kind: RecordKind, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as failure:
        draft(database, kind, values)
    assert failure.value.fields[0].field == "fields"
    assert field in failure.value.detail


def test_a_replaced_record_keeps_the_time_of_its_creation(database: Database, clock: MovableClock) -> None:
    feed = make_feed(database, "org:acme")
    values = {"name": "Ada", "email": None, "phone": None, "org_name": None}
    created_us = clock.at_us

    def transaction(tx: Transaction) -> records.Record:
        return records.create(tx, feed, "cached_contact", CACHED_CONTACT_KIND.draft(tx, "x1", values, None))

    row = database.write_now(transaction)
    clock.advance(60)
    again = database.write_now(lambda tx: CACHED_CONTACT_KIND.draft(tx, "x1", values, (row, b"{}")))
    assert (again.created_us, again.updated_us) == (created_us, clock.at_us)

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.base.wire import encode, format_seconds
from headwater.contracts.cache import batches, queries, rules
from headwater.contracts.cache.batches import Prepared
from headwater.contracts.cache.shapes import RowError, SyncResult
from headwater.store.database import Database, Transaction
from headwater.store.log import records
from tests.support.clock import MovableClock
from tests.support.store.transactions import head_of, ids_of, make_feed


class Cache:
    """One organisation's cache; a row's time is the clock's unless it names another."""

    def __init__(self, database: Database, clock: MovableClock, organisation: str = "acme") -> None:
        self.database = database
        self.clock = clock
        self.organisation = organisation
        self.feed = make_feed(database, f"org:{organisation}")

    def contacts(self, *ids: str, **fields: Any) -> Prepared:
        rows = [{"id": id, "name": id, "updated_at": self.at(), **fields} for id in ids]
        return batches.contacts([msgspec.Raw(encode(row)) for row in rows], self.clock.at_us)

    def notes(self, *ids: str, contact: str = "a", **fields: Any) -> Prepared:
        rows = [{"id": id, "contact_id": contact, "content": id, "updated_at": self.at(), **fields} for id in ids]
        return batches.notes([msgspec.Raw(encode(row)) for row in rows], self.clock.at_us)

    def at(self, seconds: int = 0) -> str:
        return format_seconds(self.clock.at_us + seconds * 1_000_000)

    def sync(self, contacts: Prepared | None = None, notes: Prepared | None = None) -> SyncResult:
        none = Prepared([], [])
        result: SyncResult = self.write(
            lambda tx: rules.sync(tx, self.feed, self.organisation, contacts or none, notes or none)
        )
        return result

    def write(self, function: Any) -> Any:
        return self.database.write_now(function, feed=self.feed)

    def body(self, id: str, kind: str = rules.CONTACT) -> dict[str, Any] | None:
        found = self.database.read_now(lambda tx: records.body(tx, self.feed, kind, id))
        return None if found is None else msgspec.json.decode(found[1])

    def head(self) -> int:
        return head_of(self.database, self.feed)


@pytest.fixture
def cache(database: Database, clock: MovableClock) -> Cache:
    return Cache(database, clock)


WRONG = Prepared([], [RowError(0, "contacts", None, "missing", "name: this field is required")])


class TestUpsert:
    def test_new_and_changed_rows_are_counted_apart(self, cache: Cache) -> None:
        first = cache.sync(cache.contacts("a", "b"))
        cache.clock.advance(1)
        second = cache.sync(cache.contacts("b", "c"))
        assert (first.contacts_inserted, first.contacts_updated, first.contacts_synced) == (2, 0, 2)
        assert (second.contacts_inserted, second.contacts_updated, second.contacts_synced) == (1, 1, 2)
        assert ids_of(cache.database, cache.feed) == set("abc")

    @pytest.mark.parametrize(("seconds", "taken"), [(-1, False), (0, True), (1, True)])
    def test_a_row_that_is_older_than_what_is_stored_is_skipped(self, cache: Cache, seconds: int, taken: bool) -> None:
        cache.sync(cache.contacts("a", name="stored"))
        result = cache.sync(cache.contacts("a", name="sent", updated_at=cache.at(seconds)))
        body = cache.body("a")
        assert body is not None
        assert body["name"] == ("sent" if taken else "stored")
        assert [row.id for row in result.skipped] == ([] if taken else ["a"])

    def test_what_is_sent_again_as_it_is_counts_and_is_no_news(self, cache: Cache) -> None:
        cache.sync(cache.contacts("a", "b"))
        before = cache.head()
        again = cache.sync(cache.contacts("a", "b"))
        assert (again.contacts_inserted, again.contacts_updated, again.status) == (0, 2, "success")
        assert cache.head() == before

    def test_of_twins_in_one_batch_the_later_one_stays_and_both_count(self, cache: Cache) -> None:
        twins = Prepared([*cache.contacts("a", name="first").rows, *cache.contacts("a", name="second").rows], [])
        result = cache.sync(twins)
        body = cache.body("a")
        assert body is not None
        assert body["name"] == "second"
        assert (result.contacts_inserted, result.contacts_updated) == (1, 1)

    def test_of_twins_the_older_one_is_skipped_wherever_it_stands(self, cache: Cache) -> None:
        new, old = cache.contacts("a", name="new"), cache.contacts("a", name="old", updated_at=cache.at(-5))
        result = cache.sync(Prepared([*new.rows, *old.rows], []))
        body = cache.body("a")
        assert body is not None
        assert body["name"] == "new"
        assert len(result.skipped) == 1

    def test_a_replaced_row_keeps_the_time_of_its_creation(self, cache: Cache) -> None:
        cache.sync(cache.contacts("a"))
        created_us = cache.clock.at_us
        cache.clock.advance(60)
        cache.sync(cache.contacts("a", name="new"))
        row = cache.database.read_now(lambda tx: records.find(tx, cache.feed, rules.CONTACT, "a"))
        assert row is not None
        assert (row.created_us, row.updated_us) == (created_us, cache.clock.at_us)


class TestStatus:
    def test_a_sync_without_a_refused_row_is_a_success_even_when_it_is_empty(self, cache: Cache) -> None:
        assert cache.sync().status == "success"
        assert cache.sync(cache.contacts("a")).status == "success"

    def test_a_sync_with_a_refused_row_is_partial_or_failed(self, cache: Cache) -> None:
        assert cache.sync(WRONG).status == "failed"
        assert cache.sync(WRONG, cache.notes("n")).status == "partial"

    def test_only_a_success_is_the_organisations_last_success(self, cache: Cache) -> None:
        def last() -> Any:
            return cache.database.read_now(lambda tx: queries.last_success(tx, "acme"))

        assert last() is None
        cache.sync(WRONG)
        assert last() is None
        cache.sync(cache.contacts("a"))
        success = last()
        assert success == (2, cache.clock.at_us)
        cache.clock.advance(5)
        cache.sync(WRONG)
        assert last() == success


class TestExtend:
    def extend(self, cache: Cache, number: int, organisation: str = "acme", contacts: Prepared | None = None) -> Any:
        none = Prepared([], [])
        return cache.write(lambda tx: rules.extend(tx, cache.feed, number, organisation, contacts or none, none))

    def test_a_further_batch_adds_to_the_record(self, cache: Cache) -> None:
        number = rules.number_of(cache.sync(cache.contacts("a")).id)
        cache.clock.advance(5)
        result = self.extend(cache, number, contacts=cache.contacts("b", "c"))
        record = cache.database.read_now(lambda tx: queries.sync(tx, number))
        assert record is not None
        assert (record.contacts_synced, result.contacts_synced) == (3, 2)
        assert record.updated_us - record.synced_us == 5_000_000

    def test_an_unknown_record_is_not_found(self, cache: Cache) -> None:
        with pytest.raises(NotFound, match="sync_00000009"):
            self.extend(cache, 9)

    def test_a_record_of_another_organisation_is_refused(self, cache: Cache) -> None:
        number = rules.number_of(cache.sync().id)
        with pytest.raises(StateConflict):
            self.extend(cache, number, "other")


class TestClear:
    def clear(self, cache: Cache, number: int) -> Any:
        def transaction(tx: Transaction) -> Any:
            found = queries.sync(tx, number)
            assert found is not None
            return rules.clear(tx, cache.feed, found)

        return cache.write(transaction)

    def test_every_contact_and_note_leaves_a_tombstone(self, cache: Cache) -> None:
        number = rules.number_of(cache.sync(cache.contacts("a", "b"), cache.notes("n")).id)
        cleared = self.clear(cache, number)
        assert (cleared.contacts_removed, cleared.notes_removed) == (2, 1)
        assert ids_of(cache.database, cache.feed) == set()
        assert cache.database.read_now(lambda tx: queries.last_success(tx, "acme")) is None

    def test_a_cleared_record_cannot_be_cleared_again(self, cache: Cache) -> None:
        number = rules.number_of(cache.sync(cache.contacts("a")).id)
        self.clear(cache, number)
        with pytest.raises(NotFound):
            self.clear(cache, number)

    def test_a_contact_that_comes_again_after_a_clearing_is_new(self, cache: Cache) -> None:
        number = rules.number_of(cache.sync(cache.contacts("a")).id)
        self.clear(cache, number)
        assert cache.sync(cache.contacts("a", updated_at=cache.at(-60))).contacts_inserted == 1


class TestLinks:
    def note_position(self, cache: Cache, id: str) -> int:
        row = cache.database.read_now(lambda tx: records.find(tx, cache.feed, rules.NOTE, id))
        assert row is not None
        return row.position

    def test_a_note_that_waited_for_its_contact_is_sent_again_when_it_comes(self, cache: Cache) -> None:
        assert cache.sync(notes=cache.notes("n")).unlinked_notes == 1
        before = self.note_position(cache, "n")
        cache.sync(cache.contacts("a"))
        assert self.note_position(cache, "n") > before
        body = cache.body("n", rules.NOTE)
        assert body is not None
        assert body["content"] == "n"

    def test_a_contact_that_only_changes_sends_no_note_again(self, cache: Cache) -> None:
        cache.sync(cache.contacts("a"), cache.notes("n"))
        before = self.note_position(cache, "n")
        cache.sync(cache.contacts("a", name="new"))
        assert self.note_position(cache, "n") == before

    def test_a_note_of_another_contact_is_not_sent_again(self, cache: Cache) -> None:
        cache.sync(notes=cache.notes("n", contact="z"))
        before = self.note_position(cache, "n")
        cache.sync(cache.contacts("a"))
        assert self.note_position(cache, "n") == before

    def test_a_note_that_comes_with_its_contact_is_linked_and_sent_once(self, cache: Cache) -> None:
        assert cache.sync(cache.contacts("a"), cache.notes("n")).unlinked_notes == 0
        assert cache.head() == 2


class TestNumberOf:
    @pytest.mark.parametrize(
        ("text", "number"), [("sync_00000001", 1), ("sync_123456789", 123_456_789), ("sync_" + "9" * 18, 10**18 - 1)]
    )
    def test_the_number_is_in_the_id(self, text: str, number: int) -> None:
        assert rules.number_of(text) == number

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sync_",
            "sync_1",
            "sync_0000001",
            "sync_" + "9" * 19,
            "00000001",
            "SYNC_00000001",
            "sync_0000000a",
            "sync_\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661",
        ],
    )
    def test_any_other_text_is_not_found(self, text: str) -> None:
        with pytest.raises(NotFound):
            rules.number_of(text)


@pytest.mark.parametrize(("text", "good"), [("acme", True), ("Ås kommune", True), ("a\nb", False), ("\u200b", False)])
def test_an_organisation_id_is_printable(text: str, good: bool) -> None:
    if good:
        rules.require_acceptable(text)
    else:
        with pytest.raises(Invalid) as failure:
            rules.require_acceptable(text)
        assert failure.value.fields[0].field == "org_id"
    assert text.isprintable() is good

"""How an edit that was made offline meets what happened meanwhile, on a kind of record of the tests' own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from headwater.base.errors import Forbidden, Invalid, NotFound, StateConflict
from headwater.base.wire import encode
from headwater.contracts.record_feed import queries, rules
from headwater.contracts.record_feed.rules import Pusher
from headwater.contracts.record_feed.shapes import PushedChange, PushOutcome, Sides
from headwater.feed.kinds import RecordKind
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.database import Database, Transaction
from headwater.store.log import lost, records
from headwater.store.log.records import Draft, Record
from tests.support.clock import MovableClock
from tests.support.store.transactions import head_of, make_feed

FIELDS = frozenset({"name", "email", "phone"})


def draft(tx: Transaction, id: str, values: Mapping[str, Any], current: tuple[Record, bytes] | None) -> Draft:
    """A card; it needs a name."""
    if not values.get("name"):
        raise Invalid.of("fields.name", "missing", "a card needs a name")
    body = encode({name: values.get(name) for name in sorted(FIELDS)})
    return Draft(id, body, "", None, current[0].created_us if current else tx.now_us, tx.now_us)


CARD = RecordKind("card", "contacts", FIELDS, json.loads, draft)
SECRET = RecordKind("secret", "admin", FIELDS, json.loads, draft)
KINDS = {kind.name: kind for kind in (CARD, SECRET)}
CALLER = Principal("tok_1", "usr_1", "acme", Role.COORDINATOR, frozenset({"contacts", "sync"}))


class Feed:
    """A feed with a phone that pushes into it, and a tablet that edits behind the phone's back."""

    def __init__(self, database: Database, clock: MovableClock) -> None:
        self.database = database
        self.clock = clock
        self.number = make_feed(database, "org:acme")
        self._changes = 0

    def push(self, *changes: PushedChange, device: str = "phone", caller: Principal = CALLER) -> list[PushOutcome]:
        pusher = Pusher(caller, caller.organisation, self.number, device, self.clock.at_us - 60_000_000)
        return self.database.write_now(lambda tx: rules.push(tx, pusher, list(changes), KINDS), feed=self.number)

    def change(
        self, op: str = "put", base: int = 0, *, id: str = "c1", kind: str = "card", **fields: Any
    ) -> PushedChange:
        self._changes += 1
        return PushedChange(f"change{self._changes}", kind, id, op, base, fields)  # type: ignore[arg-type]

    def put(self, base: int = 0, device: str = "phone", **fields: Any) -> PushOutcome:
        return self.push(self.change("put", base, **fields), device=device)[0]

    def delete(self, base: int, device: str = "phone") -> PushOutcome:
        return self.push(self.change("delete", base), device=device)[0]

    def values(self, id: str = "c1", kind: str = "card") -> dict[str, Any] | None:
        found = self.database.read_now(lambda tx: records.body(tx, self.number, kind, id))
        return None if found is None else {name: value for name, value in json.loads(found[1]).items() if value}

    def conflicts(self, *, resolved: bool = False) -> list[queries.FieldConflict]:
        return self.database.read_now(lambda tx: queries.page(tx, self.number, 10, 0, resolved=resolved))[0]

    def resolve(self, id: str, take: str, caller: Principal = CALLER) -> queries.FieldConflict:
        return self.database.write_now(lambda tx: rules.resolve(tx, caller, self.number, id, take, KINDS))


@pytest.fixture
def feed(database: Database, clock: MovableClock) -> Feed:
    return Feed(database, clock)


class TestPut:
    def test_a_devices_own_record_is_created(self, feed: Feed) -> None:
        assert feed.put(name="Ada", email="a@x") == PushOutcome("change1", "applied", 1)
        assert feed.values() == {"name": "Ada", "email": "a@x"}

    def test_an_edit_of_the_present_revision_is_applied(self, feed: Feed) -> None:
        feed.put(name="Ada")
        assert feed.put(1, email="a@x").outcome == "applied"
        assert feed.values() == {"name": "Ada", "email": "a@x"}

    def test_fields_that_only_one_side_changed_merge(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.put(1, device="tablet", email="a@x")
        assert feed.put(1, phone="1").outcome == "merged"
        assert feed.values() == {"name": "Ada", "email": "a@x", "phone": "1"}
        assert feed.conflicts() == []

    def test_of_a_field_that_both_changed_the_later_edit_is_in_force_and_the_other_kept(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.put(1, device="tablet", name="Ada of the tablet", email="a@x")
        outcome = feed.put(1, name="Ada of the phone", phone="1")
        assert outcome.outcome == "conflict"
        assert outcome.fields == {"name": Sides("Ada of the tablet", "Ada of the phone")}
        assert feed.values() == {"name": "Ada of the phone", "email": "a@x", "phone": "1"}
        assert [(c.id, c.winner, c.record_id, c.deleted) for c in feed.conflicts()] == [
            (outcome.conflict_id, "client", "c1", None)
        ]

    def test_the_same_value_on_both_sides_is_no_conflict_and_no_news(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.put(1, device="tablet", name="Bo")
        head = head_of(feed.database, feed.number)
        assert feed.put(1, name="Bo") == PushOutcome("change3", "merged", 2)
        assert head_of(feed.database, feed.number) == head

    def test_an_edit_that_changes_nothing_takes_no_revision(self, feed: Feed) -> None:
        feed.put(name="Ada")
        assert feed.put(1, name="Ada") == PushOutcome("change2", "applied", 1)

    def test_a_field_that_is_emptied_is_an_edit(self, feed: Feed) -> None:
        feed.put(name="Ada", email="a@x")
        feed.put(1, email=None)
        assert feed.values() == {"name": "Ada"}

    def test_a_record_with_base_zero_over_one_that_lives_meets_every_field(self, feed: Feed) -> None:
        feed.put(device="tablet", name="Ada", email="a@x")
        outcome = feed.put(name="Bo")
        assert outcome.outcome == "conflict"
        assert outcome.fields == {"name": Sides("Ada", "Bo")}


class TestDelete:
    def test_what_the_device_saw_is_deleted(self, feed: Feed) -> None:
        feed.put(name="Ada")
        assert feed.delete(1) == PushOutcome("change2", "applied", 2)
        assert feed.values() is None

    def test_deleting_again_is_applied_and_no_news(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.delete(1)
        assert feed.delete(1, device="tablet") == PushOutcome("change3", "applied", 2)

    def test_an_edit_since_beats_the_deletion_and_the_conflict_says_who_deleted(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.put(1, device="tablet", name="Bo")
        outcome = feed.delete(1)
        assert (outcome.outcome, outcome.revision) == ("conflict", 2)
        assert feed.values() == {"name": "Bo"}
        assert [(c.winner, c.deleted) for c in feed.conflicts()] == [("server", "client")]

    def test_a_record_that_never_was_cannot_be_deleted(self, feed: Feed) -> None:
        outcome = feed.delete(0)
        assert (outcome.outcome, outcome.code) == ("refused", "NOT_FOUND")


class TestRevival:
    def test_an_edit_of_a_deleted_record_with_all_it_needs_brings_it_back(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.delete(1, device="tablet")
        outcome = feed.put(1, name="Bo")
        assert (outcome.outcome, outcome.fields) == ("conflict", {"name": Sides(None, "Bo")})
        assert feed.values() == {"name": "Bo"}
        assert feed.conflicts()[0].deleted == "server"

    def test_an_edit_of_a_deleted_record_that_lacks_fields_is_refused(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.delete(1, device="tablet")
        outcome = feed.put(1, email="a@x")
        assert (outcome.outcome, outcome.code) == ("refused", "DELETED")
        assert feed.values() is None

    def test_a_device_that_saw_the_deletion_brings_the_record_back_without_a_conflict(self, feed: Feed) -> None:
        feed.put(name="Ada")
        deleted = feed.delete(1)
        assert deleted.revision is not None
        assert feed.put(deleted.revision, name="Bo").outcome == "applied"
        assert feed.conflicts() == []


def compacted(feed: Feed) -> None:
    """The feed without its tombstones, as compaction leaves it."""
    feed.database.write_now(lambda tx: tx.run("DELETE FROM changes WHERE feed = ? AND deleted = 1", feed.number))
    feed.database.write_now(lambda tx: tx.run("DELETE FROM records WHERE feed = ? AND deleted = 1", feed.number))


def restored(feed: Feed, undone: int, gap: int) -> None:
    """The feed as a restore leaves it, with a gap after the positions of ``undone`` changes that it lost."""

    def transaction(tx: Transaction) -> None:
        head = tx.bump(feed.number, "head", 0)
        lost.lose(tx, feed.number, head + 1, head + undone + gap)
        tx.bump(feed.number, "head", undone + gap)

    feed.database.write_now(transaction, feed=feed.number)


class TestEndedLives:
    """A base of a life or an epoch that ended is never taken for a state of the present one."""

    @pytest.mark.parametrize("op", ["put", "delete"])
    def test_over_a_deletion_an_edit_that_never_saw_the_record_is_refused(self, feed: Feed, op: str) -> None:
        feed.put(name="Ada")
        feed.delete(1)
        outcome = feed.push(feed.change(op, 0, **({"name": "Bo"} if op == "put" else {})))[0]
        assert (outcome.outcome, outcome.code, feed.values()) == ("refused", "DELETED", None)
        assert feed.conflicts() == []

    def test_a_deletion_of_a_deleted_record_that_its_device_saw_alive_is_applied(self, feed: Feed) -> None:
        feed.put(name="Ada")
        deleted = feed.delete(1)
        assert feed.delete(1, device="tablet") == PushOutcome("change3", "applied", deleted.revision)

    def test_a_base_of_the_life_before_is_refused_over_the_deletion_of_the_next(self, feed: Feed) -> None:
        feed.put(name="Ada")
        deleted = feed.delete(1)
        feed.put(deleted.revision or 0, name="Ada again")
        feed.delete(3)
        outcome = feed.put(1, name="of the first life")
        assert (outcome.outcome, outcome.code, feed.values()) == ("refused", "DELETED", None)

    @pytest.mark.parametrize("compaction", [False, True])
    def test_a_base_of_the_life_before_is_no_state_of_the_present_one(self, feed: Feed, compaction: bool) -> None:
        feed.put(name="Ada", email="a@x")
        deleted = feed.delete(1)
        if compaction:
            compacted(feed)
        feed.put(0 if compaction else deleted.revision or 0, name="New Person", email="n@x")
        outcome = feed.put(1, name="of the old life")
        assert (outcome.outcome, outcome.fields) == ("conflict", {"name": Sides("New Person", "of the old life")})
        gone = feed.delete(1)
        assert (gone.outcome, feed.values()) == ("conflict", {"name": "of the old life", "email": "n@x"})
        assert [(c.winner, c.deleted) for c in feed.conflicts()] == [("server", "client"), ("client", None)]

    def test_no_revision_is_given_out_again_after_a_compaction(self, feed: Feed) -> None:
        first = {feed.put(name="Ada").revision, feed.delete(1).revision}
        compacted(feed)
        assert feed.put(name="Ada").revision not in first

    @pytest.mark.parametrize("edited", [False, True])
    def test_a_base_that_a_restore_undid_never_overwrites_silently(self, feed: Feed, edited: bool) -> None:
        feed.put(name="Ada", phone="1")
        restored(feed, undone=1, gap=10)
        if edited:
            assert feed.put(1, phone="SERVER").outcome == "applied"
        outcome = feed.put(2, phone="CLIENT", email="a@x")
        assert (outcome.outcome, outcome.fields) == (
            "conflict",
            {"phone": Sides("SERVER" if edited else "1", "CLIENT"), "email": Sides(None, "a@x")},
        )
        assert feed.delete(2).outcome == "conflict"
        assert feed.values() == {"name": "Ada", "phone": "CLIENT", "email": "a@x"}

    def test_no_revision_of_before_a_restore_is_given_out_after_it(self, feed: Feed) -> None:
        feed.put(name="Ada")
        restored(feed, undone=5, gap=3)
        assert feed.put(1, name="Bo").revision == 10
        assert feed.put(10, name="Cy").outcome == "applied"

    def test_a_deletion_that_a_restore_undid_is_not_seen_alive_by_a_lost_base(self, feed: Feed) -> None:
        feed.put(name="Ada")
        restored(feed, undone=1, gap=3)
        feed.delete(1)
        outcome = feed.put(2, name="CLIENT")
        assert (outcome.outcome, outcome.code, feed.values()) == ("refused", "DELETED", None)

    def test_a_row_of_an_older_schema_keeps_its_revision_until_it_changes(self, feed: Feed) -> None:
        feed.put(name="Ada", email="a@x")
        for base in (1, 2):
            feed.put(base, phone=str(base))
        # As an older version counted: three revisions, and no position at which the record was born.
        feed.put(id="c2", name="Other")
        feed.database.write_now(lambda tx: tx.run("UPDATE records SET revision = 3, born = 0 WHERE id = 'c2'"))
        feed.database.write_now(
            lambda tx: tx.run("""UPDATE records SET fields = '{"*":1,"phone":3}' WHERE id = 'c2'""")
        )
        assert feed.push(feed.change("put", 3, id="c2", email="o@x"))[0] == PushOutcome("change5", "applied", 5)
        assert feed.push(feed.change("put", 1, id="c2", name="Later"))[0].outcome == "merged"
        assert feed.push(feed.change("put", 2, id="c2", email="p@x"))[0].outcome == "conflict"


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"kind": "unknown", "name": "Ada"}, "KIND_UNKNOWN"),
            ({"name": "Ada", "colour": "red"}, "INVALID"),
            ({"id": "a\nb", "name": "Ada"}, "INVALID"),
            ({"email": "a@x"}, "INVALID"),
            ({"kind": "secret", "name": "Ada"}, "FORBIDDEN"),
            ({"base": 3, "name": "Ada"}, "BASE_UNKNOWN"),
        ],
    )
    def test_a_wrong_edit_is_refused_with_its_code_and_leaves_nothing(
        self, feed: Feed, change: dict[str, Any], code: str
    ) -> None:
        outcome = feed.push(feed.change(**change))[0]
        assert (outcome.outcome, outcome.code) == ("refused", code)
        assert head_of(feed.database, feed.number) == 0

    def test_a_base_ahead_of_the_record_is_unknown(self, feed: Feed) -> None:
        feed.put(name="Ada")
        outcome = feed.put(2, name="Bo")
        assert (outcome.code, feed.values()) == ("BASE_UNKNOWN", {"name": "Ada"})

    def test_a_refused_edit_stops_no_other(self, feed: Feed) -> None:
        outcomes = feed.push(
            feed.change(name="Ada"), feed.change(id="c2", email="no name"), feed.change("put", 1, email="a@x")
        )
        assert [outcome.outcome for outcome in outcomes] == ["applied", "refused", "applied"]
        assert feed.values() == {"name": "Ada", "email": "a@x"}


class TestRepeated:
    def test_an_edit_that_comes_again_gets_its_first_answer(self, feed: Feed) -> None:
        change = feed.change(name="Ada")
        first = feed.push(change)
        feed.put(1, name="Bo")
        assert feed.push(change) == first
        assert feed.values() == {"name": "Bo"}

    def test_a_refusal_that_comes_again_stays_one(self, feed: Feed) -> None:
        change = feed.change("put", 1, name="Ada")
        assert feed.push(change)[0].code == "BASE_UNKNOWN"
        feed.put(name="Bo")
        assert feed.push(change)[0].code == "BASE_UNKNOWN"

    def test_the_same_change_id_with_another_edit_is_refused(self, feed: Feed) -> None:
        change = feed.change(name="Ada")
        feed.push(change)
        change.fields = {"name": "Bo"}
        assert feed.push(change)[0].code == "CHANGE_ID_REUSED"
        assert feed.values() == {"name": "Ada"}

    def test_the_same_change_id_of_another_device_is_another_edit(self, feed: Feed) -> None:
        change = feed.change(name="Ada")
        feed.push(change)
        change.fields, change.base_revision = {"name": "Bo"}, 1
        assert feed.push(change, device="tablet")[0].outcome == "applied"

    def test_an_answer_that_is_too_old_is_forgotten(self, feed: Feed) -> None:
        change = feed.change("put", 0, name="Ada")
        feed.push(change)
        feed.clock.advance(61)
        assert feed.push(change) == [PushOutcome(change.client_change_id, "merged", 1)]


class TestResolve:
    @pytest.fixture
    def conflict(self, feed: Feed) -> str:
        """Both named the card; the phone's name is in force."""
        feed.put(name="Ada", email="a@x")
        feed.put(1, device="tablet", name="tablet")
        outcome = feed.put(1, name="phone")
        assert outcome.conflict_id is not None
        return outcome.conflict_id

    def test_the_side_in_force_may_be_confirmed(self, feed: Feed, conflict: str) -> None:
        head = head_of(feed.database, feed.number)
        assert feed.resolve(conflict, "client").resolved_us == feed.clock.at_us
        assert head_of(feed.database, feed.number) == head
        assert (feed.conflicts(), len(feed.conflicts(resolved=True))) == ([], 1)

    def test_the_other_side_is_put_in_force_and_later_edits_of_other_fields_stay(
        self, feed: Feed, conflict: str
    ) -> None:
        feed.put(3, phone="1")
        assert feed.resolve(conflict, "server").winner == "server"
        assert feed.values() == {"name": "tablet", "email": "a@x", "phone": "1"}

    def test_the_same_choice_again_changes_nothing_and_another_is_refused(self, feed: Feed, conflict: str) -> None:
        first = feed.resolve(conflict, "server")
        feed.clock.advance(5)
        assert feed.resolve(conflict, "server") == first
        with pytest.raises(StateConflict):
            feed.resolve(conflict, "client")

    def test_an_unknown_conflict_is_not_found(self, feed: Feed) -> None:
        with pytest.raises(NotFound):
            feed.resolve("cfl_1", "client")

    def test_a_caller_that_may_not_write_such_records_may_not_decide(self, feed: Feed, conflict: str) -> None:
        reader = CALLER._replace(scopes=frozenset({"contacts:read", "sync"}))
        with pytest.raises(Forbidden) as failure:
            feed.resolve(conflict, "server", reader)
        assert failure.value.extra == {"missing": "contacts"}
        assert feed.values() == {"name": "phone", "email": "a@x"}

    def test_a_conflict_goes_with_its_record(self, feed: Feed, conflict: str) -> None:
        feed.delete(3)
        with pytest.raises(NotFound):
            feed.resolve(conflict, "client")

    def test_taking_the_side_that_deleted_deletes(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.put(1, device="tablet", name="Bo")
        conflict_id = feed.delete(1).conflict_id
        assert conflict_id is not None
        assert feed.resolve(conflict_id, "client").winner == "client"
        assert feed.values() is None

    def test_taking_the_side_that_edited_keeps_the_record(self, feed: Feed) -> None:
        feed.put(name="Ada")
        feed.put(1, device="tablet", name="Bo")
        conflict_id = feed.delete(1).conflict_id
        assert conflict_id is not None
        feed.resolve(conflict_id, "server")
        assert feed.values() == {"name": "Bo"}


def test_the_feed_of_an_unknown_organisation_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound):
        database.read_now(lambda tx: rules.feed_of(tx, "nobody"))

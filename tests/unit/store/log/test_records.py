from __future__ import annotations

import json

import pytest

from headwater.base.wire import encode
from headwater.store.database import Database
from headwater.store.log import records
from headwater.store.log.records import LostTombstone, Record
from tests.support.clock import MovableClock
from tests.support.store.transactions import KIND, bury, draft, ids_of, log_of, make_feed, put


@pytest.fixture
def feed(database: Database) -> int:
    return make_feed(database)


def found(database: Database, feed: int, id: str, kind: str = KIND) -> Record:
    record = database.read_now(lambda tx: records.find(tx, feed, kind, id))
    assert record is not None
    return record


def replace(database: Database, feed: int, id: str, changed: list[str], body: bytes = b'{"n":2}') -> Record:
    current = found(database, feed, id)
    return database.write_now(lambda tx: records.replace(tx, feed, KIND, current, draft(id, body), changed))


class TestSearchText:
    @pytest.mark.parametrize(
        ("terms", "text"),
        [
            ([], ""),
            (["ada"], "\nada"),
            (["ada", "byron"], "\nada\nbyron"),
            (["ada", "byron", "ada"], "\nada\nbyron"),
            (["", "ada", ""], "\nada"),
        ],
    )
    def test_each_term_comes_once_after_a_line_feed(self, terms: list[str], text: str) -> None:
        assert records.search_text(terms) == text


@pytest.mark.parametrize(("kind", "family"), [("cached_contact", "contact"), ("contact", "contact"), ("note", "note")])
def test_cached_contacts_take_their_numbers_with_the_contacts(kind: str, family: str) -> None:
    assert records.family(kind) == family


def test_kinds_of_one_family_never_share_a_number(database: Database, feed: int) -> None:
    for index, kind in enumerate(["contact", "cached_contact", "contact", "note"]):
        database.write_now(lambda tx, kind=kind, index=index: records.create(tx, feed, kind, draft(f"x{index}")))  # type: ignore[misc]
    numbers = [
        found(database, feed, f"x{index}", kind).number
        for index, kind in enumerate(["contact", "cached_contact", "contact"])
    ]
    assert numbers == [1, 2, 3]
    assert found(database, feed, "x3", "note").number == 1


class TestFieldRevisions:
    def test_every_field_of_a_new_record_has_its_first_revision(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        assert records.field_revisions(found(database, feed, "a")) == {"*": 1}

    def test_a_changed_field_has_the_revision_of_its_change_and_the_others_keep_theirs(
        self, database: Database, feed: int
    ) -> None:
        database.write_now(put(feed, "a"))
        replace(database, feed, "a", ["name"])
        replace(database, feed, "a", ["email"])
        replace(database, feed, "a", ["name", "phone"])
        assert records.field_revisions(found(database, feed, "a")) == {"*": 1, "name": 4, "email": 3, "phone": 4}

    def test_a_record_that_is_made_again_begins_anew(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        replace(database, feed, "a", ["name"])
        database.write_now(bury(feed, "a"))
        database.write_now(put(feed, "a"))
        record = found(database, feed, "a")
        assert records.field_revisions(record) == {"*": record.revision}

    def test_the_row_that_a_replacement_gives_is_the_one_that_is_stored(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        assert replace(database, feed, "a", ["n"]) == found(database, feed, "a")


class TestBodies:
    def test_a_body_is_that_of_the_present_revision(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a", b'{"n":1}'))
        replace(database, feed, "a", ["n"], b'{"n":2}')
        assert database.read_now(lambda tx: records.body(tx, feed, KIND, "a")) == (2, b'{"n":2}')

    def test_a_deleted_or_unknown_record_has_no_body(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        database.write_now(bury(feed, "a"))
        assert database.read_now(lambda tx: records.body(tx, feed, KIND, "a")) is None
        assert database.read_now(lambda tx: records.body(tx, feed, KIND, "b")) is None

    def test_the_bodies_of_those_that_live_are_found_by_id(self, database: Database, feed: int) -> None:
        for name in "abc":
            database.write_now(put(feed, name, encode({"name": name})))
        database.write_now(bury(feed, "b"))
        bodies = database.read_now(lambda tx: records.bodies_of(tx, feed, KIND, ["a", "b", "c", "d"]))
        assert bodies == {"a": b'{"name":"a"}', "c": b'{"name":"c"}'}
        assert database.read_now(lambda tx: records.bodies_of(tx, feed, KIND, [])) == {}

    @pytest.mark.sqlite_only
    def test_a_look_outside_any_transaction_sees_the_same_body(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        assert records.committed_body(database, feed, KIND, "a") == (1, b'{"n":1}')
        assert records.committed_body(database, feed, KIND, "b") is None


class TestFindMany:
    def test_rows_that_exist_or_existed_are_found(self, database: Database, feed: int) -> None:
        for name in "abc":
            database.write_now(put(feed, name))
        database.write_now(bury(feed, "b"))
        rows = database.read_now(lambda tx: records.find_many(tx, feed, KIND, ["a", "b", "z"]))
        assert {id: row.deleted for id, row in rows.items()} == {"a": 0, "b": 1}

    def test_a_feed_without_the_kind_finds_none(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        assert database.read_now(lambda tx: records.find_many(tx, feed, "note", ["a"])) == {}

    def test_more_ids_than_one_statement_takes_are_all_found(self, database: Database, feed: int) -> None:
        ids = [f"c{number}" for number in range(5_001)]
        database.write_now(lambda tx: records.put_many(tx, feed, KIND, [draft(id) for id in (ids[0], ids[-1])], {}))
        rows = database.read_now(lambda tx: records.find_many(tx, feed, KIND, ids))
        assert set(rows) == {ids[0], ids[-1]}


class TestPutMany:
    def test_nothing_to_write_writes_nothing(self, database: Database, feed: int) -> None:
        assert database.write_now(lambda tx: records.put_many(tx, feed, KIND, [], {})) == (0, 0)
        assert log_of(database, feed) == []

    def test_new_changed_and_deleted_records_are_written_and_counted(self, database: Database, feed: int) -> None:
        for name in "ab":
            database.write_now(put(feed, name))
        database.write_now(bury(feed, "b"))
        current = {id: found(database, feed, id) for id in "ab"}
        drafts = [draft(id, b'{"n":9}') for id in "abc"]
        counts = database.write_now(
            lambda tx: records.put_many(tx, feed, KIND, drafts, current, {"a": ["n"]}), feed=feed
        )
        assert counts == (2, 1)
        assert ids_of(database, feed) == set("abc")
        assert database.read_now(lambda tx: records.live_count(tx, feed, KIND)) == 3
        assert records.field_revisions(found(database, feed, "a")) == {"*": 1, "n": 4}
        after = {id: found(database, feed, id) for id in "abc"}
        assert after["a"].number == current["a"].number
        assert after["b"].number > current["b"].number
        assert [(after[id].revision, after[id].born) for id in "abc"] == [(4, 1), (5, 5), (6, 6)]

    def test_a_changed_record_without_named_fields_has_changed_whole(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        current = {"a": found(database, feed, "a")}
        database.write_now(lambda tx: records.put_many(tx, feed, KIND, [draft("a")], current))
        assert records.field_revisions(found(database, feed, "a")) == {"*": 2}


class TestResend:
    def test_records_come_again_with_a_new_revision_and_their_body_and_fields(
        self, database: Database, feed: int
    ) -> None:
        for name in "ab":
            database.write_now(put(feed, name, encode({"name": name})))
        replace(database, feed, "a", ["n"], b'{"name":"a"}')
        live = [(found(database, feed, id), encode({"name": id})) for id in "ab"]
        database.write_now(lambda tx: records.resend(tx, feed, KIND, live))
        assert log_of(database, feed) == [(4, "a", 0), (5, "b", 0)]
        assert database.read_now(lambda tx: records.body(tx, feed, KIND, "a")) == (4, b'{"name":"a"}')
        assert records.field_revisions(found(database, feed, "a")) == {"*": 1, "n": 3}
        assert found(database, feed, "a").updated_us == live[0][0].updated_us

    def test_sending_nothing_again_takes_no_position(self, database: Database, feed: int) -> None:
        database.write_now(lambda tx: records.resend(tx, feed, KIND, []))
        assert log_of(database, feed) == []


class TestDelete:
    def test_deleting_nothing_takes_no_position(self, database: Database, feed: int) -> None:
        assert database.write_now(lambda tx: records.delete_many(tx, feed, KIND, [])) == []
        assert log_of(database, feed) == []

    def test_several_are_deleted_as_one_after_the_other(
        self, database: Database, feed: int, clock: MovableClock
    ) -> None:
        for name in "abc":
            database.write_now(put(feed, name))
        clock.advance(5)
        rows = [found(database, feed, id) for id in "ca"]
        buried = database.write_now(lambda tx: records.delete_many(tx, feed, KIND, rows))
        assert [(row.id, row.position, row.revision, row.updated_us) for row in buried] == [
            ("c", 4, 4, clock.at_us),
            ("a", 5, 5, clock.at_us),
        ]
        assert buried == [found(database, feed, id) for id in "ca"]
        assert ids_of(database, feed) == {"b"}
        assert database.read_now(lambda tx: records.live_count(tx, feed, KIND)) == 1
        assert log_of(database, feed) == [(2, "b", 0), (4, "c", 1), (5, "a", 1)]

    def test_live_records_are_counted_over_all_feeds_by_kind(self, database: Database, feed: int) -> None:
        other = make_feed(database, "org:b")
        for at, name in [(feed, "a"), (feed, "b"), (other, "a")]:
            database.write_now(put(at, name))
        database.write_now(bury(feed, "a"))
        assert database.read_now(lambda tx: records.live_everywhere(tx, KIND)) == 2
        assert database.read_now(lambda tx: records.live_everywhere(tx, "note")) == 0


class TestBuryAgain:
    def wires(self, database: Database, feed: int) -> list[dict[str, object]]:
        rows = database.read_now(lambda tx: tx.rows("SELECT wire FROM changes WHERE feed = ? ORDER BY position", feed))
        return [json.loads(bytes(row[0])) for row in rows]

    def test_a_tombstone_that_was_compacted_away_is_sent_again_at_a_new_revision(
        self, database: Database, feed: int
    ) -> None:
        database.write_now(put(feed, "a"))
        database.write_now(bury(feed, "a"))
        row = found(database, feed, "a")
        database.write_now(lambda tx: tx.run("DELETE FROM changes WHERE feed = ?", feed))
        database.write_now(lambda tx: records.append_tombstones(tx, feed, [LostTombstone(KIND, "a", row.number)]))
        assert [(w["id"], w["op"], w["revision"], w["position"]) for w in self.wires(database, feed)] == [
            ("a", "delete", 3, 3)
        ]
        assert found(database, feed, "a") == row._replace(revision=3, position=3)

    def test_a_tombstone_of_a_record_that_left_no_row_has_its_position_as_revision(
        self, database: Database, feed: int
    ) -> None:
        database.write_now(
            lambda tx: records.append_tombstones(tx, feed, [LostTombstone(KIND, "a", 7), LostTombstone("note", "b", 8)])
        )
        assert [(w["kind"], w["id"], w["revision"]) for w in self.wires(database, feed)] == [
            (KIND, "a", 1),
            ("note", "b", 2),
        ]

    def test_a_tombstone_of_an_earlier_life_leaves_the_present_one_alone(self, database: Database, feed: int) -> None:
        database.write_now(put(feed, "a"))
        database.write_now(bury(feed, "a"))
        database.write_now(put(feed, "a"))
        row = found(database, feed, "a")
        database.write_now(lambda tx: records.append_tombstones(tx, feed, [LostTombstone(KIND, "a", row.number - 1)]))
        assert found(database, feed, "a") == row
        assert [(w["op"], w["revision"]) for w in self.wires(database, feed)][-1] == ("delete", 4)
        assert database.read_now(lambda tx: records.body(tx, feed, KIND, "a")) is not None


@pytest.mark.sqlite_only
def test_the_records_that_belong_to_one_are_found_by_their_index(database: Database) -> None:
    sql = "EXPLAIN QUERY PLAN " + records._LIVE_BY_PARENT
    found = database.read_now(lambda tx: tx.rows_in(sql, ["c-1"], 1, "note"))
    assert "USING INDEX records_by_parent (feed=? AND kind=? AND parent=?)" in found[0][3]

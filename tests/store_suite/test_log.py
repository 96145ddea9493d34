"""The log and the records: positions, freshest changes, tombstones, numbers, pages, and any text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from headwater.store.database import Database, Transaction
from headwater.store.log import changes, feeds, records
from tests.support.store.transactions import (
    KIND,
    bury,
    draft,
    failing,
    head_of,
    ids_of,
    log_of,
    make_feed,
    page_after,
    put,
    together,
)

ODD_TEXTS = [
    "plain",
    "Bjørn Ångström",
    "e\u0301 combining",
    "👩‍👩‍👧‍👦 family, \U0001d50a beyond the basic plane",
    "quotes ' \" ` ''",
    "back\\slash \\\\ \\n \\u0041",
    "percent % %s %% $1 ? :name {0} {}",
    "line\nfeed\ttab\rreturn",
    "ישראל العربية 中文 ไทย",
    "a" * 128,
    "' OR 1=1 --",
    '"},{"position":1,"body":null}',
    ',"body":',
    " leading and trailing ",
    "zero\u200bwidth \ufeff bom \u2028 separator",
]


def row_of(database: Database, feed: int, id: str) -> records.Record:
    row = database.read_now(lambda tx: records.find(tx, feed, KIND, id))
    assert row is not None
    return row


def test_positions_follow_one_another_in_each_feed_alone(database: Database) -> None:
    first, second = make_feed(database), make_feed(database, "org:b")
    found = [database.write_now(put(feed, f"c{n}"), feed=feed).position for n in range(5) for feed in (first, second)]
    assert found == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_changed_record_leaves_only_its_freshest_change_and_keeps_its_number(database: Database) -> None:
    feed = make_feed(database)
    for n in range(5):
        database.write_now(put(feed, "a", b'{"n":%d}' % n), feed=feed)
    database.write_now(put(feed, "b"), feed=feed)
    assert log_of(database, feed) == [(5, "a", 0), (6, "b", 0)]
    assert row_of(database, feed, "a")[1:4] == (1, 5, 5)
    assert database.read_now(lambda tx: records.body(tx, feed, KIND, "a")) == (5, b'{"n":4}')


def test_a_deletion_leaves_a_tombstone_without_content(database: Database) -> None:
    feed = make_feed(database)
    database.write_now(put(feed, "a", b'{"secret":"x"}'), feed=feed)
    row = database.write_now(bury(feed, "a"), feed=feed)
    assert (row.position, row.revision, row.deleted) == (2, 2, 1)
    assert log_of(database, feed) == [(2, "a", 1)]
    wire = json.loads(page_after(database, feed, 0).wires)
    assert (wire["op"], wire["body"], wire["revision"], wire["id"]) == ("delete", None, 2, "a")
    assert database.read_now(lambda tx: records.body(tx, feed, KIND, "a")) is None
    assert database.read_now(lambda tx: records.live_count(tx, feed, KIND)) == 0


def test_a_record_made_again_takes_a_new_number_and_its_tombstone_stays(database: Database) -> None:
    feed = make_feed(database)
    first = database.write_now(put(feed, "a"), feed=feed)
    database.write_now(bury(feed, "a"), feed=feed)
    again = database.write_now(put(feed, "a"), feed=feed)
    assert (first.number, again.number, again.revision) == (1, 2, 3)
    assert log_of(database, feed) == [(2, "a", 1), (3, "a", 0)]
    assert row_of(database, feed, "a").deleted == 0
    assert database.read_now(lambda tx: records.live_count(tx, feed, KIND)) == 1


def test_counters_are_raised_and_read_in_and_between_transactions(database: Database) -> None:
    feed = make_feed(database)

    def transaction(tx: Transaction) -> list[int]:
        return [tx.counter(feed, "n"), tx.bump(feed, "n", 5), tx.counter(feed, "n"), tx.bump(feed, "n", -2)]

    assert database.write_now(transaction, feed=feed) == [0, 5, 5, 3]
    assert database.write_now(transaction, feed=feed) == [3, 8, 8, 6]
    assert database.read_now(lambda tx: tx.counter(feed, "n")) == 6
    assert database.read_now(lambda tx: tx.counter(feed, "never")) == 0


def test_minted_integers_grow_and_never_come_twice(database: Database) -> None:
    found = [database.write_now(lambda tx: tx.mint("contact", 3), feed=n) for n in range(10)]
    flat = [number for group in found for number in group]
    assert flat == sorted(set(flat))
    assert len(flat) == 30
    assert database.write_now(lambda tx: tx.mint("sync")) == [1]


def test_minted_integers_never_come_twice_after_a_failure(database: Database) -> None:
    def fails(tx: Transaction) -> None:
        kept.extend(tx.mint("contact", 2))
        raise KeyError

    kept: list[int] = []
    first = database.write_now(lambda tx: tx.mint("contact"))
    with pytest.raises(KeyError):
        database.write_now(fails)
    second = database.write_now(lambda tx: tx.mint("contact"))
    assert first[0] < second[0]


def test_a_work_that_is_run_again_gets_the_same_minted_integers(database: Database) -> None:
    feed = make_feed(database)

    def transaction(tx: Transaction) -> int:
        number = tx.mint("contact")[0]
        put(feed, f"c{number}")(tx)
        return number

    # None of them names the feed, and one fails: each is run more than once.
    outcomes = together(database, [transaction, failing(transaction), transaction])
    assert outcomes[::2] == [1, 2]
    assert database.write_now(transaction) == 3


@pytest.mark.parametrize("count", [1, 31, 32, 33, 500])
def test_many_records_at_once_equal_one_after_the_other(database: Database, count: int) -> None:
    one, many = make_feed(database), make_feed(database, "org:b")
    rng = random.Random(count)
    for round_number in range(4):
        chosen = rng.sample(range(count * 2), count)
        drafts = [draft(f"c{n}", b'{"round":%d}' % round_number, parent="p" if n % 3 else None) for n in chosen]
        database.write_now(_one_by_one(one, drafts), feed=one)
        database.write_now(_all_at_once(many, drafts), feed=many)
        # Half of what was written is deleted again, so that the next round makes some anew.
        dead = [f"c{n}" for n in chosen[::2]]
        for feed in (one, many):
            database.write_now(_bury_all(feed, dead), feed=feed)
    assert _state(database, one) == _state(database, many)


def _one_by_one(feed: int, drafts: list[records.Draft]) -> Callable[[Transaction], None]:
    def transaction(tx: Transaction) -> None:
        # The new ones take their numbers in the order of the drafts, as a batch gives them.
        for one in drafts:
            current = records.find(tx, feed, KIND, one.id)
            if current is None or current.deleted:
                records.create(tx, feed, KIND, one, current)
            else:
                records.replace(tx, feed, KIND, current, one, [])

    return transaction


def _all_at_once(feed: int, drafts: list[records.Draft]) -> Callable[[Transaction], tuple[int, int]]:
    def transaction(tx: Transaction) -> tuple[int, int]:
        found = records.find_many(tx, feed, KIND, [one.id for one in drafts])
        return records.put_many(tx, feed, KIND, drafts, found)

    return transaction


def _bury_all(feed: int, ids: list[str]) -> Callable[[Transaction], None]:
    def transaction(tx: Transaction) -> None:
        found = records.find_many(tx, feed, KIND, ids)
        records.delete_many(tx, feed, KIND, [found[id] for id in ids])

    return transaction


def _state(database: Database, feed: int) -> list[Any]:
    """All that is known of a feed, without what tells its own number."""

    def transaction(tx: Transaction) -> list[Any]:
        return [
            tx.rows("SELECT position, kind, id, number, deleted, wire FROM changes WHERE feed = ? ORDER BY 1", feed),
            tx.rows(
                "SELECT id, number, revision, position, deleted, parent, search, created_us FROM records"
                " WHERE feed = ? ORDER BY id",
                feed,
            ),
            tx.rows("SELECT name, value FROM counters WHERE feed = ? ORDER BY name", feed),
        ]

    return database.read_now(transaction)


def test_a_page_holds_the_changes_behind_a_cursor_in_order(database: Database) -> None:
    feed = make_feed(database)
    database.write_now(_all_at_once(feed, [draft(f"c{n}", b'{"n":%d}' % n) for n in range(120)]), feed=feed)
    after, seen = 0, []
    while (page := page_after(database, feed, after, 50)).size:
        found = json.loads(b"[" + page.wires + b"]")
        assert len(found) == page.size
        assert found[-1]["position"] == page.last
        seen += [(one["position"], one["id"], one["body"]["n"]) for one in found]
        after = page.last
    assert seen == [(n + 1, f"c{n}", n) for n in range(120)]


def test_an_empty_page_has_no_size_no_last_and_no_bytes(database: Database) -> None:
    feed = make_feed(database)
    assert page_after(database, feed, 0) == (0, 0, b"")


def test_a_page_may_leave_tombstones_and_other_kinds_out(database: Database) -> None:
    feed = make_feed(database)
    for id in "abc":
        database.write_now(put(feed, id), feed=feed)
    database.write_now(bury(feed, "b"), feed=feed)
    database.write_now(lambda tx: records.create(tx, feed, "note", draft("n")), feed=feed)

    def ids(**which: Any) -> list[str]:
        page = database.read_now(lambda tx: changes.page(tx, feed, 0, feeds.head(tx, feed), 10, **which))
        return [one["id"] for one in json.loads(b"[" + page.wires + b"]")]

    assert ids() == ["a", "c", "b", "n"]
    assert ids(live_only=True) == ["a", "c", "n"]
    assert ids(kinds=["note"]) == ["n"]
    assert ids(kinds=["note", KIND], live_only=True) == ["a", "c", "n"]


def test_a_page_ends_at_the_position_that_the_reader_names(database: Database) -> None:
    feed = make_feed(database)
    for n in range(9):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    page = database.read_now(lambda tx: changes.page(tx, feed, 2, 6, 100))
    assert (page.size, page.last) == (4, 6)


@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
def test_any_text_comes_back_as_it_was(database: Database, text: str) -> None:
    feed = make_feed(database)
    body = json.dumps({"name": text}, ensure_ascii=False).encode()
    many = [draft(f"{text}{n}"[-128:], body, parent=text) for n in range(40)]
    database.write_now(lambda tx: records.create(tx, feed, KIND, draft(text, body, parent=text)), feed=feed)
    database.write_now(lambda tx: records.put_many(tx, feed, "note", many, {}), feed=feed)

    assert row_of(database, feed, text).parent == text
    found = database.read_now(lambda tx: records.find_many(tx, feed, "note", [one.id for one in many]))
    assert set(found) == {one.id for one in many}
    assert {row.parent for row in found.values()} == {text}
    assert json.loads(b"[" + page_after(database, feed, 0).wires + b"]")[0]["id"] == text
    assert database.read_now(lambda tx: records.body(tx, feed, KIND, text)) == (1, body)
    sql = "SELECT count(*) FROM records WHERE feed = ? AND instr(search, ?) > 0 AND kind = ?"
    assert database.read_now(lambda tx: tx.value(sql, feed, "\n" + text.lower(), KIND)) == 1


def test_texts_sort_by_their_bytes(database: Database) -> None:
    feed = make_feed(database)
    ids = ["b", "B", "a", "_", "é", "Z", "10", "9", "ä", "\U0001f600", "\uffee"]
    for id in ids:
        database.write_now(put(feed, id), feed=feed)
    sql = "SELECT id FROM records WHERE feed = ? ORDER BY id"
    found = [row[0] for row in database.read_now(lambda tx: tx.rows(sql, feed))]
    assert found == sorted(ids, key=str.encode)
    above = "SELECT id FROM records WHERE feed = ? AND id > ? ORDER BY id"
    assert [row[0] for row in database.read_now(lambda tx: tx.rows(above, feed, "_"))] == found[found.index("_") + 1 :]


def test_numbers_of_any_size_truth_values_and_nulls_are_kept(database: Database) -> None:
    feed = make_feed(database)
    numbers = [0, 1, -1, 2**15, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
    sql = "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)"
    database.write_now(lambda tx: tx.run_many(sql, [(feed, f"n{n}", value) for n, value in enumerate(numbers)]))
    database.write_now(lambda tx: tx.run(sql, feed, "true", True))
    values = database.read_now(
        lambda tx: [tx.value("SELECT value FROM counters WHERE name = ?", f"n{n}") for n in range(8)]
    )
    assert values == numbers
    total = database.read_now(lambda tx: tx.value("SELECT sum(value) FROM counters WHERE feed = ? AND value < 9", feed))
    assert (total, type(total)) == (sum(value for value in [*numbers, 1] if value < 9), int)
    assert database.read_now(lambda tx: tx.value("SELECT sum(value) FROM counters WHERE feed = -1")) is None


def test_a_run_gives_the_number_of_rows_it_changed(database: Database) -> None:
    feed = make_feed(database)
    sql = "INSERT INTO counters (feed, name, value) VALUES (?, ?, 1) ON CONFLICT (feed, name) DO NOTHING"

    def transaction(tx: Transaction) -> list[int]:
        return [
            tx.run(sql, feed, "a"),
            tx.run(sql, feed, "a"),
            tx.run(sql, feed, "b"),
            tx.run("UPDATE counters SET value = 2 WHERE feed = ? AND name <> 'head'", feed),
            tx.run("DELETE FROM counters WHERE feed = ? AND name = ?", feed, "none"),
        ]

    assert database.write_now(transaction, feed=feed) == [1, 0, 1, 2, 0]


def test_a_read_sees_one_snapshot(database: Database) -> None:
    feed = make_feed(database)
    count = "SELECT count(*) FROM records WHERE feed = ?"

    def transaction(tx: Transaction) -> list[Any]:
        before = tx.value(count, feed)
        database.write_now(put(feed, "a"), feed=feed)
        return [before, tx.value(count, feed), feeds.head(tx, feed)]

    assert database.read_now(transaction) == [0, 0, 0]
    assert ids_of(database, feed) == {"a"}
    assert head_of(database, feed) == 1


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        database.read_now(lambda tx: tx.run("INSERT INTO meta (name, value) VALUES (?, ?)", "a", b"b"))
    assert database.read_now(lambda tx: tx.rows("SELECT name FROM meta")) == []


def test_a_change_at_an_older_position_is_not_written(database: Database) -> None:
    feed = make_feed(database)
    together(database, [put(feed, id) for id in ("a", "b")], feed)
    before = log_of(database, feed)

    def late(tx: Transaction) -> None:
        position = changes.next_position(tx, feed, 2)
        changes.append(tx, feed, (position, KIND, "late", 1, 0, tx.now_us, b"{}"))

    with pytest.raises(AssertionError, match="newest position"):
        database.write_now(late, feed=feed)
    assert log_of(database, feed) == before


def test_no_position_is_given_for_no_change(database: Database) -> None:
    feed = make_feed(database)
    with pytest.raises(AssertionError, match="given once"):
        database.write_now(lambda tx: changes.next_position(tx, feed, 0), feed=feed)
    assert head_of(database, feed) == 0

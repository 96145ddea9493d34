"""Each rule of the check finds what breaks it, and a database that was only used by its doors breaks none."""

from __future__ import annotations

import pytest

from headwater.identity import organisations
from headwater.store import integrity
from headwater.store.database import Database, Transaction
from headwater.store.integrity import Finding
from headwater.store.log import feeds, records
from headwater.store.log.records import Draft


def draft(id: str, text: str = "x") -> Draft:
    return Draft(id, b'{"text":"%b"}' % text.encode(), "\nx", None, 1, 1)


@pytest.fixture
def feed(database: Database) -> int:
    """A feed with a record that was made, one that was changed, and one that was deleted."""

    def transaction(tx: Transaction) -> int:
        organisations.create(tx, "org_a")
        feed = organisations.feed_of(tx, "org_a")
        for id in ("made", "changed", "deleted"):
            records.create(tx, feed, "note", draft(id))
        changed = records.find(tx, feed, "note", "changed")
        deleted = records.find(tx, feed, "note", "deleted")
        assert changed is not None
        assert deleted is not None
        records.replace(tx, feed, "note", changed, draft("changed", "y"), ["text"])
        records.delete(tx, feed, "note", deleted)
        return feed

    return database.write_now(transaction)


def found(database: Database) -> list[Finding]:
    return database.read_now(lambda tx: list(integrity.check(tx)))


def test_what_the_store_wrote_agrees(database: Database, feed: int) -> None:
    assert feed > 0
    looked: list[int] = []
    assert database.read_now(lambda tx: list(integrity.check(tx, looked.append))) == []
    assert sum(looked) == database.read_now(integrity.changes_to_check) == 3


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        ("UPDATE counters SET value = value - 1 WHERE feed = ? AND name = 'head'", "head"),
        ("UPDATE counters SET value = value + 1 WHERE feed = ? AND name = 'head'", "head"),
        ("UPDATE counters SET value = value + 1 WHERE feed = ? AND name = 'live:note'", "live"),
        ("DELETE FROM counters WHERE feed = ? AND name = 'live:note'", "live"),
        ("UPDATE counters SET value = 2 WHERE feed = ? AND name = 'number:note'", "number"),
        ("DELETE FROM changes WHERE feed = ? AND position = 1", "record"),
        ("UPDATE records SET number = 77 WHERE feed = ? AND id = 'made'", "record"),
        ("UPDATE records SET deleted = 1 WHERE feed = ? AND id = 'made'", "record"),
        ("DELETE FROM records WHERE feed = ? AND id = 'made'", "change"),
        ("UPDATE changes SET wire = substr(wire, 2) WHERE feed = ? AND position = 1", "wire"),
        ("UPDATE changes SET position = 9 WHERE feed = ? AND position = 1", "wire"),
        ("UPDATE records SET revision = 9 WHERE feed = ? AND id = 'made'", "wire"),
        ("UPDATE feeds SET name = 'org:other' WHERE feed = ?", "feed"),
    ],
)
def test_each_kind_of_damage_is_found_under_its_rule(database: Database, feed: int, damage: str, rule: str) -> None:
    database.write_now(lambda tx: tx.run(damage, feed))
    assert rule in {finding.rule for finding in found(database)}


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        ("INSERT INTO counters (feed, name, value) VALUES (99, 'head', 1)", "counter"),
        ("INSERT INTO device_positions (feed, device, position, at_us) VALUES (99, 'dev_1', 5, 0)", "position"),
        ("INSERT INTO affiliations (feed, contact_id, place, chapter_id, joined_us) VALUES (1, 'c', 0, 'x', 0)",
         "affiliation"),
        ("INSERT INTO users (id, organisation, name, role, created_us) VALUES ('u', 'nobody', '', '', 0)", "user"),
        ("INSERT INTO tokens VALUES ('t', '\\x00', 'nobody', 'org_a', '', '', 0, NULL, NULL)", "token"),
    ],
)  # fmt: skip
def test_rows_whose_owner_is_missing_are_found(database: Database, feed: int, damage: str, rule: str) -> None:
    database.write_now(lambda tx: tx.run(damage))
    assert [finding.rule for finding in found(database)] == [rule]


def test_a_tombstone_that_was_forgotten_below_the_floor_is_no_damage(database: Database, feed: int) -> None:
    def forget(tx: Transaction) -> None:
        head = feeds.head(tx, feed)
        tx.run("DELETE FROM changes WHERE feed = ? AND deleted = 1", feed)
        feeds.raise_floor(tx, feed, head)

    database.write_now(forget)
    assert found(database) == []

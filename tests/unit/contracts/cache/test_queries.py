from __future__ import annotations

import msgspec
import pytest

from headwater.contracts.cache import queries
from headwater.contracts.cache.queries import CacheFilter, Sync
from headwater.store.database import Database
from headwater.store.log import records
from headwater.store.log.records import Draft
from tests.support.store.transactions import make_feed

PEOPLE = {
    "a": ("ada byron", "byron", "ada@example.org", "4790678901"),
    "b": ("bo lie", "lie", "bo@example.org", "4741234567"),
    "c": ("adam smith", "smith"),
    "d": ("50% off", "off"),
}


@pytest.fixture
def feed(database: Database) -> int:
    """A feed with four cached contacts, and two notes of the first."""
    feed = make_feed(database, "org:acme")

    def fill(tx: object) -> None:
        contacts = [
            Draft(id, b'{"id":"%b"}' % id.encode(), records.search_text(terms), None, 1, 1)
            for id, terms in PEOPLE.items()
        ]
        notes = [Draft(id, b'{"id":"%b"}' % id.encode(), "", parent, 1, 1) for id, parent in (("n1", "a"), ("n2", "b"))]
        records.put_many(tx, feed, "cached_contact", contacts, {})  # type: ignore[arg-type]
        records.put_many(tx, feed, "note", notes, {})  # type: ignore[arg-type]

    database.write_now(fill)
    return feed


def page(
    database: Database, feed: int, text: str = "", *, kind: str = "cached_contact", after: str = "", limit: int = 10,
    contact: str | None = None,
) -> tuple[list[str], str | None, bool]:  # fmt: skip
    wanted = CacheFilter(kind, after, limit, text, contact)
    bodies, last, more = database.read_now(lambda tx: queries.cached_page(tx, feed, wanted))
    return [row["id"] for row in msgspec.json.decode(b"[" + bodies + b"]")], last, more


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ["a", "b", "c", "d"]),
        ("ad", ["a", "c"]),
        ("ADA B", ["a"]),
        ("byr", ["a"]),
        ("yron", []),
        ("bo@ex", ["b"]),
        ("906 78", ["a"]),
        ("+47 41", ["b"]),
        ("004741", ["b"]),
        ("50%", ["d"]),
        ("%", []),
        ("_da", []),
        ("   ", ["a", "b", "c", "d"]),
    ],
)
def test_contacts_are_found_by_the_beginning_of_a_term(
    database: Database, feed: int, text: str, ids: list[str]
) -> None:
    assert page(database, feed, text) == (ids, ids[-1] if ids else None, False)


@pytest.mark.parametrize(("limit", "more"), [(1, True), (3, True), (4, False), (5, False)])
def test_a_page_says_whether_more_follow(database: Database, feed: int, limit: int, more: bool) -> None:
    ids, last, has_more = page(database, feed, limit=limit)
    assert ids == list("abcd")[:limit]
    assert (last, has_more) == (ids[-1], more)


def test_a_page_goes_on_after_an_id(database: Database, feed: int) -> None:
    assert page(database, feed, after="b") == (["c", "d"], "d", False)
    assert page(database, feed, after="d") == ([], None, False)


def test_notes_are_those_of_one_contact_or_of_all(database: Database, feed: int) -> None:
    assert page(database, feed, kind="note")[0] == ["n1", "n2"]
    assert page(database, feed, kind="note", contact="a")[0] == ["n1"]
    assert page(database, feed, kind="note", contact="z")[0] == []


def test_live_records_of_a_kind_are_read_whole(database: Database, feed: int) -> None:
    assert {row.id for row in database.read_now(lambda tx: queries.live(tx, feed, "note"))} == {"n1", "n2"}
    assert database.read_now(lambda tx: queries.live(tx, feed, "contact")) == []


class TestSyncs:
    def keep(self, database: Database, number: int, organisation: str = "acme", status: str = "success") -> Sync:
        sync = Sync(number, organisation, number, 0, status, 5, 6)
        database.write_now(lambda tx: queries.keep(tx, sync))
        return sync

    def test_a_record_is_read_as_it_was_kept_and_changes_in_place(self, database: Database) -> None:
        assert self.keep(database, 1) == database.read_now(lambda tx: queries.sync(tx, 1))
        changed = self.keep(database, 1, status="cleared")
        assert database.read_now(lambda tx: queries.sync(tx, 1)) == changed
        assert database.read_now(lambda tx: queries.sync(tx, 2)) is None

    def test_a_page_has_the_newest_first_of_one_organisation_or_of_all(self, database: Database) -> None:
        for number, organisation in [(1, "acme"), (2, "other"), (3, "acme")]:
            self.keep(database, number, organisation)

        def numbers(organisation: str | None, limit: int = 10, offset: int = 0) -> tuple[list[int], int]:
            found, total = database.read_now(lambda tx: queries.page(tx, organisation, limit, offset))
            return [sync.number for sync in found], total

        assert numbers(None) == ([3, 2, 1], 3)
        assert numbers("acme") == ([3, 1], 2)
        assert numbers(None, 1, 1) == ([2], 3)
        assert numbers("nobody") == ([], 0)

    def test_a_success_is_the_organisations_own_until_it_is_taken_back(self, database: Database) -> None:
        def last(organisation: str) -> tuple[int, int] | None:
            return database.read_now(lambda tx: queries.last_success(tx, organisation))

        database.write_now(lambda tx: queries.keep_success(tx, "acme", 3, 7))
        assert (last("acme"), last("other")) == ((3, 7), None)
        database.write_now(lambda tx: queries.keep_success(tx, "acme", None, None))
        assert last("acme") is None

"""The cursor of very many feeds: its length, its base, and what comes out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import CursorInvalid
from headwater.feed import cursor_bases, wide_cursor
from headwater.feed.cursor import CursorCodec, Place
from headwater.feed.cursor_bases import CursorBase, pack, unpack
from headwater.store.database import Database
from tests.support.clock import MovableClock

CODEC = CursorCodec(b"key", 1)
NUMBERS = st.integers(0, 2**62)
PLACES = st.dictionaries(NUMBERS, st.builds(Place, NUMBERS, NUMBERS), max_size=20)
THOUSANDS = {feed: Place(1_000_000 + feed) for feed in range(1, 10_001)}
DAY_US = cursor_bases.DAY_US


def based(base: dict[int, Place]) -> CursorBase:
    return cursor_bases.begin(base)


@given(PLACES)
def test_stored_places_come_out_as_they_were(places: dict[int, Place]) -> None:
    assert unpack(pack(places)) == places


def test_a_few_hundred_feeds_need_no_base_and_more_do() -> None:
    few = dict(list(THOUSANDS.items())[:400])
    text = wide_cursor.encode(CODEC, "acme", few, None)
    assert text is not None
    assert not wide_cursor.opens(text)
    assert CODEC.decode_many(text, "acme") == few
    assert wide_cursor.encode(CODEC, "acme", THOUSANDS, None) is None


@given(PLACES, st.sets(st.integers(1, 10_000), max_size=20))
def test_changes_of_a_base_come_out_as_the_readers_places(changed: dict[int, Place], dropped: set[int]) -> None:
    base = based(THOUSANDS)
    places = {feed: place for feed, place in THOUSANDS.items() if feed not in dropped} | changed
    text = wide_cursor.encode(CODEC, "acme", places, base)
    assert text is not None
    assert len(text) <= wide_cursor.MAX_LENGTH
    found = wide_cursor.decode(CODEC, "acme", text)
    assert found.base_id == base.id
    assert found.over(base) == places


def test_a_cursor_never_grows_beyond_its_length_whatever_differs() -> None:
    base = based(THOUSANDS)
    for moved in (0, 100, 200, 400, 800, 10_000):
        places = {feed: Place(place.position + 2**40 * (feed <= moved)) for feed, place in THOUSANDS.items()}
        text = wide_cursor.encode(CODEC, "acme", places, base)
        assert text is None or len(text) <= wide_cursor.MAX_LENGTH
        assert (text is not None) is (moved <= 200)
    none = wide_cursor.encode(CODEC, "acme", {}, base)
    assert none is not None
    assert CODEC.decode_many(none, "acme") == {}


def reason(text: str, owner: str = "acme", codec: CursorCodec = CODEC) -> str:
    with pytest.raises(CursorInvalid) as failure:
        wide_cursor.decode(codec, owner, text)
    return str(failure.value.extra["reason"])


def test_no_text_but_our_own_for_this_owner_is_accepted() -> None:
    text = wide_cursor.encode(CODEC, "acme", THOUSANDS, based(THOUSANDS))
    assert text is not None
    changed = text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]
    assert [reason("c3."), reason("c3.%%"), reason(changed)] == ["malformed", "malformed", "forged"]
    assert reason(text, "other") == "foreign"
    assert reason(text, codec=CursorCodec(b"other", 1)) == "forged"
    assert reason("c3." + CODEC.encode_many("acme", {1: Place(2)})[3:]) == "forged"


class TestStored:
    def put(self, database: Database, base: CursorBase, replaces: str | None = None) -> None:
        database.write_now(lambda tx: cursor_bases.put(tx, "acme", base, replaces))

    def find(self, database: Database, base: CursorBase) -> CursorBase | None:
        return database.read_now(lambda tx: cursor_bases.find(tx, base.id))

    def drop(self, database: Database) -> int:
        return database.write_now(lambda tx: cursor_bases.drop_expired(tx, 90 * DAY_US))

    def test_a_base_is_found_as_it_was_stored(self, database: Database) -> None:
        base = based(THOUSANDS)
        assert self.find(database, base) is None
        self.put(database, base)
        self.put(database, base)
        assert self.find(database, base) == base

    def test_a_base_goes_a_day_after_the_next_one_was_sent_back_and_not_before(
        self, database: Database, clock: MovableClock
    ) -> None:
        old, new = based(THOUSANDS), based(THOUSANDS)
        self.put(database, old)
        self.put(database, new, old.id)
        clock.advance(30 * DAY_US // 1_000_000)
        assert self.drop(database) == 0
        found = self.find(database, new)
        assert found is not None
        assert found.due
        database.write_now(lambda tx: cursor_bases.note_use(tx, new.id))
        found = self.find(database, new)
        assert found is not None
        assert not found.due
        assert self.drop(database) == 0
        clock.advance(DAY_US // 1_000_000 + 1)
        assert self.drop(database) == 1
        assert (self.find(database, old), self.find(database, new) is not None) == (None, True)

    def test_a_base_that_is_used_stays_and_one_that_is_not_goes_with_the_log(
        self, database: Database, clock: MovableClock
    ) -> None:
        used, unused = based(THOUSANDS), based(THOUSANDS)
        self.put(database, used)
        self.put(database, unused)
        clock.advance(60 * DAY_US // 1_000_000)
        database.write_now(lambda tx: cursor_bases.note_use(tx, used.id))
        clock.advance(60 * DAY_US // 1_000_000)
        assert self.drop(database) == 1
        assert (self.find(database, used) is not None, self.find(database, unused)) == (True, None)

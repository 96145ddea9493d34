from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.base.errors import CursorInvalid, NotFound
from headwater.contracts.files.changes import all_shares, rules, snapshot
from headwater.contracts.files.changes.rules import INLINE_CHANGES, ChangesPage, ChangesQuery
from headwater.feed.cursor import CursorCodec, Place
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.log import feeds
from tests.support.file_share import Device, FileShare

CODEC = CursorCodec(b"k" * 32, 7)
ADMIN = Principal("tok_1", "usr_1", "default", Role.GLOBAL_ADMIN, frozenset())


def read(share: FileShare, cursor: str | None, limit: int = 100, *, everything: bool = False) -> ChangesPage:
    asked = ChangesQuery(None if everything else share.id, cursor, limit)
    read_page = all_shares.read if everything else rules.read
    page = share.read(lambda tx: read_page(tx, CODEC, ADMIN, asked))
    assert isinstance(page, ChangesPage)
    return page


def told(page: ChangesPage) -> list[tuple[str, str | None]]:
    """The kinds and new paths of a page's changes."""
    found: list[dict[str, Any]] = json.loads(b"[" + page.wires + b"]")
    assert len(found) == page.size
    return [(change["change_type"], change["new_path"]) for change in found]


def refused(share: FileShare, cursor: str, *, everything: bool = False) -> dict[str, Any]:
    with pytest.raises(CursorInvalid) as failure:
        read(share, cursor, everything=everything)
    return failure.value.extra


@pytest.fixture
def filled(share: FileShare, laptop: Device) -> FileShare:
    """A share with a folder and two files: the positions 1 to 3."""
    laptop.folder("/Box")
    laptop.put("/Box/a.txt", b"a")
    laptop.put("/b.txt", b"b")
    return share


class TestPlace:
    def place(self, share: FileShare, text: str | None) -> Place:
        found: Place = share.read(lambda tx: rules.place_of(tx, CODEC, share.feed, text))
        return found

    def test_no_cursor_is_from_now_on_and_zero_is_the_whole_tree(self, filled: FileShare) -> None:
        assert self.place(filled, None) == Place(3)
        assert self.place(filled, "0") == self.place(filled, "000") == Place(0, 3)

    @pytest.mark.parametrize("position", [1, 2, 3])
    def test_a_position_and_its_cursor_are_the_same_place(self, filled: FileShare, position: int) -> None:
        cursor = CODEC.encode(filled.feed, Place(position))
        assert self.place(filled, str(position)) == self.place(filled, cursor) == Place(position)

    @pytest.mark.parametrize("text", ["4", "9" * 30])
    @pytest.mark.sqlite_only
    def test_a_position_ahead_of_the_log_is_refused(self, filled: FileShare, text: str) -> None:
        assert refused(filled, text)["reason"] == "ahead"

    @pytest.mark.parametrize("text", ["", "-1", "1.0", "9" * 31, "\u0661", "c1.x", "abc"])
    @pytest.mark.sqlite_only
    def test_a_text_that_is_neither_is_malformed(self, filled: FileShare, text: str) -> None:
        assert refused(filled, text)["reason"] == "malformed"

    @pytest.mark.sqlite_only
    def test_a_cursor_of_another_share_is_refused(self, filled: FileShare) -> None:
        assert refused(filled, CODEC.encode(filled.feed + 1, Place(1)))["reason"] == "foreign"

    @pytest.mark.sqlite_only
    def test_a_cursor_of_another_server_is_refused(self, filled: FileShare) -> None:
        assert refused(filled, CursorCodec(b"o" * 32, 7).encode(filled.feed, Place(1)))["reason"] == "forged"

    @pytest.mark.parametrize(
        ("floor", "text", "good"), [(2, "1", False), (2, "2", True), (3, "2", False), (3, "3", True)]
    )
    def test_a_place_below_the_floor_has_expired_and_names_where_to_begin(
        self, filled: FileShare, floor: int, text: str, good: bool
    ) -> None:
        filled.server.database.write_now(lambda tx: feeds.raise_floor(tx, filled.feed, floor))
        if good:
            assert self.place(filled, text) == Place(int(text))
        else:
            extra = refused(filled, text)
            assert extra["reason"] == "expired"
            assert CODEC.decode(extra["cursor"], filled.feed) == Place(0, 3)

    def test_a_cursor_of_an_earlier_life_names_where_to_begin(self, filled: FileShare) -> None:
        extra = refused(filled, CursorCodec(b"k" * 32, 6).encode(filled.feed, Place(2)))
        assert (extra["reason"], CODEC.decode(extra["cursor"], filled.feed)) == ("restored", Place(0, 3))


class TestShare:
    def test_changes_come_from_a_position_on(self, filled: FileShare) -> None:
        page = read(filled, "1")
        assert told(page) == [("created", "/Box/a.txt"), ("created", "/b.txt")]
        assert (page.has_more, page.feeds) == (False, (filled.feed,))
        assert CODEC.decode(page.cursor, filled.feed) == Place(3)

    def test_at_the_head_there_is_nothing(self, filled: FileShare) -> None:
        page = read(filled, "3")
        assert (page.wires, page.size, page.has_more) == (b"", 0, False)

    @pytest.mark.parametrize("limit", [1, 2, 3])
    @pytest.mark.parametrize("start", ["0", "1"])
    def test_pages_of_any_length_give_each_change_once(self, filled: FileShare, limit: int, start: str) -> None:
        whole, found, cursor, more = told(read(filled, start)), [], start, True
        while more:
            page = read(filled, cursor, limit)
            found += told(page)
            cursor, more = page.cursor, page.has_more
        assert found == whole

    def test_an_unknown_share_is_not_found(self, share: FileShare) -> None:
        with pytest.raises(NotFound):
            share.read(lambda tx: rules.read(tx, CODEC, ADMIN, ChangesQuery("shr_0", None, 10)))


class TestQuick:
    def quick(self, share: FileShare, cursor: str, limit: int, share_id: str | None) -> ChangesPage | None:
        asked = ChangesQuery(share_id, cursor, limit)
        read_page = all_shares.read if asked.share_id is None else rules.read
        found: ChangesPage | None = share.read(lambda tx: read_page(tx, CODEC, ADMIN, asked, quick=True))
        return found

    @pytest.mark.parametrize("limit", [INLINE_CHANGES, INLINE_CHANGES + 1])
    @pytest.mark.sqlite_only
    def test_a_tree_that_may_be_long_is_not_read_quickly(self, filled: FileShare, limit: int) -> None:
        assert (self.quick(filled, "0", limit, filled.id) is None) is (limit > INLINE_CHANGES)
        assert (self.quick(filled, "0", limit, None) is None) is (limit > INLINE_CHANGES)

    def test_few_changes_are_read_quickly_whatever_the_limit(self, filled: FileShare) -> None:
        page = self.quick(filled, "1", 10 * INLINE_CHANGES, filled.id)
        assert page is not None
        assert page.size == 2


class TestEveryShare:
    @pytest.fixture
    def other(self, filled: FileShare) -> FileShare:
        other = FileShare(filled.server)
        other.device("tablet").put("/c.txt", b"c")
        return other

    def all(self, share: FileShare, cursor: str | None, limit: int = 100) -> ChangesPage:
        return read(share, cursor, limit, everything=True)

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
    def test_zero_brings_the_trees_of_all_shares_page_by_page(
        self, filled: FileShare, other: FileShare, limit: int
    ) -> None:
        found: list[Any] = []
        cursor, more = "0", True
        while more:
            page = self.all(filled, cursor, limit)
            found += told(page)
            cursor, more = page.cursor, page.has_more
        assert sorted(found) == [("created", path) for path in ("/Box", "/Box/a.txt", "/b.txt", "/c.txt")]
        assert self.all(filled, cursor).size == 0

    def test_no_cursor_is_from_now_on_in_all_of_them(self, filled: FileShare, other: FileShare) -> None:
        page = self.all(filled, None)
        assert (page.size, page.has_more, set(page.feeds)) == (0, False, {filled.feed, other.feed})
        other.device("tablet").put("/d.txt", b"d")
        assert told(self.all(filled, page.cursor)) == [("created", "/d.txt")]

    def test_a_share_that_the_cursor_does_not_know_yet_comes_whole(self, filled: FileShare) -> None:
        cursor = self.all(filled, None).cursor
        FileShare(filled.server).device("tablet").put("/new.txt", b"n")
        assert told(self.all(filled, cursor)) == [("created", "/new.txt")]

    def test_the_cursor_of_one_share_is_refused_with_advice(self, filled: FileShare) -> None:
        extra = refused(filled, CODEC.encode(filled.feed, Place(1)), everything=True)
        assert extra["reason"] == "foreign"

    @pytest.mark.sqlite_only
    def test_a_bare_position_means_nothing_for_many_shares(self, filled: FileShare) -> None:
        assert refused(filled, "1", everything=True)["reason"] == "malformed"

    def test_a_cursor_of_another_organisation_is_refused(self, filled: FileShare) -> None:
        assert refused(filled, CODEC.encode_many("acme", {}), everything=True)["reason"] == "foreign"

    def test_a_place_ahead_of_one_log_is_refused(self, filled: FileShare) -> None:
        cursor = CODEC.encode_many("default", {filled.feed: Place(4)})
        assert refused(filled, cursor, everything=True)["reason"] == "ahead"

    def test_where_one_log_expired_that_share_begins_anew_and_the_others_go_on(
        self, filled: FileShare, other: FileShare
    ) -> None:
        filled.server.database.write_now(lambda tx: feeds.raise_floor(tx, filled.feed, 3))
        cursor = CODEC.encode_many("default", {filled.feed: Place(2), other.feed: Place(1)})
        extra = refused(filled, cursor, everything=True)
        assert extra["reason"] == "expired"
        fresh = CODEC.decode_many(extra["cursor"], "default")
        assert fresh == {filled.feed: Place(0, 3), other.feed: Place(1)}

    def test_a_cursor_of_an_earlier_life_begins_all_anew(self, filled: FileShare) -> None:
        old = CursorCodec(b"k" * 32, 6).encode_many("default", {filled.feed: Place(2)})
        extra = refused(filled, old, everything=True)
        assert extra["reason"] == "restored"
        assert CODEC.decode_many(extra["cursor"], "default") == {filled.feed: Place(0, 3)}


def test_the_tree_of_an_empty_log_begins_at_its_beginning(share: FileShare) -> None:
    assert share.read(lambda tx: snapshot.begin(tx, share.feed)) == Place(0, 0)
    page = read(share, "0")
    assert (page.size, page.has_more) == (0, False)

from __future__ import annotations

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import NotFound
from headwater.store.database import Database, Transaction
from headwater.store.log import lost
from headwater.store.log.lost import LostNumbers
from headwater.store.tree import versions
from headwater.store.tree.versions import BYTES, Piece, Staging, Version
from tests.support.clock import SECOND_US, MovableClock
from tests.support.store.transactions import make_feed

DAY_US = 86_400 * SECOND_US
CONTENTS = (b"one", b"two", b"three")


def piece(content: bytes) -> Piece:
    return Piece(blake3(content).digest(), len(content))


PIECES = [piece(content) for content in CONTENTS]


@pytest.fixture
def feed(database: Database) -> int:
    return make_feed(database, "share:a", history=True)


def stage(
    database: Database, feed: int, pieces: list[Piece] = PIECES, *, sha256: str | None = None, days: int = 1
) -> Version:
    def transaction(tx: object) -> Version:
        expires_us = tx.now_us + days * DAY_US  # type: ignore[attr-defined]
        staging = Staging(feed, "acme", "usr_1", "laptop", "text/plain", 5, sha256, expires_us)
        return versions.stage(tx, staging, pieces)  # type: ignore[arg-type]

    return database.write_now(transaction)


def keep(database: Database, feed: int, version: Version, node: str = "fil_1", modified_us: int = 7) -> Version:
    return database.write_now(lambda tx: versions.keep(tx, feed, version, node, modified_us), feed=feed)


def found(database: Database, feed: int, id: str) -> Version | None:
    return database.read_now(lambda tx: versions.find(tx, feed, id))


def pieces_of(database: Database, feed: int, id: str, first: int = 0, limit: int | None = None) -> list[Piece]:
    return database.read_now(lambda tx: versions.pieces(tx, feed, id, first, limit))


def counted_bytes(database: Database, feed: int) -> int:
    return database.read_now(lambda tx: tx.counter(feed, BYTES))


class TestContentHash:
    def test_a_content_of_one_chunk_is_named_by_it(self) -> None:
        name = versions.content_hash([piece(b"one")])
        assert name == "b3:" + blake3(b"one").hexdigest()
        assert versions.only_chunk(name) == blake3(b"one").digest()

    @pytest.mark.parametrize("pieces", [[], PIECES, PIECES[:2]], ids=["none", "three", "two"])
    def test_a_content_of_none_or_several_has_no_only_chunk(self, pieces: list[Piece]) -> None:
        name = versions.content_hash(pieces)
        assert name.startswith("m3:")
        assert versions.only_chunk(name) is None

    @given(st.lists(st.sampled_from(CONTENTS), max_size=4), st.lists(st.sampled_from(CONTENTS), max_size=4))
    def test_only_equal_pieces_have_equal_names(self, one: list[bytes], other: list[bytes]) -> None:
        names = [versions.content_hash([piece(content) for content in contents]) for contents in (one, other)]
        assert (names[0] == names[1]) == (one == other)


class TestIsSame:
    def version(self, content_hash: str, sha256: str | None, size_bytes: int = 3) -> Version:
        return Version("ver_1", None, 0, "staged", size_bytes, content_hash, sha256, "", 0, 0, "", "", None)

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            (("b3:aa", None), ("b3:aa", None), True),
            (("b3:aa", "s1"), ("b3:aa", "s2"), True),
            (("b3:aa", "s1"), ("m3:bb", "s1"), True),
            (("b3:aa", "s1", 3), ("m3:bb", "s1", 4), False),
            (("b3:aa", None), ("m3:bb", None), False),
            (("b3:aa", "s1"), ("m3:bb", None), False),
            (("b3:aa", "s1"), ("m3:bb", "s2"), False),
        ],
    )
    def test_contents_are_the_same_by_their_chunks_or_by_checksum_and_size(
        self, one: tuple[str, str | None], other: tuple[str, str | None], same: bool
    ) -> None:
        first, second = self.version(*one), self.version(*other)
        assert versions.is_same(first, second) is same
        assert versions.is_same(second, first) is same


class TestStage:
    def test_a_staged_version_is_stored_with_its_chunks_in_order(
        self, database: Database, feed: int, clock: MovableClock
    ) -> None:
        version = stage(database, feed, sha256="ab" * 32)
        assert found(database, feed, version.id) == version
        assert (version.state, version.node, version.number) == ("staged", None, 0)
        assert version.size_bytes == sum(map(len, CONTENTS))
        assert version.expires_us == clock.at_us + DAY_US
        assert pieces_of(database, feed, version.id) == PIECES

    def test_an_empty_content_is_a_version_without_chunks(self, database: Database, feed: int) -> None:
        version = stage(database, feed, [])
        assert version.size_bytes == 0
        assert pieces_of(database, feed, version.id) == []

    def test_a_version_of_another_share_is_not_found(self, database: Database, feed: int) -> None:
        version = stage(database, feed)
        assert found(database, make_feed(database, "share:b", history=True), version.id) is None

    def test_staged_bytes_are_not_counted(self, database: Database, feed: int) -> None:
        stage(database, feed)
        assert counted_bytes(database, feed) == 0

    @pytest.mark.parametrize(
        ("first", "limit", "places"),
        [(0, None, [0, 1, 2]), (1, None, [1, 2]), (0, 1, [0]), (1, 1, [1]), (2, 5, [2]), (3, 1, []), (0, 0, [])],
    )
    def test_a_part_of_the_chunks_is_read(
        self, database: Database, feed: int, first: int, limit: int | None, places: list[int]
    ) -> None:
        version = stage(database, feed)
        assert pieces_of(database, feed, version.id, first, limit) == [PIECES[place] for place in places]


class TestKeep:
    def test_a_kept_version_is_in_its_files_history_for_good(self, database: Database, feed: int) -> None:
        kept = keep(database, feed, stage(database, feed))
        assert (kept.state, kept.node, kept.number, kept.modified_us, kept.expires_us) == ("kept", "fil_1", 1, 7, None)
        assert found(database, feed, kept.id) == kept
        assert counted_bytes(database, feed) == kept.size_bytes

    def test_each_file_numbers_its_own_versions(self, database: Database, feed: int) -> None:
        numbers = [keep(database, feed, stage(database, feed), node).number for node in ("a", "a", "b", "a")]
        assert numbers == [1, 2, 1, 3]

    def test_after_a_restore_a_file_of_before_continues_above_what_may_have_been_given_out(
        self, database: Database, feed: int
    ) -> None:
        def node(id: str, number: int) -> None:
            database.write_now(
                lambda tx: tx.run(
                    "INSERT INTO nodes (feed, id, number, type, parent, name, name_key, position, created_us,"
                    " updated_us, placed_us) VALUES (?, ?, ?, 'file', '', ?, ?, 1, 1, 1, 1)",
                    feed, id, number, id, id,
                )
            )  # fmt: skip

        def next_number(id: str) -> int:
            return keep(database, feed, stage(database, feed), id).number

        def restored(tx: Transaction) -> None:
            lost.lose_numbers(tx, feed, "node", LostNumbers(2, 3, 5))
            tx.bump(feed, versions.RESTORED_UPTO, 40)

        node("fil_old", 1)
        assert [next_number("fil_old") for _ in range(2)] == [1, 2]
        database.write_now(restored, feed=feed)
        node("fil_new", 6)
        assert [next_number("fil_old") for _ in range(3)] == [41, 42, 43]
        assert [next_number("fil_new") for _ in range(3)] == [1, 2, 3]

    def test_a_kept_version_that_is_kept_again_is_not_counted_twice(self, database: Database, feed: int) -> None:
        kept = keep(database, feed, stage(database, feed))
        again = keep(database, feed, kept)
        assert again.node == "fil_1"
        assert counted_bytes(database, feed) == kept.size_bytes

    def test_a_version_that_expired_meanwhile_cannot_be_kept(
        self, database: Database, feed: int, clock: MovableClock
    ) -> None:
        version = stage(database, feed)
        clock.advance(86_400)
        database.write_now(versions.drop_expired)
        with pytest.raises(NotFound):
            keep(database, feed, version)
        assert counted_bytes(database, feed) == 0

    def test_history_has_the_newest_first_and_goes_on_below_a_number(self, database: Database, feed: int) -> None:
        kept = [keep(database, feed, stage(database, feed)) for _ in range(4)]
        newest = kept[::-1]
        assert database.read_now(lambda tx: versions.history(tx, feed, "fil_1", 2**31, 2)) == newest[:2]
        assert database.read_now(lambda tx: versions.history(tx, feed, "fil_1", 3, 10)) == newest[2:]
        assert database.read_now(lambda tx: versions.history(tx, feed, "fil_2", 3, 10)) == []

    def test_a_version_is_found_by_its_files_number(self, database: Database, feed: int) -> None:
        kept = keep(database, feed, stage(database, feed))
        assert database.read_now(lambda tx: versions.find_number(tx, feed, "fil_1", 1)) == kept
        assert database.read_now(lambda tx: versions.find_number(tx, feed, "fil_1", 2)) is None
        assert database.read_now(lambda tx: versions.find_number(tx, feed, "fil_2", 1)) is None


class TestHold:
    def hold(self, database: Database, feed: int, id: str) -> None:
        database.write_now(lambda tx: versions.hold(tx, feed, id), feed=feed)

    def test_a_held_version_does_not_expire_and_is_counted(
        self, database: Database, feed: int, clock: MovableClock
    ) -> None:
        version = stage(database, feed)
        self.hold(database, feed, version.id)
        clock.advance(10 * 86_400)
        database.write_now(versions.drop_expired)
        held = found(database, feed, version.id)
        assert held is not None
        assert (held.state, held.expires_us) == ("held", None)
        assert counted_bytes(database, feed) == version.size_bytes

    def test_holding_again_counts_no_second_time(self, database: Database, feed: int) -> None:
        version = stage(database, feed)
        self.hold(database, feed, version.id)
        self.hold(database, feed, version.id)
        assert counted_bytes(database, feed) == version.size_bytes

    def test_a_held_version_that_is_kept_counts_once(self, database: Database, feed: int) -> None:
        version = stage(database, feed)
        self.hold(database, feed, version.id)
        held = found(database, feed, version.id)
        assert held is not None
        keep(database, feed, held)
        assert counted_bytes(database, feed) == version.size_bytes

    def test_a_kept_version_stays_kept(self, database: Database, feed: int) -> None:
        kept = keep(database, feed, stage(database, feed))
        self.hold(database, feed, kept.id)
        assert found(database, feed, kept.id) == kept


class TestTakeOver:
    def take_over(self, database: Database, feed: int, id: str, like: Version) -> None:
        database.write_now(lambda tx: versions.take_over(tx, feed, id, like))

    def test_a_staged_version_gets_the_others_chunks_and_name(self, database: Database, feed: int) -> None:
        like = keep(database, feed, stage(database, feed))
        version = stage(database, feed, [piece(b"onetwothree")])
        self.take_over(database, feed, version.id, like)
        assert found(database, feed, version.id) == version._replace(content_hash=like.content_hash)
        assert pieces_of(database, feed, version.id) == pieces_of(database, feed, like.id) == PIECES

    def test_a_version_that_is_kept_already_keeps_its_own_chunks(self, database: Database, feed: int) -> None:
        like = keep(database, feed, stage(database, feed))
        kept = keep(database, feed, stage(database, feed, [piece(b"onetwothree")]))
        self.take_over(database, feed, kept.id, like)
        assert found(database, feed, kept.id) == kept
        assert pieces_of(database, feed, kept.id) == [piece(b"onetwothree")]


class TestExpiry:
    def test_a_staged_version_goes_with_its_chunks_at_its_instant(
        self, database: Database, feed: int, clock: MovableClock
    ) -> None:
        version = stage(database, feed)
        clock.at_us += DAY_US - 1
        assert database.write_now(versions.drop_expired) == 0
        clock.at_us += 1
        assert database.write_now(versions.drop_expired) == 1
        assert found(database, feed, version.id) is None
        assert pieces_of(database, feed, version.id) == []

    def test_only_what_is_due_goes(self, database: Database, feed: int, clock: MovableClock) -> None:
        due, later, kept = (
            stage(database, feed),
            stage(database, feed, days=3),
            keep(database, feed, stage(database, feed)),
        )
        clock.advance(2 * 86_400)
        assert database.write_now(versions.drop_expired) == 1
        assert [found(database, feed, version.id) is not None for version in (due, later, kept)] == [False, True, True]

    def test_at_most_so_many_go_at_once(self, database: Database, feed: int, clock: MovableClock) -> None:
        for _ in range(5):
            stage(database, feed)
        clock.advance(86_400)
        assert [database.write_now(lambda tx: versions.drop_expired(tx, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_changes_metadata_describes_the_version(database: Database, feed: int) -> None:
    kept = keep(database, feed, stage(database, feed, sha256="ab" * 32), modified_us=1_774_524_300_123_456)
    assert versions.details(kept) == {
        "size": 11,
        "mime_type": "text/plain",
        "checksum_sha256": "ab" * 32,
        "content_hash": kept.content_hash,
        "modified_at": "2026-03-26T11:25:00Z",
        "version_number": 1,
    }

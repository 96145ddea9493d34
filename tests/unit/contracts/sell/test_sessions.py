"""Sessions as rows: what a page takes, what is left, whose a session is, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pyroaring import BitMap64

from headwater.base.errors import NotFound, TooManyRequests
from headwater.contracts.sell import sessions
from headwater.contracts.sell.sessions import DeviceKey, PageToShow, SessionIds, SessionLimits, SessionQueue
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds, records
from headwater.store.log.records import Draft
from tests.support.clock import MovableClock
from tests.support.store.transactions import make_feed

KEY, LIMITS = b"k" * 32, SessionLimits(per_account=3, idle_seconds=600)
PHONE, TABLET = DeviceKey(1, "phone", "usr_1"), DeviceKey(1, "tablet", "usr_1")


def queue_of(positions: list[int], **numbers: list[int]) -> SessionQueue:
    return SessionQueue(BitMap64(positions), {name: BitMap64(found) for name, found in numbers.items()})


class TestQueue:
    @pytest.mark.parametrize(
        "queue",
        [
            queue_of([]),
            queue_of([1], contact=[1]),
            queue_of([2, 3, 70_000, 2**40], contact=[1, 2**33], note=[5, 6]),
            queue_of(list(range(1, 5_000)), contact=list(range(1, 5_000)), note=[]),
        ],
    )
    def test_a_queue_is_read_as_it_was_stored(self, queue: SessionQueue) -> None:
        again = SessionQueue.from_bytes(queue.to_bytes())
        assert again == queue
        assert again.count == queue.count

    def test_a_queue_of_a_first_sync_takes_little_room_at_any_length(self) -> None:
        whole = list(range(1, 200_001))
        assert len(queue_of(whole, contact=whole).to_bytes()) < 2_000

    def test_what_was_taken_out_leaves_the_given_queue_as_it_was(self) -> None:
        queue = queue_of([1, 2, 3], contact=[1, 2], note=[1])
        less = queue.without([("contact", 2), ("deal", 9), ("note", 7)]).after(1)
        assert (less.count, list(less.positions)) == (2, [2, 3])
        assert (queue.count, list(queue.positions)) == (3, [1, 2, 3])


class TestIds:
    @pytest.fixture
    def ids(self) -> SessionIds:
        return SessionIds(KEY)

    def test_an_id_is_known_by_every_process_with_the_key(self, ids: SessionIds) -> None:
        id = ids.issue(PHONE)
        ids.check(id, PHONE)
        SessionIds(KEY).check(id, PHONE)
        assert ids.issue(PHONE) != id

    @pytest.mark.parametrize(
        "device", [TABLET, PHONE._replace(feed=2), PHONE._replace(device_id=""), PHONE._replace(user_id="usr_2")]
    )
    def test_an_id_of_another_device_account_or_user_was_never_issued(self, ids: SessionIds, device: DeviceKey) -> None:
        with pytest.raises(NotFound):
            ids.check(ids.issue(PHONE), device)

    @pytest.mark.parametrize("id", ["", "x", "0" * 48, "å" * 48, "\ud800"])
    def test_an_id_that_no_server_issued_is_not_found(self, ids: SessionIds, id: str) -> None:
        with pytest.raises(NotFound):
            ids.check(id, PHONE)

    def test_an_id_with_one_other_character_is_not_found(self, ids: SessionIds) -> None:
        id = ids.issue(PHONE)
        for at in (0, 23, 24, 47):
            with pytest.raises(NotFound):
                ids.check(id[:at] + ("0" if id[at] != "0" else "1") + id[at + 1 :], PHONE)

    def test_an_id_of_a_server_with_another_key_is_not_found(self, ids: SessionIds) -> None:
        with pytest.raises(NotFound):
            SessionIds(b"o" * 32).check(ids.issue(PHONE), PHONE)


class Shop:
    """A feed of contacts, and devices that drain it."""

    def __init__(self, database: Database, clock: MovableClock) -> None:
        self.database = database
        self.clock = clock
        self.feed = make_feed(database, "org:acme")
        self.phone = self.device("phone")

    def device(self, name: str) -> DeviceKey:
        return DeviceKey(self.feed, name, "usr_1")

    def write(self, function: Callable[[Transaction], Any]) -> Any:
        return self.database.write_now(function, feed=self.feed)

    def put(self, *ids: str, kind: str = "contact") -> None:
        def transaction(tx: Transaction) -> None:
            current = records.find_many(tx, self.feed, kind, ids)
            drafts = [Draft(id, b"{}", "", None, 1, 1) for id in ids]
            records.put_many(tx, self.feed, kind, drafts, current)

        self.write(transaction)

    def delete(self, *ids: str) -> None:
        def transaction(tx: Transaction) -> None:
            found = records.find_many(tx, self.feed, "contact", ids)
            records.delete_many(tx, self.feed, "contact", list(found.values()))

        self.write(transaction)

    def begin(self, device: DeviceKey | None = None, id: str = "s1") -> None:
        """Begin a session of everything that lives."""

        def transaction(tx: Transaction) -> None:
            rows = tx.rows("SELECT position, number FROM changes WHERE feed = ? AND deleted = 0", self.feed)
            queue = queue_of([row[0] for row in rows], contact=[row[1] for row in rows])
            sessions.begin(tx, device or self.phone, id, queue, feeds.head(tx, self.feed), LIMITS)

        self.write(transaction)

    def take(self, count: int = 2, device: DeviceKey | None = None, id: str = "s1") -> PageToShow | None:
        found: PageToShow | None = self.write(lambda tx: sessions.take(tx, device or self.phone, id, count, LIMITS))
        return found

    def drain(self, count: int = 2) -> list[PageToShow]:
        pages: list[PageToShow] = []
        while (page := self.take(count)) is not None:
            pages.append(page)
        return pages

    def sessions(self) -> list[str]:
        found = self.database.read_now(lambda tx: tx.rows("SELECT id FROM sell_sessions ORDER BY id"))
        return [row[0] for row in found]


@pytest.fixture
def shop(database: Database, clock: MovableClock) -> Shop:
    shop = Shop(database, clock)
    shop.put(*"abcde")
    return shop


class TestTake:
    @pytest.mark.parametrize("count", [1, 2, 3, 5, 100])
    def test_positions_are_handed_out_once_and_in_order(self, shop: Shop, count: int) -> None:
        shop.begin()
        pages = shop.drain(count)
        assert [position for page in pages for position in page.positions] == [1, 2, 3, 4, 5]
        assert all(len(page.positions) <= count for page in pages)
        assert [page.left for page in pages] == [max(0, 5 - count * turn) for turn in range(1, len(pages) + 1)]
        assert shop.sessions() == [], "a session ends with its last page"

    def test_what_was_replaced_is_not_counted_and_a_page_is_filled_with_what_lives(self, shop: Shop) -> None:
        shop.begin()
        shop.put("a", "c")
        shop.put("c")
        assert shop.drain() == [PageToShow([2, 4], 1), PageToShow([5], 0)]

    def test_what_is_replaced_after_it_was_handed_out_is_not_counted_twice(self, shop: Shop) -> None:
        shop.begin()
        assert shop.take() == PageToShow([1, 2], 3)
        shop.put("a", "b", "e")
        assert shop.drain() == [PageToShow([3, 4], 0)]

    def test_deletions_and_new_records_are_no_part_of_the_session(self, shop: Shop) -> None:
        shop.begin()
        shop.delete("b")
        shop.put("f")
        assert shop.drain(3) == [PageToShow([1, 3, 4], 1), PageToShow([5], 0)]

    def test_a_session_of_which_everything_was_replaced_has_an_empty_page_and_ends(self, shop: Shop) -> None:
        shop.begin()
        shop.put(*"abcde")
        assert shop.take() == PageToShow([], 0)
        assert shop.take() is None

    def test_the_count_is_exact_after_a_compaction_that_dropped_the_tombstones(self, shop: Shop) -> None:
        shop.begin()
        shop.delete("b", "c")
        shop.write(lambda tx: tx.run("DELETE FROM changes WHERE feed = ? AND deleted = 1", shop.feed))
        shop.write(lambda tx: feeds.raise_floor(tx, shop.feed, feeds.head(tx, shop.feed)))
        assert shop.take(1) == PageToShow([1], 2)

    def test_records_of_other_kinds_do_not_count(self, shop: Shop) -> None:
        shop.begin()
        shop.put("a", "b", kind="terminology")
        assert shop.take(1) == PageToShow([1], 4)

    def test_a_page_of_another_session_or_device_takes_nothing(self, shop: Shop) -> None:
        shop.begin()
        assert shop.take(id="s2") is None
        assert shop.take(device=shop.device("tablet")) is None
        assert shop.take() == PageToShow([1, 2], 3)

    def test_a_transaction_that_is_rolled_back_hands_out_nothing(self, shop: Shop) -> None:
        shop.begin()

        def failing(tx: Transaction) -> None:
            sessions.take(tx, shop.phone, "s1", 2, LIMITS)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            shop.write(failing)
        assert shop.take() == PageToShow([1, 2], 3)


class TestExpiry:
    @pytest.mark.parametrize(("idle", "good"), [(600, True), (601, False)])
    def test_a_session_ends_when_it_was_unused_too_long(self, shop: Shop, idle: float, good: bool) -> None:
        shop.begin()
        shop.clock.advance(idle)
        assert (shop.take() is not None) is good
        assert (shop.sessions() == ["s1"]) is good

    def test_each_page_begins_the_wait_anew(self, shop: Shop) -> None:
        shop.begin()
        for _ in range(3):
            shop.clock.advance(600)
            assert shop.take(1) is not None

    def test_a_clock_that_steps_back_ends_no_session(self, shop: Shop) -> None:
        shop.begin()
        shop.clock.advance(-7200)
        assert shop.take() == PageToShow([1, 2], 3)


class TestBegin:
    def test_a_new_session_of_a_device_ends_its_older_one(self, shop: Shop) -> None:
        shop.begin()
        shop.begin(id="s2")
        assert shop.take() is None
        assert shop.take(id="s2") == PageToShow([1, 2], 3)
        assert shop.sessions() == ["s2"]

    def fill(self, shop: Shop) -> list[DeviceKey]:
        """As many sessions as the account may have, a second apart."""
        held = [shop.device(f"d{number}") for number in range(LIMITS.per_account)]
        for device in held:
            shop.begin(device, device.device_id)
            shop.clock.advance(1)
        return held

    def test_a_full_account_is_refused_and_learns_when_to_come_again(self, shop: Shop) -> None:
        self.fill(shop)
        shop.clock.advance(7)
        with pytest.raises(TooManyRequests, match="3") as failure:
            shop.begin()
        assert failure.value.retry_after_seconds == 50
        assert shop.sessions() == ["d0", "d1", "d2"]

    @pytest.mark.parametrize("ahead_seconds", [70, 7200, 10 * 365 * 86_400])
    def test_a_clock_that_stood_ahead_refuses_no_device(self, shop: Shop, ahead_seconds: int) -> None:
        held = self.fill(shop)
        shop.clock.advance(-ahead_seconds)
        shop.take(1, held[2], "d2")
        shop.begin()
        assert shop.sessions() == ["d0", "d2", "s1"], "the one that was used since the step stays"

    def test_a_clock_that_is_a_little_behind_ends_no_session(self, shop: Shop) -> None:
        self.fill(shop)
        shop.clock.advance(-30)
        with pytest.raises(TooManyRequests) as failure:
            shop.begin()
        assert (failure.value.retry_after_seconds or 0) in range(1, 61)

    def test_a_full_account_lets_its_longest_idle_session_go(self, shop: Shop) -> None:
        first = self.fill(shop)[0]
        shop.clock.advance(47)
        shop.take(1, first, first.device_id)
        shop.clock.advance(11)
        shop.begin()
        assert shop.sessions() == ["d0", "d2", "s1"]

    def test_the_same_device_needs_no_further_place(self, shop: Shop) -> None:
        held = self.fill(shop)
        shop.begin(held[0], "again")
        assert shop.sessions() == ["again", "d1", "d2"]

    def test_another_account_has_its_own_places(self, shop: Shop) -> None:
        self.fill(shop)
        other = make_feed(shop.database, "org:other")
        queue = queue_of([1], contact=[1])
        shop.database.write_now(
            lambda tx: sessions.begin(tx, DeviceKey(other, "phone"), "o1", queue, 1, LIMITS), feed=other
        )
        assert "o1" in shop.sessions()

    def test_expired_sessions_take_no_place(self, shop: Shop) -> None:
        self.fill(shop)
        shop.clock.advance(601)
        shop.begin()
        assert shop.sessions() == ["s1"]

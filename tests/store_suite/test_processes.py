"""Several processes on one database: no position is skipped, taken twice, or seen before those below it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping

import pytest

from headwater.store.database import Database, Transaction
from headwater.store.log import records
from tests.support import crowd
from tests.support.store.databases import address_of, open_at
from tests.support.store.transactions import KIND, draft, head_of, ids_of, log_of, make_feed, page_after, put


def test_a_cursor_skips_nothing_while_two_processes_write(database: Database) -> None:
    feed = make_feed(database)
    writers = [crowd.start(address_of(database), feed, name, threads=4, writes=40) for name in ("a", "b")]
    after = 0
    seen: list[tuple[int, str]] = []
    while len(seen) < 320:
        running = any(writer.poll() is None for writer in writers)
        page = page_after(database, feed, after, 7)
        seen += [(one["position"], one["id"]) for one in json.loads(b"[" + page.wires + b"]")]
        after = max(after, page.last)
        if not page.size and not running:
            break
    acknowledged = {line.strip() for writer in writers for line in writer.communicate(timeout=60)[0].splitlines()}
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [position for position, _ in seen] == list(range(1, 321))
    assert {id for _, id in seen} == acknowledged == ids_of(database, feed)
    assert log_of(database, feed) == [(position, id, 0) for position, id in seen]


def test_works_of_two_openers_on_one_record_follow_one_another(database: Database) -> None:
    feed = make_feed(database)
    other = open_at(address_of(database))
    database.write_now(put(feed, "a"), feed=feed)

    def raise_it(opened: Database) -> None:
        for n in range(30):
            # Every third names no feed: it is found out and run again.
            opened.write_now(put(feed, "a"), feed=0 if n % 3 == 0 else feed)

    threads = [threading.Thread(target=raise_it, args=(opened,)) for opened in (database, other, database, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert log_of(database, feed) == [(121, "a", 0)]
    row = database.read_now(lambda tx: records.find(tx, feed, KIND, "a"))
    assert row is not None
    assert (row.revision, row.number, row.position) == (121, 1, 121)


def test_two_openers_that_move_several_feeds_in_any_order_both_succeed(database: Database) -> None:
    feeds_of_all = [make_feed(database, f"org:{n}") for n in range(4)]
    other = open_at(address_of(database))
    failures: list[BaseException] = []

    def move(opened: Database, order: list[int]) -> None:
        def transaction(tx: Transaction) -> None:
            for feed in order:
                put(feed, "a")(tx)

        try:
            for _ in range(10):
                opened.write_now(transaction, feed=order[0])
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [
        threading.Thread(target=move, args=(database, feeds_of_all)),
        threading.Thread(target=move, args=(other, feeds_of_all[::-1])),
        threading.Thread(target=move, args=(other, feeds_of_all[2:] + feeds_of_all[:2])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert failures == []
    assert {head_of(database, feed) for feed in feeds_of_all} == {30}


def test_the_first_writes_of_two_openers_to_a_new_feed_both_count(database: Database) -> None:
    other = open_at(address_of(database))
    for n in range(10):
        feed = make_feed(database, f"org:{n}")
        gate = threading.Barrier(2)

        def write(opened: Database, id: str, feed: int = feed, gate: threading.Barrier = gate) -> None:
            gate.wait(30)
            opened.write_now(lambda tx: records.create(tx, feed, KIND, draft(id)), feed=feed if id == "a" else 0)

        threads = [threading.Thread(target=write, args=pair) for pair in ((database, "a"), (other, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (ids_of(database, feed), head_of(database, feed)) == ({"a", "b"}, 2)
    other.close()


def test_minted_integers_of_two_openers_never_meet(database: Database) -> None:
    other = open_at(address_of(database))
    found: list[int] = []

    def mint(opened: Database) -> None:
        for _ in range(20):
            found.extend(opened.write_now(lambda tx: tx.mint("contact", 2)))

    threads = [threading.Thread(target=mint, args=(opened,)) for opened in (database, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert len(set(found)) == 80


def test_a_commit_of_another_process_is_noticed(database: Database) -> None:
    """PostgreSQL tells of it; on SQLite the version changes, and whoever wants to know asks."""
    feed = make_feed(database)
    told: list[Mapping[int, int]] = []
    heard = threading.Event()

    def listen(moved: Mapping[int, int]) -> None:
        told.append(moved)
        if moved.get(feed) == 2:
            heard.set()

    database.on_commit(listen)
    version = database.version()
    other = open_at(address_of(database))
    other.write_now(put(feed, "a"), feed=feed)
    other.write_now(put(feed, "b"), feed=feed)
    other.close()
    if version is None:
        assert heard.wait(30)
        assert all(set(moved) == {feed} for moved in told)
    else:
        assert database.version() != version


def test_own_commits_are_told_once(database: Database) -> None:
    feed = make_feed(database)
    told: list[Mapping[int, int]] = []
    database.on_commit(lambda moved: told.append(dict(moved)))
    for n in range(5):
        database.write_now(put(feed, f"c{n}"), feed=feed)
    # A notification of our own would come soon after its commit.
    time.sleep(0.1)
    assert told == [{feed: n} for n in range(1, 6)]


@pytest.mark.parametrize("count", [2000])
def test_a_commit_that_moves_very_many_feeds_is_told_whole(database: Database, count: int) -> None:
    feeds_moved = list(range(10**15, 10**15 + count))
    told: dict[int, int] = {}
    heard = threading.Event()

    def listen(moved: Mapping[int, int]) -> None:
        told.update(moved)
        if len(told) >= count:
            heard.set()

    database.on_commit(listen)
    other = open_at(address_of(database))
    other.write_now(lambda tx: [tx.bump(feed, "head") for feed in feeds_moved])
    other.close()
    if database.version() is None:
        assert heard.wait(30)
        assert told == dict.fromkeys(feeds_moved, 1)
    assert {head_of(database, feed) for feed in feeds_moved[:3]} == {1}


def test_two_openers_that_make_the_same_row_at_once_make_it_once(database: Database) -> None:
    """Under different feeds nothing holds them apart; the slower one looks again."""
    one, two = make_feed(database, "org:1"), make_feed(database, "org:2")
    other = open_at(address_of(database))
    made: list[bool] = []

    def provide(opened: Database, feed: int, name: str, gate: threading.Barrier) -> None:
        def transaction(tx: Transaction) -> bool:
            put(feed, name)(tx)
            if tx.value("SELECT 1 FROM meta WHERE name = ?", name):
                return False
            tx.run("INSERT INTO meta (name, value) VALUES (?, ?)", name, b"")
            return True

        gate.wait(30)
        made.append(opened.write_now(transaction, feed=feed))

    for n in range(15):
        gate = threading.Barrier(2)
        pairs = ((database, one), (other, two))
        threads = [threading.Thread(target=provide, args=(*pair, f"m{n}", gate)) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    other.close()
    assert (len(made), sum(made)) == (30, 15)
    assert (head_of(database, one), head_of(database, two)) == (15, 15)

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count

import pytest

from headwater.base.errors import Unavailable
from headwater.store.reader_pool import Readers


class Reader:
    """A reader that knows by whom it was opened and how often it was closed."""

    numbers = count()

    def __init__(self) -> None:
        self.number = next(self.numbers)
        self.closed = 0
        self.thread = threading.current_thread()

    def close(self) -> None:
        self.closed += 1


class Opened:
    """A pool with every reader that it opened."""

    def __init__(self) -> None:
        self.readers: list[Reader] = []
        self.pool: Readers[Reader] = Readers(self._open)

    def _open(self) -> Reader:
        reader = Reader()
        self.readers.append(reader)
        return reader


@pytest.fixture
def opened() -> Opened:
    return Opened()


def in_thread(work: Callable[[], object]) -> None:
    """Run a work in a thread of its own, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_reader_is_opened_when_its_thread_first_reads(opened: Opened) -> None:
    assert opened.readers == []
    assert opened.pool.of_this_thread() is opened.readers[0]


def test_a_thread_keeps_its_reader(opened: Opened) -> None:
    assert opened.pool.of_this_thread() is opened.pool.of_this_thread()
    assert len(opened.readers) == 1


def test_each_thread_has_a_reader_of_its_own(opened: Opened) -> None:
    mine = opened.pool.of_this_thread()
    in_thread(opened.pool.of_this_thread)
    assert len(opened.readers) == 2
    assert opened.readers[1].thread is not mine.thread
    assert opened.pool.of_this_thread() is mine


def test_the_reader_of_a_thread_that_ended_is_closed_when_the_next_one_is_opened(opened: Opened) -> None:
    in_thread(opened.pool.of_this_thread)
    assert opened.readers[0].closed == 0
    opened.pool.of_this_thread()
    assert [reader.closed for reader in opened.readers] == [1, 0]


def test_a_dropped_reader_is_closed_and_the_next_read_opens_another(opened: Opened) -> None:
    first = opened.pool.of_this_thread()
    opened.pool.drop()
    assert first.closed == 1
    assert opened.pool.of_this_thread() is not first
    opened.pool.close()
    assert [reader.closed for reader in opened.readers] == [1, 1]


def test_dropping_without_a_reader_or_twice_closes_nothing_more(opened: Opened) -> None:
    opened.pool.drop()
    opened.pool.of_this_thread()
    opened.pool.drop()
    opened.pool.drop()
    assert [reader.closed for reader in opened.readers] == [1]


def test_a_drop_leaves_the_readers_of_other_threads(opened: Opened) -> None:
    opened.pool.of_this_thread()

    def other() -> None:
        opened.pool.of_this_thread()
        opened.pool.drop()

    in_thread(other)
    assert [reader.closed for reader in opened.readers] == [0, 1]


def test_a_close_closes_every_reader_once_and_no_thread_reads_afterwards(opened: Opened) -> None:
    opened.pool.of_this_thread()
    in_thread(opened.pool.of_this_thread)
    opened.pool.close()
    opened.pool.close()
    assert [reader.closed for reader in opened.readers] == [1, 1]
    with pytest.raises(Unavailable) as failure:
        opened.pool.of_this_thread()
    assert failure.value.retry_after_seconds == 1


def test_a_reader_that_cannot_be_opened_leaves_the_pool_as_it_was() -> None:
    answers: list[Reader | None] = [None, Reader()]

    def open_reader() -> Reader:
        answer = answers.pop(0)
        if answer is None:
            raise Unavailable("no more connections")
        return answer

    pool: Readers[Reader] = Readers(open_reader)
    with pytest.raises(Unavailable):
        pool.of_this_thread()
    assert pool.of_this_thread().closed == 0

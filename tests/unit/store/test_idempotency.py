from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.store.database import Database
from headwater.store.idempotency import AnswerKey, StoredAnswer, delete_expired, find, keep, request_hash
from tests.support.clock import SECOND_US, MovableClock

KEY = AnswerKey("acme", "tok_1", "k1")
HASH = request_hash(b"POST", b"/contacts", b"{}")


def store(database: Database, key: AnswerKey = KEY, answer: bytes = b"made") -> None:
    database.write_now(lambda tx: keep(tx, key, HASH, answer))


def found(database: Database, key: AnswerKey = KEY, oldest_us: int = 0) -> StoredAnswer | None:
    return database.read_now(lambda tx: find(tx, key, oldest_us))


class TestHash:
    def test_the_same_request_has_the_same_hash(self) -> None:
        assert request_hash(b"POST", b"/contacts", b"{}") == HASH
        assert len(HASH) == 16

    @pytest.mark.parametrize(
        "parts",
        [
            pytest.param((b"POST", b"/contacts", b"{ }"), id="another body"),
            pytest.param((b"PUT", b"/contacts", b"{}"), id="another method"),
            pytest.param((b"POST", b"/contact", b"s{}"), id="another cut"),
            pytest.param((b"POST/contacts{}",), id="all in one"),
            pytest.param((b"POST", b"/contacts", b"{}", b""), id="an empty part more"),
            pytest.param((), id="nothing"),
        ],
    )
    def test_another_request_has_another_hash(self, parts: tuple[bytes, ...]) -> None:
        assert request_hash(*parts) != HASH

    @given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
    def test_only_equal_parts_have_equal_hashes(self, one: list[bytes], other: list[bytes]) -> None:
        assert (request_hash(*one) == request_hash(*other)) == (one == other)


@pytest.mark.parametrize("answer", [b"", b"made", b"\x00\xff" * 1000])
def test_an_answer_is_found_as_it_was_kept(database: Database, answer: bytes) -> None:
    store(database, answer=answer)
    assert found(database) == StoredAnswer(HASH, answer)


@pytest.mark.parametrize(
    "key", [KEY._replace(organisation="other"), KEY._replace(caller="tok_2"), KEY._replace(key="k2")]
)
def test_the_same_text_from_another_caller_is_another_key(database: Database, key: AnswerKey) -> None:
    store(database)
    assert found(database, key) is None
    store(database, key, b"other")
    assert found(database) == StoredAnswer(HASH, b"made")


def test_a_newer_answer_takes_the_place_of_the_older_one(database: Database) -> None:
    store(database, answer=b"old")
    store(database, answer=b"new")
    assert found(database) == StoredAnswer(HASH, b"new")
    assert database.read_now(lambda tx: tx.value("SELECT count(*) FROM answers")) == 1


@pytest.mark.parametrize(("age_us", "good"), [(-1, True), (0, True), (1, False)])
def test_an_answer_counts_until_it_is_older_than_the_oldest(
    database: Database, clock: MovableClock, age_us: int, good: bool
) -> None:
    store(database)
    assert (found(database, oldest_us=clock.at_us + age_us) is not None) is good


def test_an_answer_of_a_transaction_that_fails_is_not_kept(database: Database) -> None:
    def transaction(tx: object) -> None:
        keep(tx, KEY, HASH, b"made")  # type: ignore[arg-type]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.write_now(transaction)
    assert found(database) is None


class TestSweep:
    def test_only_answers_older_than_the_oldest_go(self, database: Database, clock: MovableClock) -> None:
        store(database)
        clock.advance(10)
        store(database, KEY._replace(key="k2"))
        assert database.write_now(lambda tx: delete_expired(tx, clock.at_us)) == 1
        assert found(database) is None
        assert found(database, KEY._replace(key="k2")) is not None

    def test_at_most_so_many_go_at_once(self, database: Database, clock: MovableClock) -> None:
        for number in range(5):
            store(database, KEY._replace(key=f"k{number}"))
        later_us = clock.at_us + SECOND_US
        assert [database.write_now(lambda tx: delete_expired(tx, later_us, 2)) for _ in range(4)] == [2, 2, 1, 0]

    def test_a_sweep_of_nothing_removes_nothing(self, database: Database, clock: MovableClock) -> None:
        store(database)
        assert database.write_now(lambda tx: delete_expired(tx, clock.at_us)) == 0
        assert found(database) is not None

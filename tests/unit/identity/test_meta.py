from __future__ import annotations

from functools import partial

import pytest

from headwater.identity import meta
from headwater.store.database import Database


def test_a_fact_that_was_never_stored_is_none(database: Database) -> None:
    assert database.read_now(lambda tx: meta.value(tx, "colour")) is None


@pytest.mark.parametrize("value", [b"", b"\x00\xff\x00", b"x" * 10_000])
def test_a_fact_is_read_as_it_was_stored(database: Database, value: bytes) -> None:
    database.write_now(lambda tx: meta.keep(tx, "colour", value))
    assert database.read_now(lambda tx: meta.value(tx, "colour")) == value


def test_a_newer_fact_takes_the_place_of_the_older_one(database: Database) -> None:
    for value in (b"red", b"blue"):
        database.write_now(partial(meta.keep, name="colour", value=value))
    assert database.read_now(lambda tx: tx.value("SELECT count(*) FROM meta WHERE name = 'colour'")) == 1
    assert database.read_now(lambda tx: meta.value(tx, "colour")) == b"blue"


def test_a_secret_is_made_once_and_never_changes(database: Database) -> None:
    first = database.write_now(lambda tx: meta.secret(tx, "key"))
    assert len(first) == 32
    assert database.write_now(lambda tx: meta.secret(tx, "key")) == first
    assert database.read_now(lambda tx: meta.secret(tx, "key")) == first


def test_two_secrets_differ(database: Database) -> None:
    assert database.write_now(lambda tx: meta.secret(tx, "a")) != database.write_now(lambda tx: meta.secret(tx, "b"))


def test_an_installation_without_an_epoch_had_no_first_start(database: Database) -> None:
    assert not database.read_now(meta.had_first_start)
    database.write_now(meta.epoch)
    assert database.read_now(meta.had_first_start)


def test_the_epoch_stays_until_it_is_renewed(database: Database) -> None:
    first = database.write_now(meta.epoch)
    assert database.read_now(meta.epoch) == first
    renewed = database.write_now(meta.renew_epoch)
    assert renewed != first
    assert database.read_now(meta.epoch) == renewed


def test_an_epoch_fits_the_place_that_a_cursor_has_for_it(database: Database) -> None:
    epochs = [database.write_now(meta.renew_epoch) for _ in range(20)]
    assert all(0 <= epoch < 2**48 for epoch in epochs)
    assert len(set(epochs)) == 20

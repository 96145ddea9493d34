"""A restore raises every sequence: the list is complete, and each gap covers what was given out."""

from __future__ import annotations

import ast
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import pytest

from headwater.contracts.sell import queries
from headwater.contracts.sell.acks import AckState
from headwater.identity import organisations
from headwater.store import renewal
from headwater.store.database import Database, Transaction
from headwater.store.log import lost, records, unique_numbers
from headwater.store.log.lost import LostNumbers
from headwater.store.log.records import Draft
from headwater.store.renewal import OTHER_COUNTERS, Issued, is_sequence
from tests.support.clock import SECOND_US, MovableClock

META = {"epoch": b"epoch1", "cursor_key": b"key"}


def _sources(folder: Traversable) -> list[str]:
    found: list[str] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _sources(entry)
        elif entry.name.endswith(".py"):
            found.append(entry.read_text("utf-8"))
    return found


def _text(node: ast.expr, constants: dict[str, str]) -> str:
    """The beginning of a counter's name in an expression; a variable part becomes nothing."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.BinOp):
        return _text(node.left, constants)
    if isinstance(node, ast.Name):
        return constants.get(node.id, "")
    if isinstance(node, ast.Attribute):
        return constants.get(node.attr, "")
    return ""


def raised_counters() -> set[str]:
    """The names of all counters that the package raises, with a colon at the end of a variable one."""
    names: set[str] = set()
    for text in _sources(resources.files("headwater")):
        tree = ast.parse(text)
        constants = {
            target.id: _text(node.value, {})
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        } | {"BYTES": "bytes"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr == "bump" and len(node.args) >= 2:
                    names.add(_text(node.args[1], constants))
                elif node.func.attr == "mint" and len(node.args) in (1, 2):
                    names.add("mint:" + _text(node.args[0], constants))
    return names


def test_every_counter_is_a_sequence_that_a_restore_raises_or_listed_as_none() -> None:
    found = raised_counters()
    assert {"head", "number:", "conflicts", "ids:", "mint:feed", "live:", "bytes", "relist"} <= found
    # The server's sequences are raised under the name that their caller gives, and tokens' mint is no counter.
    unknown = {name for name in found if not is_sequence(name) and not name.startswith(OTHER_COUNTERS)}
    assert unknown - {"", "mint:"} == set()


def test_every_integer_that_is_unique_in_the_schema_is_covered() -> None:
    """A column of integers that are given out beside the counters is raised too, or follows from a counter."""
    covered = {
        "cache_syncs": "ids:sync", "versions": "number:version", "nodes": "number:node", "records": "number:",
        "file_conflicts": "number:conflict", "record_conflicts": "conflicts", "changes": "number:",
        "feeds": "mint:feed", "cache_successes": "ids:sync", "terminology_syncs": "edition",
        "terminology_labels": "version",
    }  # fmt: skip
    columns = {"number", "edition", "version", "revision"}
    schema = "\n".join(
        entry.read_text("utf-8")
        for entry in sorted(resources.files("headwater.store.schema").iterdir(), key=lambda one: one.name)
        if entry.name.endswith(".sql")
    )
    for part in schema.split("CREATE TABLE ")[1:]:
        table, _, body = part.partition("(")
        given = [line.split()[0] for line in body.splitlines() if " INTEGER" in line and line.split()[0] in columns]
        assert not given or table.strip() in covered, f"{table} gives out {given}: raise it in store/renewal.py"


class Life:
    """An installation whose backup holds less than its end."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.write_now(lambda tx: organisations.create(tx, "a"))
        self.feed = database.read_now(lambda tx: organisations.feed_of(tx, "a"))

    def add(self, count: int, start: int = 0) -> None:
        def transaction(tx: Transaction) -> None:
            for number in range(start, start + count):
                unique_numbers.take(tx, self.feed, "contact")
                records.create(tx, self.feed, "contact", Draft(f"c{number}", b"{}", "", None, 1, 1))

        self.database.write_now(transaction, feed=self.feed)

    def issued(self, **meta: bytes) -> Issued:
        return self.database.read_now(lambda tx: renewal.issued(tx.rows))._replace(meta=META | meta)

    def renew(self, before: Issued | None, age_seconds: int = 0) -> renewal.Renewal:
        own = self.issued()
        return self.database.write_now(lambda tx: renewal.renew(tx, own, before, age_seconds))

    def counter(self, name: str) -> int:
        return self.database.read_now(lambda tx: tx.counter(self.feed, name))

    def numbers(self) -> list[LostNumbers]:
        return self.database.read_now(lambda tx: lost.numbers(tx, self.feed, "contact"))


@pytest.fixture
def life(database: Database) -> Life:
    made = Life(database)
    made.add(3)
    return made


def later(own: Issued, feed: str = "org:a", **counters: int) -> Issued:
    """What became of a state: counters of one feed went on."""
    more = {"number_contact": "number:contact", "ids_contact": "ids:contact"}
    raised = own.feeds.get(feed, {}) | {more.get(name, name): value for name, value in counters.items()}
    return own._replace(feeds=own.feeds | {feed: raised})


def test_the_replaced_state_says_exactly_what_was_given_out(life: Life) -> None:
    before = later(life.issued(), head=9, number_contact=5, ids_contact=7)
    assert life.renew(before).is_exact
    assert (life.counter("head"), life.counter("number:contact"), life.counter("ids:contact")) == (10, 5, 7)
    assert life.numbers() == [LostNumbers(4, 5, 5)]
    assert life.database.read_now(lambda tx: lost.renewed_upto(tx, life.feed)) == 10

    def lost_positions(tx: Transaction) -> list[int]:
        return [position for position in range(12) if lost.is_lost(tx, life.feed, position)]

    assert life.database.read_now(lost_positions) == list(range(4, 11))


@pytest.mark.parametrize(
    ("meta", "counters"),
    [
        ({"cursor_key": b"another installation"}, {"head": 9}),
        ({"epoch": b"epoch2"}, {"head": 9}),
        ({}, {"head": 2}),
    ],
)
def test_a_state_that_does_not_continue_the_backup_leaves_the_wide_gap(
    life: Life, meta: dict[str, bytes], counters: dict[str, int]
) -> None:
    before = later(life.issued(**meta), "org:a", **counters)
    assert not life.renew(before).is_exact
    assert life.counter("head") > renewal.LEAST_POSITIONS
    assert life.counter("number:contact") > 1_000_000
    assert life.counter("ids:contact") > 1_000_000
    (ended,) = life.numbers()
    assert (ended.first, ended.given) == (4, 3 + renewal.ASSUMED_NUMBERS)


def test_a_later_epoch_of_the_same_installation_is_exact(life: Life) -> None:
    before = later(life.issued(epoch=b"epoch2", past_epochs=b"epoch0epoch1"), head=50, number_contact=9)
    before = before._replace(lost_numbers={("org:a", "contact"): [LostNumbers(5, 6, 7)]})
    assert life.renew(before).is_exact
    assert life.numbers() == [LostNumbers(4, 4, 4), LostNumbers(5, 6, 7), LostNumbers(8, 9, 9)]


@pytest.mark.parametrize("of_server", [False, True], ids=["a counter of each feed", "one counter"])
def test_the_times_of_records_continue_after_the_last_one_of_the_replaced_state(
    life: Life, clock: MovableClock, of_server: bool
) -> None:
    last_us = clock.at_us + 7200 * SECOND_US
    wrong_us = clock.at_us + 10 * 365 * 86_400 * SECOND_US
    before = later(life.issued(), head=9, clock=wrong_us if of_server else last_us)
    before = before._replace(server=before.server | ({"clock": last_us} if of_server else {}))
    life.renew(before)

    def given_us(tx: Transaction) -> int:
        records.create(tx, life.feed, "contact", Draft("next", b"{}", "", None, 1, 1))
        return tx.at_us

    assert life.database.write_now(given_us, feed=life.feed) == last_us


@pytest.mark.parametrize("age_seconds", [-5, 0, 86_400, 10**12])
def test_the_gap_of_an_unknown_state_grows_with_the_age_of_the_backup_within_bounds(
    life: Life, age_seconds: int
) -> None:
    life.renew(None, age_seconds)
    gap = life.counter("head") - 3
    assert gap == min(renewal.MOST_POSITIONS, renewal.LEAST_POSITIONS + max(0, age_seconds) * 100)


@pytest.mark.parametrize("known", [False, True])
def test_an_organisation_that_a_restore_removed_continues_its_sequences_when_it_is_created_again(
    life: Life, known: bool
) -> None:
    before = later(life.issued(), feed="org:b", head=8, **{"number:contact": 6})
    life.renew(before if known else None)
    life.database.write_now(lambda tx: organisations.create(tx, "b"))
    life.database.write_now(lambda tx: organisations.create(tx, "c"))

    def read(tx: Transaction) -> list[tuple[int, int, int]]:
        found = [organisations.feed_of(tx, id) for id in "bc"]
        return [(tx.counter(f, "head"), tx.counter(f, "number:contact"), lost.renewed_upto(tx, f)) for f in found]

    b, c = life.database.read_now(read)
    if known:
        assert (b, c) == ((9, 6, 9), (0, 0, 0))
    else:
        assert b == c
        assert b[0] == b[2] >= renewal.LEAST_POSITIONS
        assert b[1] >= 1_000_000


def test_feed_numbers_and_places_are_never_given_out_again(life: Life) -> None:
    before = life.issued()
    before = before._replace(server=before.server | {"mint:feed": 40, "mint:place:contact": 7})
    life.renew(before)

    def server(tx: Transaction) -> tuple[Any, Any]:
        return tx.value("SELECT value FROM counters WHERE feed = 0 AND name = 'mint:feed'"), tx.value(
            "SELECT value FROM counters WHERE feed = 0 AND name = 'mint:place:contact'"
        )

    assert life.database.read_now(server) == (40, 7)


@pytest.mark.parametrize("exact", [False, True])
def test_a_sell_device_holds_after_a_restore_what_the_replaced_state_says_or_may_hold_all(
    life: Life, exact: bool
) -> None:
    held = AckState().add_positions([1, 2, 3]).add_numbers("contact", [1, 2, 3])
    life.database.write_now(lambda tx: queries.keep_state(tx, life.feed, "phone", held))
    newer = held.drop_numbers("contact", [2]).add_numbers("contact", [4])
    before = later(life.issued(), head=6, number_contact=5)
    before = before._replace(sell=[renewal.SellState("org:a", "phone", newer.to_bytes(), is_exact=True)])
    if not exact:
        before = before._replace(meta=META | {"epoch": b"epoch9"})
    life.renew(before)
    state = life.database.read_now(lambda tx: queries.state(tx, life.feed, "phone"))
    assert state.high_water == 0
    assert not any(state.is_done(position) for position in range(1, 50))
    if exact:
        assert list(state.held("contact")) == [1, 3, 4]
        assert state.ever_acked("contact", 4)
    else:
        assert {1, 2, 3, 4, 5} <= set(state.held("contact"))
        assert len(state.held("contact")) == 5 + renewal.ASSUMED_NUMBERS
        assert not state.ever_acked("contact", 1)
    life.database.write_now(lambda tx: queries.keep_state(tx, life.feed, "phone", state))
    assert life.database.read_now(lambda tx: queries.state(tx, life.feed, "phone")) == state


@pytest.mark.parametrize("exact", [False, True])
def test_a_device_that_came_first_after_the_backup_may_hold_what_the_server_lacks(life: Life, exact: bool) -> None:
    note = Draft("n1", b"{}", "", None, 1, 1)
    life.database.write_now(lambda tx: records.create(tx, life.feed, "note", note), feed=life.feed)
    before = later(life.issued(), head=6, number_contact=5)
    life.renew(before if exact else None)

    def delete(tx: Transaction) -> None:
        for kind, id in (("contact", "c1"), ("note", "n1")):
            found = records.find_many(tx, life.feed, kind, [id])
            records.delete_many(tx, life.feed, kind, list(found.values()))

    life.database.write_now(delete, feed=life.feed)
    state = life.database.read_now(lambda tx: queries.state(tx, life.feed, "stranger"))
    held = state.held("contact")
    assert (1 in state.held("note")) is not exact
    if exact:
        # Nothing is stored of it, and the replaced state knew every device: so it is new.
        assert not held
    else:
        assert 1 not in held, "what lives is sent anyway"
        assert {2, 4, 3 + renewal.ASSUMED_NUMBERS} <= set(held)
        assert len(held) == 1 + renewal.ASSUMED_NUMBERS

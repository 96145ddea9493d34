"""Chapters of an organisation: made, renamed, and provided on first use."""

from __future__ import annotations

import pytest

from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.identity import chapters
from headwater.identity.chapters import Chapter
from headwater.store.database import Database
from tests.support.clock import MovableClock


def test_a_chapter_is_found_under_its_own_organisation_alone(database: Database) -> None:
    made = database.write_now(lambda tx: chapters.create(tx, "org_a", "Oslo", "osl"))
    assert database.read_now(lambda tx: chapters.find(tx, "org_a", "osl")) == made
    assert database.read_now(lambda tx: chapters.find(tx, "org_b", "osl")) is None
    assert database.read_now(lambda tx: chapters.read_all(tx, "org_b")) == []


def test_a_chapter_without_an_id_gets_one(database: Database) -> None:
    made = database.write_now(lambda tx: chapters.create(tx, "org_a", "  Oslo "))
    assert made.name == "Oslo"
    assert made.id.startswith("chp_")


def test_a_taken_id_is_refused(database: Database) -> None:
    database.write_now(lambda tx: chapters.create(tx, "org_a", "Oslo", "osl"))
    with pytest.raises(StateConflict, match="already has a chapter 'osl'"):
        database.write_now(lambda tx: chapters.create(tx, "org_a", "Other", "osl"))
    database.write_now(lambda tx: chapters.create(tx, "org_b", "Other", "osl"))


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "line\nfeed"])
def test_a_name_that_cannot_be_shown_is_refused(database: Database, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        database.write_now(lambda tx: chapters.create(tx, "org_a", name, "osl"))
    assert refused.value.fields[0].field == "name"


def test_renaming_keeps_the_id_and_the_time_of_creation(database: Database, clock: MovableClock) -> None:
    made = database.write_now(lambda tx: chapters.create(tx, "org_a", "Oslo", "osl"))
    clock.advance(5)
    renamed = database.write_now(lambda tx: chapters.rename(tx, "org_a", "osl", "Oslo vest"))
    assert renamed == Chapter("osl", "Oslo vest", made.created_us, made.updated_us + 5_000_000)
    assert database.read_now(lambda tx: chapters.read_all(tx, "org_a")) == [renamed]
    clock.advance(5)
    assert database.write_now(lambda tx: chapters.rename(tx, "org_a", "osl", "Oslo vest")) == renamed


def test_renaming_an_unknown_chapter_finds_nothing(database: Database) -> None:
    with pytest.raises(NotFound):
        database.write_now(lambda tx: chapters.rename(tx, "org_a", "osl", "Oslo"))


def test_open_provisioning_makes_unknown_chapters_in_the_order_given(database: Database) -> None:
    def transaction(ids: list[str]) -> list[str]:
        found = database.write_now(lambda tx: chapters.provide(tx, "org_a", ids, open_provisioning=True))
        return [chapter.name for chapter in found]

    database.write_now(lambda tx: chapters.create(tx, "org_a", "Oslo", "osl"))
    assert transaction(["trd", "osl", "trd"]) == ["trd", "Oslo", "trd"]
    assert [row.id for row in database.read_now(lambda tx: chapters.read_all(tx, "org_a"))] == ["osl", "trd"]


def test_closed_provisioning_names_each_unknown_chapter_and_makes_none(database: Database) -> None:
    database.write_now(lambda tx: chapters.create(tx, "org_a", "Oslo", "osl"))
    with pytest.raises(Invalid) as refused:
        database.write_now(lambda tx: chapters.provide(tx, "org_a", ["trd", "osl", ""], open_provisioning=False))
    assert [(field.field, field.code) for field in refused.value.fields] == [
        ("chapter_ids[0]", "unknown"),
        ("chapter_ids[2]", "incorrect_value"),
    ]
    assert len(database.read_now(lambda tx: chapters.read_all(tx, "org_a"))) == 1

from __future__ import annotations

from functools import partial

import pytest

from headwater.base.errors import Invalid, NotFound
from headwater.base.ids import MAX_ID_LENGTH
from headwater.identity import organisations
from headwater.identity.organisations import Organisation
from headwater.store.database import Database
from headwater.store.log import feeds
from tests.support.clock import MovableClock


def test_an_organisation_is_stored_with_its_name_and_the_instant(database: Database, clock: MovableClock) -> None:
    made = database.write_now(lambda tx: organisations.create(tx, "acme", "Acme AS"))
    assert made == Organisation("acme", "Acme AS", clock.at_us)
    assert database.read_now(lambda tx: organisations.find(tx, "acme")) == made


def test_an_organisation_without_a_name_is_called_by_its_id(database: Database) -> None:
    assert database.write_now(lambda tx: organisations.create(tx, "acme")).name == "acme"


def test_an_organisation_has_a_feed_that_keeps_the_freshest_change_alone(database: Database) -> None:
    database.write_now(lambda tx: organisations.create(tx, "acme"))
    feed = database.read_now(lambda tx: organisations.feed_of(tx, "acme"))
    assert database.read_now(lambda tx: feeds.read(tx, feed)) == feeds.Feed(feed, "org:acme", "acme", history=False)


@pytest.mark.parametrize("id", ["", "a" * (MAX_ID_LENGTH + 1), "a\nb", "\u200b"])
def test_an_unusable_id_is_refused_by_its_field(database: Database, id: str) -> None:
    with pytest.raises(Invalid) as failure:
        database.write_now(lambda tx: organisations.create(tx, id))
    assert failure.value.fields[0].field == "org_id"
    assert database.read_now(organisations.read_all) == []


@pytest.mark.parametrize("id", ["a", "a" * MAX_ID_LENGTH, "Ås kommune", "org:org"])
def test_an_id_of_any_printable_characters_is_good(database: Database, id: str) -> None:
    database.write_now(lambda tx: organisations.create(tx, id))
    assert database.read_now(lambda tx: organisations.find(tx, id)) is not None


def test_ids_differ_by_case(database: Database) -> None:
    for name in ("acme", "ACME"):
        database.write_now(partial(organisations.create, id=name))
    assert [org.id for org in database.read_now(organisations.read_all)] == ["ACME", "acme"]


def test_organisations_are_listed_by_id(database: Database) -> None:
    for name in ("zeta", "alfa", "beta"):
        database.write_now(partial(organisations.create, id=name))
    assert [org.id for org in database.read_now(organisations.read_all)] == ["alfa", "beta", "zeta"]


def test_an_unknown_organisation_is_none_and_has_no_feed(database: Database) -> None:
    assert database.read_now(lambda tx: organisations.find(tx, "acme")) is None
    with pytest.raises(NotFound, match="acme"):
        database.read_now(lambda tx: organisations.feed_of(tx, "acme"))


class TestProvide:
    def test_a_known_organisation_is_given_whether_provisioning_is_open_or_not(self, database: Database) -> None:
        database.write_now(lambda tx: organisations.create(tx, "acme"))
        feed = database.read_now(lambda tx: organisations.feed_of(tx, "acme"))
        for is_open in (True, False):
            found = database.write_now(partial(organisations.provide, id="acme", open_provisioning=is_open))
            assert found == feed

    def test_open_provisioning_makes_an_unknown_one_with_its_id_as_name(self, database: Database) -> None:
        feed = database.write_now(lambda tx: organisations.provide(tx, "new", open_provisioning=True))
        assert database.read_now(lambda tx: organisations.feed_of(tx, "new")) == feed
        assert [org.name for org in database.read_now(organisations.read_all)] == ["new"]

    def test_closed_provisioning_refuses_an_unknown_one_by_the_bodys_field(self, database: Database) -> None:
        with pytest.raises(Invalid, match="headwater org create") as failure:
            database.write_now(
                lambda tx: organisations.provide(tx, "new", open_provisioning=False, field="organization_id")
            )
        assert failure.value.fields[0][:2] == ("organization_id", "unknown")
        assert database.read_now(organisations.read_all) == []

    def test_open_provisioning_makes_none_with_an_unusable_id(self, database: Database) -> None:
        with pytest.raises(Invalid):
            database.write_now(lambda tx: organisations.provide(tx, "a\nb", open_provisioning=True))
        assert database.read_now(organisations.read_all) == []

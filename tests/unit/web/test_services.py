"""A door's write names the caller's feed, so that no database has to run it twice to find that out."""

from __future__ import annotations

import pytest

from headwater.contracts.contacts import rules
from headwater.store.log import feeds
from tests.support.server.serving import ServerUnderTest


def test_a_request_that_changes_its_callers_feed_runs_once(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    create = rules.create

    def counting(*arguments: object) -> object:
        runs.append(True)
        return create(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rules, "create", counting)
    caller = server.caller("org_a", "org_admin")
    for n in range(3):
        assert caller.post("/api/v1/contacts", json={"first_name": str(n)}).status == 201
    assert len(runs) == 3


def test_an_organisations_feed_is_known_where_naming_it_matters(server: ServerUnderTest) -> None:
    server.token("org_a")
    homes = server.services.homes
    feed = server.database.read_now(lambda tx: feeds.organisation_feed(tx, "org_a"))
    expected = 0 if server.database.embedded else feed
    assert [server.loop.run(homes.of("org_a")) for _ in range(2)] == [expected, expected]


def test_an_organisation_that_is_made_later_is_found_then(server: ServerUnderTest) -> None:
    homes = server.services.homes
    assert server.loop.run(homes.of("org_late")) == 0
    server.token("org_late")
    feed = server.database.read_now(lambda tx: feeds.organisation_feed(tx, "org_late"))
    assert server.loop.run(homes.of("org_late")) == (0 if server.database.embedded else feed)

"""Values that no honest caller sends: each is refused by name, and none makes the server fail."""

from __future__ import annotations

import pytest

from tests.support.server.serving import ServerUnderTest

pytestmark = pytest.mark.sqlite_only


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+10:00", "0001-01-01T00:00:00+00:01"])
def test_a_time_before_the_calendar_is_refused_for_its_row(server: ServerUnderTest, time: str) -> None:
    row = {"id": "cnt_1", "name": "Ada", "updated_at": time}
    answer = server.client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": [row]})
    assert answer.status == 201, answer.text
    assert [error["code"] for error in answer.json()["errors"]] == ["incorrect_value"]


def test_a_time_of_an_early_year_keeps_its_four_digits(server: ServerUnderTest) -> None:
    row = {"id": "cnt_1", "name": "Ada", "updated_at": "0033-04-03T15:00:00Z"}
    server.client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": [row]})
    stored = server.client.get("/api/v1/cache/contacts?org_id=default").json()["data"]
    assert [contact["updated_at"] for contact in stored] == ["0033-04-03T15:00:00Z"]

"""The answer of a packed upload has the time that is stored."""

from __future__ import annotations

import json

import pytest

from tests.support.content import make_share
from tests.support.server.asgi import Client

OLD, FUTURE = "1601-01-01T00:00:00Z", "2106-02-07T06:28:16Z"
STREAM = b"".join(
    json.dumps({"path": path, "size": 1, "modified_at": time}).encode() + b"\nx"
    for path, time in (("/old", OLD), ("/new", FUTURE))
)


@pytest.mark.parametrize("stage", ["false", "true"])
def test_the_answer_has_the_time_that_is_stored(client: Client, stage: str) -> None:
    share = make_share(client)
    route = f"/api/v1/uploads/packed?share_id={share}&stage={stage}"
    made = client.post(route, content=STREAM).json()["results"]
    assert made[0]["modified_at"] == OLD
    assert made[1]["modified_at"] < FUTURE
    if stage == "false":
        page = client.get(f"/api/v1/sync/changes?share_id={share}&cursor=0").json()["changes"]
        stored = {change["resource_id"]: change["metadata"]["modified_at"] for change in page}
        again = client.post(route, content=STREAM).json()["results"]
        assert [one["status"] for one in again] == ["unchanged"] * 2
        assert [one["modified_at"] for one in again] == [stored[one["resource_id"]] for one in made]

"""A sync's status when rows are skipped and refused. Source: readings 3.3."""

from __future__ import annotations

from tests.support.server.asgi import Client

SYNC = "/api/v1/cache/sync"


def test_a_call_of_which_nothing_was_accepted_failed_though_some_rows_were_only_older(client: Client) -> None:
    row = {"id": "a", "name": "A", "updated_at": "2026-01-02T00:00:00Z"}
    client.post(SYNC, json={"org_id": "org_x", "contacts": [row]})
    older = row | {"updated_at": "2026-01-01T00:00:00Z"}
    answer = client.post(SYNC, json={"org_id": "org_x", "contacts": [older, {"id": 5}]}).json()
    assert (answer["status"], len(answer["skipped"]), len(answer["errors"])) == ("failed", 1, 1)
    assert client.post(SYNC, json={"org_id": "org_x", "contacts": [older]}).json()["status"] == "success"

"""Something of every kind for a caller to own, so that each route with ids in its path can be tried on it.

A door with ids needs its maker here; tests/security/test_matrix.py fails without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from headwater.base.ids import random_id
from tests.support.asgi import Answer, Client
from tests.support.doors import Door

DEVICE = "X-Basecrm-Device-UUID"


class Owner(NamedTuple):
    """A caller with every scope, its organisation, and an admin of the whole server to help it."""

    client: Client
    organisation: str
    admin: Client


def contact(owner: Owner) -> dict[str, str]:
    made = owner.client.post("/api/v1/contacts", json={"first_name": "Canary"})
    return {"id": good(made)["contact_id"]}


def cache_sync(owner: Owner) -> dict[str, str]:
    row = {"id": "cnt_1", "name": "Canary", "updated_at": "2026-03-25T14:00:00Z"}
    body = {"org_id": owner.organisation, "contacts": [row], "notes": []}
    return {"id": good(owner.client.post("/api/v1/cache/sync", json=body))["id"]}


def sell_session(owner: Owner) -> dict[str, str]:
    contact(owner)
    started = owner.client.post("/v2/sync/start", headers={DEVICE: "device-1"})
    return {"session_id": good(started)["data"]["id"], "queue": "main"}


def record_conflict(owner: Owner) -> dict[str, str]:
    id = contact(owner)["id"]
    owner.client.put(f"/api/v1/contacts/{id}", json={"first_name": "Canary of the server"})
    edit = {"client_change_id": "e1", "kind": "contact", "id": id, "op": "put", "base_revision": 1}
    changes = [{**edit, "fields": {"first_name": "Canary of the device"}}]
    pushed = good(owner.client.post("/api/v1/feed/push", json={"device_id": f"phone-{id}", "changes": changes}))
    return {"id": pushed["results"][0]["conflict_id"]}


def share(owner: Owner) -> dict[str, str]:
    made = good(owner.client.post("/api/v1/shares", json={"name": "Canary"}))
    good(owner.client.post(f"/api/v1/shares/{made['id']}/folders", json={"path": "/Minutes"}))
    folder = good(owner.client.post(f"/api/v1/shares/{made['id']}/folders", json={"path": "/Canary"}))
    return {"share_id": made["id"], "node_id": folder["id"], "version_id": "ver_none"}


def file_device(owner: Owner) -> dict[str, str]:
    body = {"device_id": f"canary-{random_id('x')}", "device_name": "Canary", "platform": "linux"}
    good(owner.client.post("/api/v1/sync/devices", json={**body, "client_version": "1.0.0"}))
    return {"device_id": body["device_id"], "share_id": share(owner)["share_id"]}


MAKERS: dict[str, Callable[[Owner], dict[str, str]]] = {
    "contacts": contact,
    "cache": cache_sync,
    "sell": sell_session,
    "record-feed": record_conflict,
    "files-shares": share,
    "files-devices": file_device,
}
"""By the contract's name: makes its things for an owner, and gives the values of the names in its paths."""


def ask(client: Client, door: Door, values: dict[str, str], **options: Any) -> Answer:
    """Call a route as its description says: its example as the body, its required headers and parameters."""
    path = door.path.format_map(values)
    needed = [param for param in door.route.params if param.required]
    query = "&".join(f"{param.name}={EXAMPLES[param.name]}" for param in needed if param.place == "query")
    headers = {param.name: EXAMPLES[param.name] for param in needed if param.place == "header"}
    if door.route.body is not None:
        options.setdefault("json", BODIES[door.name](values) if door.name in BODIES else door.route.example)
    return client.request(door.route.method, f"{path}?{query}" if query else path, headers=headers, **options)


BODIES: dict[str, Callable[[dict[str, str]], Any]] = {
    "PUT /api/v1/sync/devices/{device_id}/preferences": lambda ids: {
        "preferences": [{"share_id": ids["share_id"], "sync_enabled": True}]
    },
}
"""Bodies that must name what exists; the others are the route's own example."""

EXAMPLES = {DEVICE: "device-1", "path": "/Canary"}
"""Values of required parameters that stand in no path."""


def good(answer: Answer) -> Any:
    """The JSON of an answer that must be a good one."""
    assert answer.status in (200, 201), (answer.status, answer.body)
    return answer.json()

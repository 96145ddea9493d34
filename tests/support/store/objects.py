"""Something of every kind for a caller to own, so that each route can be tried on what is there.

A door with ids in its paths, parameters or bodies needs its maker here; tests/security/test_matrix.py fails without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from headwater.base.ids import random_id
from tests.support.server.asgi import Answer, Client
from tests.support.server.doors import Door

DEVICE = "X-Basecrm-Device-UUID"
_NAME = re.compile(r"\{(\w+)\}")


class Owner(NamedTuple):
    """A caller with every scope, its organisation, and an admin of the whole server to help it."""

    client: Client
    organisation: str
    admin: Client


def contact(owner: Owner) -> dict[str, str]:
    made = owner.client.post("/api/v1/contacts", json={"first_name": "Canary"})
    return {"id": good(made)["contact_id"]}


def chapter(owner: Owner) -> dict[str, str]:
    return {"id": good(owner.client.post("/api/v1/chapters", json={"name": random_id("Canary")}))["chapter_id"]}


def cache_sync(owner: Owner) -> dict[str, str]:
    row = {"id": "cnt_1", "name": "Canary", "updated_at": "2026-03-25T14:00:00Z"}
    body = {"org_id": owner.organisation, "contacts": [row], "notes": []}
    return {"id": good(owner.client.post("/api/v1/cache/sync", json=body))["id"], "org_id": owner.organisation}


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


def tracked(owner: Owner) -> dict[str, str]:
    good(owner.admin.post("/api/v1/terminology-sync", json={"organization_id": owner.organisation}))
    return {"organization_id": owner.organisation}


def labels(owner: Owner) -> dict[str, str]:
    body = {"organization_id": owner.organisation, "labels": {"greeting": "Canary"}}
    good(owner.admin.post("/api/v1/terminology", json=body))
    return {"organization_id": owner.organisation}


def share(owner: Owner) -> dict[str, str]:
    """A share with folders and a file of two versions, and an upload that has begun."""
    made: str = good(owner.client.post("/api/v1/shares", json={"name": "Canary"}))["id"]
    good(owner.client.post(f"/api/v1/shares/{made}/folders", json={"path": "/Minutes/2026", "parents": True}))
    first = upload(owner, made, b"Canary 1", path="/Canary.txt", commit=True)
    upload(owner, made, b"Canary 2", path="/Canary.txt", commit=True)
    begun = good(owner.client.post("/api/v1/uploads", json={"share_id": made, "file_size": 4, "chunk_size": 65536}))
    file: str = first["resource_id"]
    upload_id: str = begun["session_id"]
    good(owner.client.put(f"/api/v1/uploads/{upload_id}/chunks/0", content=b"abcd"))
    return {
        "share_id": made, "node_id": file, "file_id": file, "version_id": first["version_id"], "upload_id": upload_id,
        "chunk": "0",
    }  # fmt: skip


def file_device(owner: Owner) -> dict[str, str]:
    """A share, and a device that is registered."""
    body = {"device_id": random_id("phone"), "device_name": "Canary", "platform": "linux", "client_version": "1.0.0"}
    good(owner.client.post("/api/v1/sync/devices", json=body))
    return {**share(owner), "device_id": body["device_id"]}


def file_conflict(owner: Owner) -> dict[str, str]:
    """A conflict between a device and the share, left open."""
    ids = file_device(owner)
    staged = upload(owner, ids["share_id"], b"Canary 3")["version_id"]
    change = {
        "resource_type": "file", "resource_id": ids["file_id"], "change_type": "updated", "version_id": staged,
        "base_version_id": ids["version_id"], "new_path": "/Canary.txt", "metadata": {"client_change_id": "e1"},
    }  # fmt: skip
    body = {"device_id": ids["device_id"], "share_id": ids["share_id"], "conflict_resolution": "MANUAL"}
    applied = owner.client.post("/api/v1/sync/apply", json={**body, "changes": [change]})
    conflicts = owner.client.get(f"/api/v1/sync/conflicts?share_id={ids['share_id']}").json()
    assert conflicts, applied.body
    return {**ids, "conflict_id": conflicts[0]["id"]}


def upload(owner: Owner, share_id: str, content: bytes, **more: Any) -> Any:
    """A content that is uploaded whole."""
    fields = {"share_id": share_id, "file_size": len(content), "chunk_size": 65536, **more}
    path = "/api/v1/uploads/" + good(owner.client.post("/api/v1/uploads", json=fields))["session_id"]
    good(owner.client.put(path + "/chunks/0", content=content))
    return good(owner.client.post(path + "/complete"))


MAKERS: dict[str, Callable[[Owner], dict[str, str]]] = {
    "contacts": contact,
    "chapters": chapter,
    "cache": cache_sync,
    "sell": sell_session,
    "record-feed": record_conflict,
    "terminology": tracked,
    "terminology-labels": labels,
    "files-shares": share,
    "files-uploads": share,
    "files-downloads": share,
    "files-batches": share,
    "files-devices": file_device,
    "files-changes": file_device,
    "files-sync": file_conflict,
}
"""By the contract's name: makes its things for an owner, and gives the values of its ids by their names."""

NEW = "new"
"""The name of an id that is nobody's yet: each owner's own, so that no test needs another to come first."""

BODIES: dict[str, Any] = {
    "POST /api/v1/terminology": {"organization_id": "{new}", "labels": {"member": "Medlem"}},
    "POST /api/v1/terminology-sync": {"organization_id": "{new}"},
    "POST /api/v1/cache/sync": {"org_id": "{org_id}", "contacts": [], "notes": []},
    "PUT /api/v1/cache/sync/{id}": {"org_id": "{org_id}", "contacts": [], "notes": []},
    "POST /api/v1/shares/{share_id}/folders": {"path": "/Minutes/2027"},
    "PUT /api/v1/sync/devices/{device_id}/preferences": {
        "preferences": [{"share_id": "{share_id}", "sync_enabled": True}]
    },
    "POST /api/v1/uploads": {"share_id": "{share_id}", "file_size": 4, "chunk_size": 65536},
    "POST /api/v1/uploads/check": {"share_id": "{share_id}", "hashes": ["a" * 64]},
    "POST /api/v1/downloads/batch": {"share_id": "{share_id}", "file_ids": ["{file_id}"]},
    "POST /api/v1/sync/apply": {
        "device_id": "{device_id}",
        "share_id": "{share_id}",
        "conflict_resolution": "MANUAL",
        "changes": [],
    },
}
"""Bodies that name what exists, by its id's name; the others are the route's own example."""

PARAMETERS = {
    DEVICE: "device-1",
    "path": "/Minutes",
    "position": "0",
    "resolution": "SERVER_WINS",
    "Tus-Resumable": "1.0.0",
    "Upload-Offset": "0",
}
"""Values of required parameters that are no ids."""


def _trashed(owner: Owner, ids: dict[str, str]) -> Answer:
    return owner.client.delete(f"/api/v1/shares/{ids['share_id']}/nodes/{ids['node_id']}")


PREPARED: dict[str, Callable[[Owner, dict[str, str]], Answer]] = {
    "POST /api/v1/shares/{share_id}/nodes/{node_id}/restore": _trashed,
    "DELETE /api/v1/shares/{share_id}/trash/{node_id}": _trashed,
}
"""What must have been done before a route can do its deed."""


def things_for(door: Door, owner: Owner) -> dict[str, str]:
    """Make what a call of the route needs, and give its ids."""
    ids = {NEW: f"{owner.organisation}_new"}
    if ids_of(door):
        ids |= MAKERS[door.contract.name](owner)
    if door.name in PREPARED:
        assert PREPARED[door.name](owner, ids).status < 300
    return ids


def ids_of(door: Door) -> set[str]:
    """The names of the ids of things that a call has: in the route's path, its required parameters and its body."""
    needed = {param.name for param in door.route.params if param.required} - PARAMETERS.keys()
    named = _NAME.findall(door.route.path) + _NAME.findall(json.dumps(BODIES.get(door.name, "")))
    return {*named, *needed} - {NEW}


def ask(
    client: Client,
    door: Door,
    ids: dict[str, str],
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    content: bytes | None = None,
    query: str = "",
    prefix: tuple[str, str] = ("", ""),
    ending: str = "",
) -> Answer:
    """Call a route on the things with these ids.

    ``content`` replaces the body, ``query`` adds to the query, ``prefix`` replaces one by another, ``ending`` ends
    the path.
    """
    path = prefix[1] + (door.path.format_map(ids) + ending).removeprefix(prefix[0])
    known = {**PARAMETERS, **ids}
    needed = [param for param in door.route.params if param.required]
    queries = [f"{param.name}={known[param.name]}" for param in needed if param.place == "query"]
    given = {param.name: known[param.name] for param in needed if param.place == "header"}
    if content is None and (door.name in BODIES or door.route.body is not None):
        text = json.dumps(BODIES.get(door.name, door.route.example))
        content = _NAME.sub(lambda match: ids[match[1]], text).encode() if door.name in BODIES else text.encode()
    elif content is None and door.route.raw:
        content, given["content-type"] = b"abcd", door.route.takes
    full_query = "&".join([*queries, *filter(None, [query])])
    target = f"{path}?{full_query}" if full_query else path
    return client.request(door.route.method, target, headers={**given, **headers}, content=content)


def good(answer: Answer) -> Any:
    """The JSON of an answer that must be a good one."""
    assert answer.status in (200, 201), (answer.status, answer.body)
    return answer.json()

"""A share with registered devices, driven over REST; content is staged straight into the database."""

from __future__ import annotations

from itertools import count
from typing import Any
from urllib.parse import quote

from blake3 import blake3

from headwater.store.database import Transaction
from headwater.store.tree import versions
from headwater.store.tree.versions import Piece, Staging
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest


class Device:
    """One registered device of a user in a share."""

    def __init__(self, share: FileShare, client: Client, user_id: str, device_id: str) -> None:
        self.share = share
        self.client = client
        self.user_id = user_id
        self.device_id = device_id

    def stage(self, content: bytes, **more: Any) -> str:
        """The id of a version with this content, as an upload leaves it."""
        return self.share.stage(self.user_id, self.device_id, content, **more)

    def apply(self, *changes: dict[str, Any], strategy: str = "LAST_WRITER_WINS", **more: Any) -> Answer:
        """POST /apply."""
        body = {
            "device_id": self.device_id,
            "share_id": self.share.id,
            "conflict_resolution": strategy,
            "changes": list(changes),
        }
        return self.client.post("/api/v1/sync/apply", json=body | more)

    def applied(self, *changes: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        """The applied list of items that must all be applied."""
        answer = self.apply(*changes, **more)
        assert answer.status == 200, answer.text
        lists = answer.json()
        assert not lists["conflicts"], lists
        assert not lists["errors"], lists
        applied: list[dict[str, Any]] = lists["applied"]
        return applied

    def put(self, path: str, content: bytes, **more: Any) -> dict[str, Any]:
        """Create a file; its entry in the applied list."""
        return self.applied(created(path, self.stage(content), **more))[0]

    def folder(self, path: str) -> str:
        """Create a folder; its id."""
        resource_id: str = self.applied(created(path))[0]["resource_id"]
        return resource_id

    def edit(self, file: dict[str, Any], content: bytes, **more: Any) -> dict[str, Any]:
        """Put a content on top of a file's version; its entry in the applied list."""
        return self.applied(updated(file, self.stage(content), **more))[0]


class FileShare:
    """A share of the organisation ``default``, owned by the first start's admin."""

    def __init__(self, server: ServerUnderTest, **fields: Any) -> None:
        self.server = server
        self.client = server.client
        answer = self.client.post("/api/v1/shares", json={"name": "Files", **fields})
        assert answer.status == 201, answer.text
        self.id: str = answer.json()["id"]
        self.feed: int = self.read(lambda tx: tx.value("SELECT feed FROM shares WHERE id = ?", self.id))
        self._numbers = count(1)

    def read(self, function: Any) -> Any:
        """What a work sees."""
        return self.server.database.read_now(function)

    def device(self, device_id: str = "laptop", client: Client | None = None) -> Device:
        """Register a device."""
        caller = client or self.client
        body = {"device_id": device_id, "device_name": device_id, "platform": "linux"}
        answer = caller.post("/api/v1/sync/devices", json=body)
        assert answer.status in {200, 201}, answer.text
        user_id = self.read(lambda tx: tx.value("SELECT user_id FROM devices WHERE device_id = ?", device_id))
        return Device(self, caller, user_id, device_id)

    def stage(self, user_id: str, device_id: str, content: bytes, *, modified_us: int | None = None) -> str:
        """Stage a version whose only chunk is this content."""

        def transaction(tx: Transaction) -> str:
            expires_us = tx.now_us + 86_400_000_000
            staging = Staging(
                self.feed, "default", user_id, device_id, "text/plain", modified_us or tx.now_us, None, expires_us
            )
            return versions.stage(tx, staging, [Piece(blake3(content).digest(), len(content))]).id

        return self.server.database.write_now(transaction)

    def changes(self, cursor: str | int | None = None, **params: Any) -> Answer:
        """GET /changes of this share."""
        given = {"share_id": self.id, "cursor": cursor, **params}
        return self.client.get(
            "/api/v1/sync/changes?" + "&".join(f"{k}={v}" for k, v in given.items() if v is not None)
        )

    def page(self, cursor: str | int | None = None, **params: Any) -> dict[str, Any]:
        """A page of changes that must be there."""
        answer = self.changes(cursor, **params)
        assert answer.status == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def drain(self, cursor: str | int | None, **params: Any) -> tuple[list[dict[str, Any]], str]:
        """All changes after a cursor, page by page, and the cursor at their end."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.page(cursor, **params)
            found += page["changes"]
            cursor = page["cursor"]
            if not page["has_more"]:
                assert cursor is not None
                return found, str(cursor)

    def tree(self) -> dict[str, str | None]:
        """Every live path with its current version, None for a folder, as the share door lists them."""
        found: dict[str, str | None] = {}
        waiting = ["/"]
        while waiting:
            folder = waiting.pop()
            answer = self.client.get(f"/api/v1/shares/{self.id}/children?limit=1000&path={quote(folder)}")
            assert answer.status == 200, answer.text
            for node in answer.json()["data"]:
                found[node["path"]] = node["version_id"]
                if node["type"] == "folder":
                    waiting.append(node["path"])
        return found


def created(path: str, version_id: str | None = None, **more: Any) -> dict[str, Any]:
    """An item that makes a file, or without a version a folder."""
    kind = "file" if version_id else "folder"
    return _item(kind, "created", new_path=path, version_id=version_id, **more)


def updated(file: dict[str, Any], version_id: str, **more: Any) -> dict[str, Any]:
    """An item that edits a file as an applied list told of it."""
    known = {"resource_id": file["resource_id"], "base_version_id": file["version_id"]}
    return _item("file", "updated", **{**known, "version_id": version_id, **more})


def placed(resource_id: str, old_path: str, new_path: str, *, kind: str = "file", **more: Any) -> dict[str, Any]:
    """An item that renames or moves."""
    same_folder = old_path.rpartition("/")[0] == new_path.rpartition("/")[0]
    change_type = "renamed" if same_folder else "moved"
    return _item(kind, change_type, resource_id=resource_id, old_path=old_path, new_path=new_path, **more)


def deleted(file: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An item that deletes a file as an applied list told of it."""
    return _item("file", "deleted", resource_id=file["resource_id"], base_version_id=file["version_id"], **more)


def _item(resource_type: str, change_type: str, **fields: Any) -> dict[str, Any]:
    details = {name: fields.pop(name) for name in ("modified_at", "client_change_id") if name in fields}
    found = {"resource_type": resource_type, "change_type": change_type, **fields}
    if details:
        found["metadata"] = details
    return {name: value for name, value in found.items() if value is not None}

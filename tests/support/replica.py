"""A small honest client of a share: a tree folded from its changes alone, and edits made upon it while it lags.

It knows what the contract tells every client: changes in their order, the answers of apply, nothing of the server.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.support.server.wire import Wire, packed

Tree = dict[str, tuple[str, str, str | None]]
"""Path to id, type and version."""

MINE = "mine:"
"""How the ids of things begin that the server has not named yet."""

NAMES = (
    "notes.txt",
    "NOTES.txt",
    "a b.c",
    "straße",
    "STRASSE",
    "\u00e9t\u00e9",
    "e\u0301te\u0301",
    "long " * 50 + ".txt",
)
"""Names that meet: some are one name to a share, though spelt in other letters, and one leaves no room for more."""

LARGEST_SUBTREE = 40
"""Folders with more below them are not deleted, so that there is something left."""


class Seen(NamedTuple):
    """A file or folder as a device knows it; ``parent`` is None at the root."""

    type: str
    parent: str | None
    name: str
    version: str | None


class Nodes(dict[str, Seen]):
    """Files and folders by id."""

    def drop(self, gone: str) -> None:
        """Take something out with all below it."""
        self.pop(gone, None)
        for child in [i for i, node in self.items() if node.parent == gone]:
            self.drop(child)

    def path(self, node_id: str | None) -> str:
        """Where something is; the root is empty."""
        names = []
        while node_id is not None:
            node = self[node_id]
            names.append(node.name)
            node_id = node.parent
        return "".join("/" + name for name in reversed(names))

    def may_hold(self, folder: str | None, node_id: str) -> bool:
        """True when the folder is there and not inside the node."""
        while folder is not None and folder in self and folder != node_id:
            folder = self[folder].parent
        return folder is None

    def below(self, folder: str) -> Iterator[str]:
        """All in a folder at any depth."""
        for child in [i for i, node in self.items() if node.parent == folder]:
            yield child
            yield from self.below(child)

    def tree(self) -> Tree:
        """All that is there, by path."""
        found: Tree = {}
        for node_id, node in self.items():
            path = self.path(node_id)
            assert path not in found, f"two have the path {path}"
            found[path] = (node_id, node.type, node.version)
        return found


@dataclass
class Follower:
    """A tree folded from changes: created, updated, moved and renamed set what they tell, deleted takes away."""

    wire: Wire
    share: str
    cursor: str = "0"
    nodes: Nodes = field(default_factory=Nodes)

    def pull(self, limit: int = 1000) -> bool:
        """Take the next page; True when that was all."""
        page = self.wire.get(f"/api/v1/sync/changes?share_id={self.share}&cursor={quote(self.cursor)}&limit={limit}")
        for change in page["changes"]:
            self.fold(change)
        self.cursor = page["cursor"]
        return not page["has_more"]

    def pull_all(self, limit: int = 1000) -> Follower:
        """Take all pages."""
        while not self.pull(limit):
            pass
        return self

    def fold(self, change: dict[str, Any]) -> None:
        """Take one change."""
        if change["change_type"] == "deleted":
            self.nodes.drop(change["resource_id"])
            return
        parent = change["metadata"]["parent_id"]
        assert parent is None or parent in self.nodes, f"a child came before its folder: {change}"
        name = change["new_path"].rpartition("/")[2]
        self.nodes[change["resource_id"]] = Seen(change["resource_type"], parent, name, change["version_id"])


@dataclass
class Editor:
    """A device that edits on what it sees: its folded tree and its own work since, often behind the server's.

    When it has caught up, it sees what it folded. Until then its own changes stand as apply acknowledged them; what
    ended in a conflict or an error it takes back and awaits by the cursor, because there the server decided.
    """

    follower: Follower
    device: str
    rng: random.Random
    hot: list[str]
    """What every device likes to edit, so that they meet."""
    acknowledged: dict[str, set[tuple[str | None, str]]] = field(default_factory=dict)
    """SHA-256 to every file and version that is said to hold these bytes; None where the answer names none."""
    touched: set[str] = field(default_factory=set)
    """What it ever wanted to change."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    view: Nodes = field(default_factory=Nodes)
    _staged: list[tuple[str, str]] = field(default_factory=list)
    _digests: dict[str, str] = field(default_factory=dict)
    _contents: list[bytes] = field(default_factory=list)
    _number: int = 0

    def catch_up(self) -> None:
        """Take all changes; the view is then what was folded."""
        self.follower.pull_all(self.rng.choice([50, 1000]))
        self.view = Nodes(self.follower.nodes)

    def lag(self) -> None:
        """Take some changes, or none: the view stays what it was."""
        if self.rng.random() < 0.5:
            self.follower.pull(self.rng.randint(1, 20))

    def batch(self, size: int) -> list[dict[str, Any]]:
        """Items that this device would send, made upon its view, which then shows them."""
        self._stage(size)
        items: list[dict[str, Any]] = []
        while len(items) < size:
            item = self._item()
            if item is not None:
                self._number += 1
                item["metadata"]["client_change_id"] = f"{self.device} {self._number}"
                items.append(item)
        return items

    def send(self, items: list[dict[str, Any]], strategy: str, *, atomic: bool = False) -> dict[str, Any]:
        """Apply a batch, take its answer into the view, and note which bytes are acknowledged."""
        wished = [item.pop("wish", None) for item in items]
        self.touched |= {item["resource_id"] for item in items if "resource_id" in item}
        body = {
            "device_id": self.device, "share_id": self.follower.share, "changes": items,
            "conflict_resolution": strategy, "atomic": atomic,
        }  # fmt: skip
        reply = self.follower.wire.call("POST", "/api/v1/sync/apply", body)
        assert reply.status == 200 or (atomic and reply.status == 409), reply.body
        answer: dict[str, Any] = reply.json()
        if reply.status == 409:
            assert answer["applied"] == []
            assert all(one["resolution"] is None for one in answer["conflicts"])
        elif atomic:
            assert answer["errors"] == []
        elif self.rng.random() < 0.2:
            self._again(answer, body)
        indexes = [one["index"] for name in ("applied", "conflicts", "errors") for one in answer[name]]
        assert sorted(indexes) == list(range(len(items)))
        named: dict[str, str] = {}
        for one in answer["applied"]:
            self._applied(items[one["index"]], one, wished[one["index"]], named)
        for one in (*answer["conflicts"], *answer["errors"]):
            self._taken_back(items[one["index"]], wished[one["index"]])
        for one in answer["conflicts"]:
            self._in_conflict(items[one["index"]], one)
        for name in ("applied", "conflicts", "errors"):
            for one in answer[name]:
                self.outcomes[strategy, one.get("conflict_type") or one.get("reason") or one.get("outcome") or ""] += 1
        for node_id, node in list(self.view.items()):
            if node.parent in named:
                self.view[node_id] = node._replace(parent=named[node.parent])
        return answer

    def _again(self, first: dict[str, Any], body: dict[str, Any]) -> None:
        """The same request once more, as after a lost answer: all that was acknowledged gets that answer again."""
        second = self.follower.wire.call("POST", "/api/v1/sync/apply", body).json()
        for name in ("applied", "conflicts"):
            assert [one for one in second[name] if one in first[name]] == first[name]
        for one in (*second["applied"], *second["conflicts"]):
            if one not in (*first["applied"], *first["conflicts"]):
                # What failed is tried again, and may succeed by what came behind it.
                first["errors"] = [error for error in first["errors"] if error["index"] != one["index"]]
                first["applied" if "outcome" in one else "conflicts"].append(one)

    def _applied(self, item: dict[str, Any], one: dict[str, Any], wish: str | None, named: dict[str, str]) -> None:
        if "version_id" in item:
            # With another version the file had these bytes already, as its current content or as the base's.
            own = item["version_id"] == one["version_id"]
            self._note(item["version_id"], one["resource_id"] if own else None, item["version_id"])
        if wish is not None and wish in self.view:
            self.view[one["resource_id"]] = self.view.pop(wish)._replace(version=one["version_id"])
            named[wish] = one["resource_id"]

    def _taken_back(self, item: dict[str, Any], wish: str | None) -> None:
        if wish is not None:
            self.view.drop(wish)
            return
        node_id = item["resource_id"]
        before = self.follower.nodes.get(node_id)
        if before is not None and self.view.may_hold(before.parent, node_id):
            self.view[node_id] = before
        else:
            self.view.drop(node_id)

    def _in_conflict(self, item: dict[str, Any], one: dict[str, Any]) -> None:
        if "version_id" in item:
            kept = one["kept_as"]
            known = kept is not None and kept["keeper"] != "held"
            self._note(item["version_id"], *((kept["resource_id"], kept["version_id"]) if known else (None, "")))

    def _note(self, staged: str, file: str | None, version: str) -> None:
        self.acknowledged.setdefault(self._digests[staged], set()).add((file, version))

    def _stage(self, size: int) -> None:
        """Upload contents for later items; now and then one that was there before."""
        contents = [
            self.rng.choice(self._contents) if self._contents and self.rng.random() < 0.15 else self.rng.randbytes(
                self.rng.randint(0, 300)
            )
            for _ in range(size)
        ]  # fmt: skip
        self._contents = (self._contents + contents)[-200:]
        stream = packed(({"path": f"/{number}"}, content) for number, content in enumerate(contents))
        answer = self.follower.wire.send(
            "POST", f"/api/v1/uploads/packed?stage=true&share_id={self.follower.share}", stream
        )
        assert answer.status == 200, answer.body
        results = answer.json()["results"]
        self._staged = []
        for content, result in zip(contents, results, strict=True):
            assert result["status"] == "staged"
            self._digests[result["version_id"]] = sha256(content).hexdigest()
            self._staged.append((result["version_id"], self._digests[result["version_id"]]))

    def _item(self) -> dict[str, Any] | None:
        """The next edit, shown in the view at once; None when the dice named something impossible."""
        change = self.rng.choices(
            ["updated", "created", "folder", "renamed", "moved", "deleted", "folder deleted"],
            [35, 15, 5, 12, 16, 12, 5],
        )[0]
        if change in {"created", "folder"}:
            return self._creation("file" if change == "created" else "folder")
        node_id = self._pick(folder=change == "folder deleted" or (change != "updated" and self.rng.random() < 0.25))
        if node_id is None:
            return None
        node, path = self.view[node_id], self.view.path(node_id)
        item: dict[str, Any] = {
            "resource_type": node.type, "resource_id": node_id, "old_path": path, "metadata": self._details(),
            "change_type": "deleted" if change == "folder deleted" else change,
        }  # fmt: skip
        if node.type == "file":
            item["base_version_id"] = node.version
        if item["change_type"] == "deleted":
            if len(list(self.view.below(node_id))) > LARGEST_SUBTREE:
                return None
            self.view.drop(node_id)
            return item
        if change in {"renamed", "moved"}:
            parent = node.parent if change == "renamed" else self._folder()
            if not self.view.may_hold(parent, node_id):
                return None
            node = node._replace(parent=parent, name=self._name())
            self.view[node_id] = node
        item["new_path"] = self.view.path(node_id)
        if node.type == "file" and (change == "updated" or self.rng.random() < 0.2) and self._staged:
            item["version_id"] = self._staged.pop()[0]
            self.view[node_id] = node._replace(version=item["version_id"])
        return item

    def _creation(self, kind: str) -> dict[str, Any] | None:
        if not self._staged:
            return None
        self._number += 1
        wish = f"{MINE}{self._number}"
        version = self._staged.pop()[0] if kind == "file" else None
        self.view[wish] = Seen(kind, self._folder(), self._name(), version)
        item = {
            "resource_type": kind, "change_type": "created", "new_path": self.view.path(wish),
            "metadata": self._details(), "wish": wish,
        }  # fmt: skip
        return item if version is None else item | {"version_id": version}

    def _pick(self, *, folder: bool) -> str | None:
        """A file or folder that the server has named, often one of those that everybody edits."""
        kind = "folder" if folder else "file"
        pool = self.hot if self.rng.random() < 0.5 else list(self.view)
        found = [i for i in pool if i in self.view and self.view[i].type == kind and not i.startswith(MINE)]
        return self.rng.choice(found) if found else None

    def _folder(self) -> str | None:
        folders = [i for i in self.hot if i in self.view and self.view[i].type == "folder"]
        if self.rng.random() < 0.3:
            folders = [i for i, node in self.view.items() if node.type == "folder"]
        return self.rng.choice([None, *folders])

    def _name(self) -> str:
        self._number += 1
        return self.rng.choice(NAMES) if self.rng.random() < 0.5 else f"{self.device} {self._number}"

    def _details(self) -> dict[str, Any]:
        """With or without a time, which may be far off."""
        year = self.rng.choice([None, 2001, 2026, 2100])
        return {} if year is None else {"modified_at": f"{year}-11-22T05:{self.rng.randint(10, 59)}:00Z"}


def shared_taste(nodes: Nodes, rng: random.Random) -> list[str]:
    """Forty files and ten folders that every device likes to edit."""
    return [
        found
        for kind, count in (("file", 40), ("folder", 10))
        for found in rng.sample(sorted(i for i, node in nodes.items() if node.type == kind), count)
    ]

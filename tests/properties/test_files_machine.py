"""Several devices edit one share under every strategy; the server, a small model and every follower agree.

The model decides with the same pure choice, but looks everything up and carries everything out by itself, in
memory. Followers know nothing but the changes that their cursors give them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pytest
from blake3 import blake3
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headwater.base.wire import format_seconds
from headwater.contracts.files.apply.decide import decide, resolve_later
from headwater.contracts.files.apply.decision import Create, Effect, Outcome, PlaceAside, RestoreFolders
from headwater.contracts.files.apply.inputs import (
    ChangeType,
    Item,
    RecordedConflict,
    Resource,
    ResourceType,
    Spot,
    Strategy,
)
from headwater.contracts.files.names import join_path, parent_path, split_path
from headwater.store.tree import nodes as tree_nodes
from headwater.store.tree import versions
from tests.properties.test_conflict_choice import ROOT, Share
from tests.support.clock import SECOND_US
from tests.support.file_share import Device, FileShare
from tests.support.server.serving import ServerUnderTest

NAMES = ("a", "A", "b", "c.txt")
ANSWERS = [strategy for strategy in Strategy if strategy is not Strategy.MANUAL]
DEVICES = ("d0", "d1", "d2")


class Model(Share):
    """The pure test's share, with what the server does about places in more detail."""

    hidden: set[str]

    def spot(self, path: str, resource: Resource | None) -> Spot:
        found = super().spot(path, resource)
        passed: set[str] = set()
        node_id: str | None = ROOT
        for name in split_path(parent_path(path)):
            node_id = self.child(node_id, name) if node_id is not None else None
            if node_id is not None and self.nodes[node_id].type is ResourceType.FOLDER:
                passed.add(node_id)
        inside = resource is not None and resource.resource_id in passed
        return Spot(found.folder, found.occupant, inside)

    def carry_out(self, effect: Effect, item: Item) -> None:
        before = set(self.nodes)
        super().carry_out(effect, item)
        if isinstance(effect, PlaceAside):
            self.nodes[effect.resource_id].placed_at_us = self.now_us
        if isinstance(effect, Create) and effect.in_trash:
            self.hidden |= set(self.nodes) - before

    def live(self) -> dict[str, tuple[str, str, str | None]]:
        """Path to id, type and version."""
        return {
            self.path(i): (i, str(n.type), n.current)
            for i, n in self.nodes.items()
            if i not in self.hidden and self.is_live(i)
        }


class Seen(NamedTuple):
    """What a follower knows of a file or folder."""

    type: str
    parent: str | None
    name: str
    version: str | None


@dataclass
class Follower:
    """A device's replica, fed by its cursor alone."""

    cursor: str
    nodes: dict[str, Seen] = field(default_factory=dict)
    complete: bool = False
    listing: bool = True

    def take(self, page: dict[str, Any]) -> None:
        for change in page["changes"]:
            if change["change_type"] == "deleted":
                self.drop(change["resource_id"])
                continue
            parent = change["metadata"]["parent_id"]
            assert not self.listing or parent is None or parent in self.nodes, "a child came before its folder"
            self.nodes[change["resource_id"]] = Seen(
                change["resource_type"], parent, change["new_path"].rpartition("/")[2], change["version_id"]
            )
        self.cursor = page["cursor"]
        self.complete = not page["has_more"]
        self.listing = self.listing and not self.complete

    def drop(self, gone: str) -> None:
        self.nodes.pop(gone, None)
        for child in [i for i, node in self.nodes.items() if node.parent == gone]:
            self.drop(child)

    def tree(self) -> dict[str, tuple[str, str, str | None]]:
        found: dict[str, tuple[str, str, str | None]] = {}
        for node_id, node in self.nodes.items():
            names, above = [node.name], node.parent
            while above is not None and above in self.nodes:
                names.append(self.nodes[above].name)
                above = self.nodes[above].parent
            assert above is None, "a node is left whose folder went"
            path = join_path(tuple(reversed(names)))
            assert path not in found, "two nodes have one path"
            found[path] = (node_id, node.type, node.version)
        return found


@dataclass(frozen=True)
class Wish:
    """A change in numbers, made an item of whatever the share holds when its turn comes."""

    device: str
    strategy: Strategy
    resource: int
    change: ChangeType
    kind: ResourceType
    content: int
    lag: int
    parent: int
    name: str
    minutes: int | None
    named: bool
    twice: bool
    again: bool


WISHES = st.builds(
    Wish,
    device=st.sampled_from(DEVICES),
    strategy=st.sampled_from(Strategy),
    resource=st.integers(0, 30),
    change=st.sampled_from([*ChangeType, ChangeType.CREATED, ChangeType.UPDATED, ChangeType.UPDATED]),
    kind=st.sampled_from([ResourceType.FILE, ResourceType.FILE, ResourceType.FOLDER]),
    content=st.integers(0, 12),
    lag=st.integers(0, 5),
    parent=st.integers(0, 9),
    name=st.sampled_from(NAMES),
    minutes=st.none() | st.integers(-3, 3),
    named=st.booleans(),
    twice=st.booleans(),
    again=st.booleans(),
)


class Known(NamedTuple):
    """A recorded conflict, and the positions at which the server had all that it concerned when it was written."""

    conflict: RecordedConflict
    stood: dict[str, int | None]


class Machine(RuleBasedStateMachine):
    """One share, three devices that apply, and followers that come when they like."""

    server: ServerUnderTest

    def __init__(self) -> None:
        super().__init__()
        server = self.server
        self.share = FileShare(server)
        self.devices: dict[str, Device] = {}
        for name in DEVICES:
            device = self.share.device(f"{name} {self.share.id}")
            server.database.write_now(lambda tx: tx.run("UPDATE devices SET device_name = 'laptop'"))
            self.devices[name] = device
        self.model = Model()
        self.model.hidden = set()
        self.ids: dict[str, str] = {}
        """Server id to model id."""
        self.acknowledged: set[str] = set()
        self.open: list[tuple[str, Item, str, int]] = []
        self.followers: list[Follower] = []
        self.records: dict[tuple[Any, ...], Known] = {}
        self.turn = 0

    def step(self) -> None:
        self.server.clock.advance(7)
        self.model.now_us = self.server.clock.at_us
        self.turn += 1

    @initialize()
    def begin(self) -> None:
        """Two folders, and a file with an older version in each."""
        for path in ("/a", "/b", "/a/b", "/c.txt"):
            kind = ResourceType.FOLDER if path in {"/a", "/b"} else ResourceType.FILE
            model_id = self.model.make(kind, path, None)
            self.model.put(model_id, path)
            node = self.model.nodes[model_id]
            if kind is ResourceType.FOLDER:
                self.ids[self.devices["d0"].folder(path)] = model_id
                continue
            file = self.devices["d0"].put(path, b"old")
            for content, version_id in ((b"old", file["version_id"]), (b"0", "")):
                known = version_id or self.devices["d0"].edit(file, content)["version_id"]
                self.model.contents[known] = ("b3:" + blake3(content).hexdigest(), self.server.clock.at_us)
                node.versions.append(known)
                node.current = known
            self.ids[file["resource_id"]] = model_id
        for node_id, node in self.model.nodes.items():
            node.placed_at_us = self.server.clock.at_us
            node.paths.append(self.model.path(node_id))
        self.agree()
        self.join(5000)

    @rule(wish=WISHES)
    def apply(self, wish: Wish) -> None:
        self.step()
        self.send(wish, *self.make_item(wish))

    @rule(wish=WISHES)
    def give_a_folders_name_to_a_file(self, wish: Wish) -> None:
        """A folder is deleted and a file takes its name: an edit below it is then made in a folder beside the file."""
        live = sorted((p, i) for p, (i, kind, _) in self.model.live().items() if kind == "folder")
        if not live:
            return
        path, model_id = live[wish.parent % len(live)]
        server_id = next(s for s, m in self.ids.items() if m == model_id)
        self.step()
        self.send(wish, Item(ResourceType.FOLDER, ChangeType.DELETED, old_path=path), server_id)
        self.step()
        content = b"%d" % wish.content
        version_id, content_hash = self.devices[wish.device].stage(content), "b3:" + blake3(content).hexdigest()
        self.model.contents[version_id] = (content_hash, self.model.now_us)
        self.send(wish, Item(ResourceType.FILE, ChangeType.CREATED, version_id, content_hash, new_path=path), None)

    def send(self, wish: Wish, item: Item, server_id: str | None) -> None:
        """Applies an item on the server and in the model, and compares them."""
        device, strategy = wish.device, wish.strategy
        sent = self.wire(item, server_id, f"id {self.turn}" if wish.named else None)
        before = self.positions()
        answer = self.devices[device].apply(sent, strategy=strategy.value)
        model_id = self.ids.get(server_id or "", "unknown")
        key = self.key(wish, item, model_id)
        situation = self.model.look(item, model_id, strategy)
        known = self.records.get(key)
        stands = known and all(before.get(node) == at for node, at in known.stood.items())
        situation = replace(situation, earlier=known.conflict if known and stands and not wish.named else None)
        decision = decide(situation)
        lists = answer.json()
        kind_of = decision.conflict.kind if decision.conflict else decision.reason
        event(f"{decision.outcome.value} {kind_of.value if kind_of else ''}")
        event(f"folders: {any(isinstance(effect, RestoreFolders) for effect in decision.effects)}")
        assert [len(lists["applied"]), len(lists["conflicts"]), len(lists["errors"])] == {
            Outcome.APPLIED: [1, 0, 0],
            Outcome.UNCHANGED: [1, 0, 0],
            Outcome.CONFLICT: [0, 1, 0],
            Outcome.STALE: [0, 0, 1],
            Outcome.REFUSED: [0, 0, 1],
        }[decision.outcome], (decision, lists)
        self.model.apply(item, model_id, decision)
        if decision.conflict is not None and not decision.repeat:
            recorded = lists["conflicts"][0]
            conflict = RecordedConflict(recorded["id"], decision.conflict.resolution)
            self.records[key] = Known(conflict, self.stand(before, server_id, recorded["resource_id"]))
            if decision.conflict.resolution is None:
                self.open.append((recorded["id"], item, model_id, self.server.clock.at_us))
        if decision.outcome not in {Outcome.STALE, Outcome.REFUSED} and item.content_hash is not None:
            self.acknowledged.add(item.content_hash)
        self.agree()
        if wish.twice:
            head = self.share.page()["cursor"]
            self.devices[device].apply(sent, strategy=strategy.value)
            assert self.share.page(head)["changes"] == []
        if wish.again and not wish.named and decision.outcome is Outcome.CONFLICT:
            self.lose_again(wish, sent, lists["conflicts"][0]["id"])

    def lose_again(self, wish: Wish, sent: dict[str, Any], conflict_id: str) -> None:
        """The same losing bytes, uploaded anew, make neither another copy nor another conflict."""
        head, fresh = self.share.page()["cursor"], dict(sent)
        if "version_id" in sent and sent["version_id"] != sent.get("base_version_id"):
            fresh["version_id"] = self.devices[wish.device].stage(b"%d" % wish.content)
        answer = self.devices[wish.device].apply(fresh, strategy=wish.strategy.value).json()
        assert not answer["errors"], answer
        assert {conflict["id"] for conflict in answer["conflicts"]} <= {conflict_id}
        assert self.share.page(head)["changes"] == []

    @rule(conflict=st.integers(0, 9), answer=st.sampled_from(ANSWERS))
    @precondition(lambda self: self.open)
    def settle(self, conflict: int, answer: Strategy) -> None:
        self.step()
        at = conflict % len(self.open)
        conflict_id, item, model_id, received_us = self.open[at]
        now = self.model.look(item, model_id, Strategy.MANUAL)
        now = replace(now, received_at_us=received_us)
        decision = resolve_later(RecordedConflict(conflict_id), answer, now)
        before = self.positions()
        reply = self.share.client.post(f"/api/v1/sync/conflicts/{conflict_id}/resolve?resolution={answer.value}")
        refused = decision.outcome in {Outcome.REFUSED, Outcome.STALE}
        event(f"settled: {decision.outcome.value}")
        assert reply.status == (409 if refused else 200), (reply.text, decision)
        if refused:
            return
        del self.open[at]
        self.model.apply(item, model_id, decision)
        server_id = next((s for s, m in self.ids.items() if m == model_id), None)
        stood = self.stand(before, server_id, reply.json()["resource_id"])
        for key, known in self.records.items():
            if known.conflict.conflict_id == conflict_id:
                self.records[key] = Known(RecordedConflict(conflict_id, answer), stood)
        self.agree()

    @rule(which=st.integers(0, 9))
    def restore(self, which: int) -> None:
        """Somebody takes what was deleted out of the trash, with all that is below it."""
        self.step()
        gone = sorted(server_id for server_id, model_id in self.ids.items() if self.model.nodes[model_id].deleted)
        if not gone:
            return
        server_id = gone[which % len(gone)]
        model_id = self.ids[server_id]
        node = self.model.nodes[model_id]
        fits = (node.parent == ROOT or self.model.is_live(node.parent)) and not self.model.child(node.parent, node.name)
        event(f"restored: {node.type.value} {fits}")
        reply = self.share.client.post(f"/api/v1/shares/{self.share.id}/nodes/{server_id}/restore", json={})
        assert reply.status == (200 if fits else 409), reply.text
        if fits:
            self.model.put(model_id, self.model.path(model_id))
        self.agree()

    @rule(limit=st.sampled_from([1, 2, 5, 5000]))
    def join(self, limit: int) -> None:
        """A new device begins with the whole tree."""
        if len(self.followers) < 6:
            follower = Follower("0")
            follower.take(self.share.page("0", limit=limit))
            self.followers.append(follower)

    @rule(which=st.integers(0, 5), limit=st.sampled_from([1, 2, 5, 5000]), pages=st.integers(1, 3))
    @precondition(lambda self: self.followers)
    def follow(self, which: int, limit: int, pages: int) -> None:
        """A device reads on, perhaps not to the end."""
        follower = self.followers[which % len(self.followers)]
        for _ in range(pages):
            follower.take(self.share.page(follower.cursor, limit=limit))
            if follower.complete:
                assert follower.tree() == self.server_tree()
                break

    @invariant()
    def all_that_was_acknowledged_is_reachable(self) -> None:
        found = self.share.read(
            lambda tx: tx.rows(
                "SELECT v.content_hash FROM versions v JOIN nodes n ON n.feed = v.feed AND n.id = v.node"
                " WHERE v.feed = ? AND v.state = 'kept' UNION SELECT v.content_hash FROM versions v"
                " JOIN file_conflicts c ON c.feed = v.feed AND c.local_version_id = v.id AND c.resolution IS NULL"
                " WHERE v.feed = ? AND v.state <> 'staged'",
                self.share.feed,
                self.share.feed,
            )
        )
        assert self.acknowledged <= {row[0] for row in found}

    def teardown(self) -> None:
        self.server.clock.advance(10 * 86_400)
        self.server.database.write_now(versions.drop_expired)
        self.all_that_was_acknowledged_is_reachable()
        self.followers.append(Follower("0"))
        for follower in self.followers:
            while not follower.complete or follower.cursor == "0":
                follower.take(self.share.page(follower.cursor, limit=3))
            while True:
                follower.take(self.share.page(follower.cursor))
                if follower.complete:
                    break
            assert follower.tree() == self.server_tree()

    def make_item(self, wish: Wish) -> tuple[Item, str | None]:
        """An item that a device, often one that lags behind, would send."""
        model = self.model
        known = sorted(i for i in self.ids.values() if i not in model.hidden)
        node_id = None if wish.change is ChangeType.CREATED or not known else known[wish.resource % len(known)]
        node = model.nodes[node_id] if node_id else None
        node_type = node.type if node else wish.kind
        folders = ["/", *(model.path(i) for i in known if model.nodes[i].type is ResourceType.FOLDER)]
        above = folders[wish.parent % len(folders)]
        if node_id and wish.change is ChangeType.RENAMED:
            above = parent_path(model.path(node_id))
        places = wish.change in {ChangeType.CREATED, ChangeType.RENAMED, ChangeType.MOVED}
        old_path = None
        if node is not None and wish.lag < 5:
            old_path = node.paths[-1 if wish.lag < 3 else -wish.lag % len(node.paths)]
        base = None
        if node is not None and node.versions:
            base = node.current if wish.lag < 3 else node.versions[0] if wish.lag < 5 else None
        version_id = content_hash = None
        brings = wish.change in {ChangeType.CREATED, ChangeType.UPDATED} or wish.content > 9
        if node_type is ResourceType.FILE and brings and wish.change is not ChangeType.DELETED:
            version_id = self.devices[wish.device].stage(b"%d" % wish.content)
            content_hash = "b3:" + blake3(b"%d" % wish.content).hexdigest()
            model.contents[version_id] = (content_hash, model.now_us)
        modified_us = (
            None if wish.minutes is None else model.now_us // SECOND_US * SECOND_US + wish.minutes * 60 * SECOND_US
        )
        item = Item(
            node_type, wish.change, version_id, content_hash, base, old_path,
            join_path((*split_path(above), wish.name)) if places else None, modified_us,
        )  # fmt: skip
        server_id = next((s for s, m in self.ids.items() if m == node_id), None)
        return item, server_id

    def wire(self, item: Item, server_id: str | None, change_id: str | None) -> dict[str, Any]:
        details: dict[str, Any] = {}
        if change_id is not None:
            details["client_change_id"] = change_id
        if item.modified_at_us is not None:
            details["modified_at"] = format_seconds(item.modified_at_us)
        found = {
            "resource_type": item.resource_type.value,
            "change_type": item.change_type.value,
            "resource_id": server_id,
            "version_id": item.version_id,
            "base_version_id": item.base_version_id,
            "old_path": item.old_path,
            "new_path": item.new_path,
            "metadata": details,
        }
        return {name: value for name, value in found.items() if value is not None}

    def key(self, wish: Wish, item: Item, model_id: str) -> tuple[Any, ...]:
        """A wish as a repeat of it is known: by its content and not by its upload, and under its strategy."""
        updates, last_writer = item.change_type is ChangeType.UPDATED, wish.strategy is Strategy.LAST_WRITER_WINS
        places = (None, None) if updates else (item.old_path, item.new_path)
        return (
            wish.device, wish.strategy, model_id, item.resource_type, item.change_type, item.content_hash,
            item.base_version_id, places, item.modified_at_us if last_writer else None,
        )  # fmt: skip

    def positions(self) -> dict[str, int]:
        """The position of the newest change of every file and folder."""
        return dict(
            self.share.read(lambda tx: tx.rows("SELECT id, position FROM nodes WHERE feed = ?", self.share.feed))
        )

    def stand(self, before: dict[str, int], *sides: str | None) -> dict[str, int | None]:
        """The sides of a conflict, and all that was written for it, as they are now."""
        now = self.positions()
        written = {node for node, at in now.items() if before.get(node) != at}
        return {node: now.get(node) for node in written | {side for side in sides if side}}

    def server_tree(self) -> dict[str, tuple[str, str, str | None]]:
        def transaction(tx: Any) -> dict[str, tuple[str, str, str | None]]:
            ids = [row[0] for row in tx.rows("SELECT id FROM nodes WHERE feed = ?", self.share.feed)]
            nodes = [node for id in ids if (node := tree_nodes.find(tx, self.share.feed, id)) is not None]
            return {
                tree_nodes.path_of(tx, self.share.feed, node): (node.id, node.type, node.version)
                for node in nodes
                if tree_nodes.is_live(tx, self.share.feed, node)
            }

        found: dict[str, tuple[str, str, str | None]] = self.share.read(transaction)
        return found

    def agree(self) -> None:
        """The server's tree is the model's; a new id of the one becomes that of the other."""
        ours, theirs = self.model.live(), self.server_tree()
        assert {p: (t, v) for p, (_, t, v) in ours.items()} == {p: (t, v) for p, (_, t, v) in theirs.items()}
        for path, (model_id, _, _) in ours.items():
            assert self.ids.setdefault(theirs[path][0], model_id) == model_id


@pytest.mark.slow
def test_server_model_and_followers_agree_and_no_bytes_go(server: ServerUnderTest) -> None:
    class OnServer(Machine):
        pass

    OnServer.server = server
    run_state_machine_as_test(OnServer, settings=settings(max_examples=25, stateful_step_count=40, deadline=None))

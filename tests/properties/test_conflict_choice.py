"""Random changes from devices that lag behind, decided and carried out on a share in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import assert_never

from hypothesis import event, given, settings
from hypothesis import strategies as st

from headwater.contracts.files.apply.decide import decide, resolve_later
from headwater.contracts.files.apply.decision import (
    CopyBeside,
    Create,
    Decision,
    Effect,
    HoldVersion,
    Keeper,
    KeepVersion,
    MoveTo,
    Outcome,
    PlaceAside,
    PutCurrent,
    Reason,
    Restore,
    RestoreFolders,
    Trash,
)
from headwater.contracts.files.apply.inputs import (
    Base,
    ChangeType,
    Item,
    RecordedConflict,
    Resource,
    ResourceType,
    Situation,
    Spot,
    Strategy,
)
from headwater.contracts.files.names import copy_name, join_path, name_key, parent_path, path_key, split_path
from headwater.contracts.files.paths import FolderState

ROOT = "root"
STALE = {Reason.BASE_MISSING, Reason.BASE_UNKNOWN, Reason.BASE_OLD}
NAMES = ["a", "A", "b", "c.txt"]
ANSWERS = [strategy for strategy in Strategy if strategy is not Strategy.MANUAL]


@dataclass
class Node:
    """A file or folder of the model; ``versions`` are all it ever had, the current one is ``current``."""

    type: ResourceType
    parent: str
    name: str
    deleted: bool = False
    versions: list[str] = field(default_factory=list)
    current: str | None = None
    placed_at_us: int = 0
    paths: list[str] = field(default_factory=list)


@dataclass
class Share:
    """The smallest server that can carry out decisions."""

    nodes: dict[str, Node] = field(default_factory=dict)
    contents: dict[str, tuple[str, int]] = field(default_factory=dict)  # version: hash and time
    held: set[str] = field(default_factory=set)
    records: dict[tuple[object, ...], RecordedConflict] = field(default_factory=dict)
    now_us: int = 1_000
    beside: dict[str, str] = field(default_factory=dict)
    """Of the item at hand: folders that were made beside files that have their names, by the path asked for."""

    def path(self, node_id: str) -> str:
        names: list[str] = []
        while node_id != ROOT:
            names.append(self.nodes[node_id].name)
            node_id = self.nodes[node_id].parent
            assert len(names) <= len(self.nodes), "a cycle of folders"
        return join_path(tuple(reversed(names)))

    def is_live(self, node_id: str) -> bool:
        while node_id != ROOT:
            if self.nodes[node_id].deleted:
                return False
            node_id = self.nodes[node_id].parent
        return True

    def child(self, parent: str, name: str) -> str | None:
        key = name_key(name)
        here = (i for i, n in self.nodes.items() if n.parent == parent and not n.deleted)
        return next((i for i in here if name_key(self.nodes[i].name) == key), None)

    def hash_of(self, version_id: str | None) -> str | None:
        return self.contents[version_id][0] if version_id in self.contents else None

    def resource(self, node_id: str) -> Resource:
        node = self.nodes[node_id]
        _, modified_at_us = self.contents.get(node.current or "", (None, None))
        return Resource(
            node_id, node.type, self.path(node_id), not self.is_live(node_id), node.current,
            self.hash_of(node.current), modified_at_us, node.placed_at_us,
        )  # fmt: skip

    def spot(self, path: str, resource: Resource | None) -> Spot:
        """What lies at a path, looked up by path as the live tree has it."""
        above = parent_path(path)
        inside = resource is not None and (path_key(above) + "/").startswith(path_key(resource.path) + "/")
        inside = inside and resource is not None and resource.resource_type is ResourceType.FOLDER
        node_id: str = ROOT
        for name in split_path(above):
            found = self.child(node_id, name)
            if found is None or self.nodes[found].type is ResourceType.FILE:
                gone = any(
                    n.type is ResourceType.FOLDER and not self.is_live(i) and path_key(self.path(i)) == path_key(above)
                    for i, n in self.nodes.items()
                )
                left = FolderState.MISSING if found is None else FolderState.NOT_A_FOLDER
                return Spot(FolderState.DELETED if gone else left, inside_itself=inside)
            node_id = found
        occupant = self.child(node_id, split_path(path)[-1])
        return Spot(FolderState.LIVE, self.resource(occupant) if occupant else None, inside)

    def look(self, item: Item, resource_id: str, strategy: Strategy) -> Situation:
        resource = self.resource(resource_id) if resource_id in self.nodes else None
        base = None
        if resource is not None and item.base_version_id in self.nodes[resource_id].versions:
            base = Base(*self.contents[item.base_version_id])
        return Situation(
            item, strategy, self.now_us, resource, base,
            target=self.spot(item.new_path, resource) if item.new_path else None,
            home=self.spot(resource.path, resource) if resource and resource.deleted else None,
            earlier=self.records.get((resource_id, item, strategy)),
        )  # fmt: skip

    def folder_at(self, path: str) -> str:
        if path in self.beside:
            return self.beside[path]
        node_id: str = ROOT
        for name in split_path(path):
            found = self.child(node_id, name)
            assert found is not None
            assert self.nodes[found].type is ResourceType.FOLDER
            node_id = found
        return node_id

    def put(self, node_id: str, path: str, *, as_copy: bool = False) -> None:
        node = self.nodes[node_id]
        node.parent, node.name = self.folder_at(parent_path(path)), split_path(path)[-1]
        if as_copy:
            node.name = self.copy_name(node_id)
        node.deleted = False
        node.placed_at_us = self.now_us

    def copy_name(self, node_id: str) -> str:
        node = self.nodes[node_id]
        return copy_name(
            node.name, "laptop", self.now_us, lambda key: self.child(node.parent, key) is not None,
            folder=node.type is ResourceType.FOLDER,
        )  # fmt: skip

    def make(self, node_type: ResourceType, path: str, version_id: str | None) -> str:
        node_id = f"id_{len(self.nodes)}"
        versions = [version_id] if version_id else []
        self.nodes[node_id] = Node(node_type, ROOT, split_path(path)[-1], True, versions, version_id)
        return node_id

    def carry_out(self, effect: Effect, item: Item) -> None:
        match effect:
            case PutCurrent(node_id, version_id):
                self.nodes[node_id].versions.append(version_id)
                self.nodes[node_id].current = version_id
            case KeepVersion(node_id, version_id):
                self.nodes[node_id].versions.append(version_id)
            case HoldVersion(version_id):
                self.held.add(version_id)
            case Create(version_id, in_trash, as_copy):
                path = item.new_path or "/"
                node_id = self.make(item.resource_type, path, version_id)
                if not in_trash:
                    self.put(node_id, path, as_copy=as_copy)
            case CopyBeside(node_id, version_id):
                copy = self.make(ResourceType.FILE, self.path(node_id), version_id)
                self.put(copy, self.path(node_id), as_copy=True)
            case MoveTo(node_id, to, as_copy) | Restore(node_id, to, as_copy):
                self.put(node_id, to, as_copy=as_copy)
            case PlaceAside(node_id):
                self.nodes[node_id].name = self.copy_name(node_id)
            case RestoreFolders(to):
                self.restore_folders(split_path(to))
            case Trash(node_id):
                self.nodes[node_id].deleted = True
            case _:
                assert_never(effect)

    def restore_folders(self, names: tuple[str, ...]) -> None:
        """Makes the folders that are missing, beside a file that has the name of one of them."""
        for depth in range(1, len(names) + 1):
            folder = join_path(names[:depth])
            found = self.child(self.folder_at(join_path(names[: depth - 1])), names[depth - 1])
            taken = found is not None and self.nodes[found].type is ResourceType.FILE
            if found is None or taken:
                found = self.make(ResourceType.FOLDER, folder, None)
                self.put(found, folder, as_copy=taken)
            self.beside[folder] = found

    def apply(self, item: Item, resource_id: str, decision: Decision) -> None:
        if decision.modified_at_us is not None and item.version_id in self.contents:
            content, _ = self.contents[item.version_id]
            self.contents[item.version_id] = (content, decision.modified_at_us)
        for effect in decision.effects:
            self.carry_out(effect, item)
        self.beside.clear()
        if decision.conflict is not None and not decision.repeat:
            resolution = decision.conflict.resolution
            self.records[resource_id, item, resolution or Strategy.MANUAL] = RecordedConflict("cfl", resolution)
        for node_id, node in self.nodes.items():
            node.paths.append(self.path(node_id))

    def tree(self) -> dict[str, tuple[object, ...]]:
        """All that devices could see or get back, but for what is held."""
        return {i: (n.type, n.parent, n.name, n.deleted, tuple(n.versions), n.current) for i, n in self.nodes.items()}

    def kept_hashes(self) -> set[str]:
        versions = {version for node in self.nodes.values() for version in node.versions} | self.held
        return {self.contents[version][0] for version in versions}

    def keeps(self, keeper: Keeper, content: str) -> bool:
        """True when the content is where a decision said that it is."""
        files = [(i, n) for i, n in self.nodes.items() if n.type is ResourceType.FILE]
        match keeper:
            case Keeper.CURRENT:
                return any(self.is_live(i) and self.hash_of(n.current) == content for i, n in files)
            case Keeper.HISTORY:
                return any(content in map(self.hash_of, n.versions) for _, n in files)
            case Keeper.COPY:
                here = [n for i, n in files if self.is_live(i) and self.hash_of(n.current) == content]
                return any("(conflicted copy" in n.name for n in here)
            case Keeper.TRASH:
                return any(not self.is_live(i) and self.hash_of(n.current) == content for i, n in files)
            case Keeper.HELD:
                return any(self.hash_of(version) == content for version in self.held)
            case Keeper.STAGED:
                return any(content == known for known, _ in self.contents.values())
            case Keeper.NOTHING:
                return False
            case _:
                assert_never(keeper)


def first_share() -> Share:
    """A share with two folders and two files, each of which has an old version."""
    share = Share()
    for path in ("/a", "/b", "/a/b", "/c.txt"):
        file = path in {"/a/b", "/c.txt"}
        node_id = share.make(ResourceType.FILE if file else ResourceType.FOLDER, path, f"old {path}" if file else None)
        share.put(node_id, path)
        share.nodes[node_id].paths = ["/b/c.txt", path]
        if file:
            share.contents |= {f"old {path}": ("bytes 0", 500), f"new {path}": ("bytes 1", 800)}
            share.carry_out(PutCurrent(node_id, f"new {path}"), Item(ResourceType.FILE, ChangeType.UPDATED))
    return share


@dataclass(frozen=True)
class Wish:
    """A change in numbers, made an item of whatever the share holds when its turn comes."""

    resource: int
    type: ResourceType
    change: ChangeType
    content: int
    base: int
    old_path: int
    new_parent: int
    new_name: int
    modified_at_us: int | None
    strategy: Strategy


WISHES = st.builds(
    Wish,
    resource=st.integers(0, 19),
    type=st.sampled_from([ResourceType.FILE, ResourceType.FOLDER]),
    change=st.sampled_from([*ChangeType, ChangeType.UPDATED, ChangeType.UPDATED]),
    content=st.integers(0, 7),
    base=st.integers(0, 7),
    old_path=st.integers(0, 6),
    new_parent=st.integers(0, 9),
    new_name=st.integers(0, len(NAMES) - 1),
    modified_at_us=st.none() | st.integers(0, 4_000),
    strategy=st.sampled_from(Strategy),
)


def item_of(share: Share, wish: Wish, turn: int) -> tuple[Item, str]:
    """The item that a device, often one that lags behind, would send for this wish."""
    ids = sorted(share.nodes)
    created = wish.change is ChangeType.CREATED
    resource_id = "unknown" if created or wish.resource == 19 else ids[wish.resource % len(ids)]
    node = share.nodes.get(resource_id)
    node_type = node.type if node else wish.type
    folders = ["/", *(share.path(i) for i in ids if share.nodes[i].type is ResourceType.FOLDER)]
    parent = folders[wish.new_parent % len(folders)]
    if node is not None and wish.change is ChangeType.RENAMED:
        parent = parent_path(share.path(resource_id))
    new_path = join_path((*split_path(parent), NAMES[wish.new_name]))
    old_path = None
    if node is not None and wish.old_path:
        old_path = node.paths[-1] if wish.old_path > 2 else node.paths[-wish.old_path * 2 % len(node.paths)]
    known = node.versions if node else []
    bases = [None, "ver_unknown", *known[:1], *known[-2:-1]]
    base = bases[wish.base] if wish.base < len(bases) else node.current if node else None
    brings = wish.change in {ChangeType.CREATED, ChangeType.UPDATED} or wish.content > 3
    version_id = None
    if brings and node_type is ResourceType.FILE and wish.change is not ChangeType.DELETED:
        version_id = f"ver_{turn}"
        share.contents[version_id] = (f"bytes {wish.content}", share.now_us)
    places = wish.change in {ChangeType.CREATED, ChangeType.RENAMED, ChangeType.MOVED}
    item = Item(
        node_type, wish.change, version_id, share.hash_of(version_id), base, old_path,
        new_path if places else None, wish.modified_at_us,
    )  # fmt: skip
    return item, resource_id


def check_form(decision: Decision, situation: Situation) -> None:
    """Exactly one outcome, and all of the decision says the same one."""
    outcome = decision.outcome
    assert (decision.reason is not None) == (outcome in {Outcome.STALE, Outcome.REFUSED})
    assert (decision.reason in STALE) == (outcome is Outcome.STALE)
    assert (decision.conflict is not None) == (outcome is Outcome.CONFLICT)
    assert not decision.effects or outcome in {Outcome.APPLIED, Outcome.CONFLICT}
    assert decision.effects or outcome is not Outcome.APPLIED
    if decision.conflict is not None:
        manual = situation.strategy is Strategy.MANUAL
        assert decision.conflict.resolution == (None if manual else situation.strategy)


def check_share(share: Share) -> None:
    """No two live names of a folder are the same, no folder is in itself, only files have versions."""
    seen = set()
    for node_id, node in share.nodes.items():
        share.path(node_id)
        assert (node.current is not None) == (node.type is ResourceType.FILE)
        if share.is_live(node_id):
            assert node.parent == ROOT or share.nodes[node.parent].type is ResourceType.FOLDER
            seen.add((node.parent, name_key(node.name)))
    assert len(seen) == sum(share.is_live(node_id) for node_id in share.nodes)


def step(share: Share, item: Item, resource_id: str, strategy: Strategy) -> Decision:
    """Decide and carry out one item, checking all that holds for every one."""
    situation = share.look(item, resource_id, strategy)
    decision = decide(situation)
    assert decide(situation) == decision
    before, held, hashes = share.tree(), set(share.held), share.kept_hashes()
    opponent = decision.conflict.resource_id if decision.conflict else resource_id
    at_stake = share.hash_of(share.nodes[opponent].current) if opponent in share.nodes else None
    if not decision.repeat:
        check_form(decision, situation)
    share.apply(item, resource_id, decision)
    check_share(share)
    assert hashes <= share.kept_hashes()
    if at_stake is not None:
        assert share.keeps(decision.server_bytes, at_stake)
    if item.version_id is not None and decision.client_bytes is not Keeper.NOTHING:
        assert item.content_hash is not None
        assert share.keeps(decision.client_bytes, item.content_hash)
    if item.version_id is not None:
        accepted = decision.outcome not in {Outcome.STALE, Outcome.REFUSED}
        assert decision.client_bytes is not Keeper.NOTHING
        assert not accepted or item.content_hash in share.kept_hashes()
    if not decision.effects:
        assert share.held == held
    if not decision.effects or (strategy is Strategy.MANUAL and decision.conflict is not None):
        assert share.tree() == before
    return decision


@settings(max_examples=300)
@given(st.lists(WISHES, min_size=1, max_size=14))
def test_whatever_devices_send_no_bytes_go_and_sending_twice_changes_nothing(wishes: list[Wish]) -> None:
    share = first_share()
    for turn, wish in enumerate(wishes):
        item, resource_id = item_of(share, wish, turn)
        decision = step(share, item, resource_id, wish.strategy)
        kind = decision.conflict.kind if decision.conflict else decision.reason
        event(f"{decision.outcome.value} {kind.value if kind else ''}")
        share.now_us += 100
        before = share.tree()
        again = step(share, item, resource_id, wish.strategy)
        created = item.change_type is ChangeType.CREATED and decision.outcome is Outcome.APPLIED
        assert share.tree() == before
        assert not created or again.outcome is Outcome.UNCHANGED
        share.now_us += 100


@settings(max_examples=200)
@given(st.lists(WISHES, min_size=2, max_size=12), st.sampled_from(ANSWERS), st.integers(0, 11))
def test_an_open_conflict_can_be_answered_however_late_and_no_bytes_go(
    wishes: list[Wish], answer: Strategy, wait: int
) -> None:
    share = first_share()
    open_conflicts: list[tuple[Situation, str]] = []
    for turn, wish in enumerate(wishes):
        item, resource_id = item_of(share, wish, turn)
        strategy = Strategy.MANUAL if turn < wait else wish.strategy
        situation = share.look(item, resource_id, strategy)
        decision = step(share, item, resource_id, strategy)
        if decision.conflict is not None and decision.conflict.resolution is None and not decision.repeat:
            open_conflicts.append((situation, resource_id))
        share.now_us += 100
    for recorded, resource_id in open_conflicts:
        now = share.look(recorded.item, resource_id, Strategy.MANUAL)
        now = replace(now, base=recorded.base, received_at_us=recorded.received_at_us)
        decision = resolve_later(RecordedConflict("cfl"), answer, now)
        event(f"{decision.outcome.value} {answer.value}")
        hashes = share.kept_hashes()
        share.apply(recorded.item, resource_id, decision)
        check_share(share)
        assert hashes <= share.kept_hashes()
        if decision.outcome is not Outcome.REFUSED and recorded.item.version_id is not None:
            if recorded.item.version_id in share.held:
                share.held.remove(recorded.item.version_id)  # answered: nothing else holds it from now on
            assert recorded.item.content_hash is not None
            assert share.keeps(decision.client_bytes, recorded.item.content_hash)
        if answer is Strategy.SERVER_WINS:
            assert decision.outcome is not Outcome.REFUSED, "the server's side can always stay"
            assert not any(isinstance(e, PutCurrent | MoveTo | PlaceAside | Restore) for e in decision.effects)

"""The one place that resolves paths: finds the folder of a path and the path of an id, and creates missing folders.

Each folder, living or in the trash, is looked up once for all items of a request. A look-up costs the names that are
asked for, not one query for each level, and ``Budget`` bounds the look-ups of a request: deep trees do not delay the
writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from headwater.base.errors import Invalid, NotFound, StateConflict, TooLarge
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import join_path, name_key, require_length, split_path, stored_name, stored_path
from headwater.store.database import Transaction
from headwater.store.tree import nodes
from headwater.store.tree.nodes import MAX_DEPTH, ROOT, Name, Node
from headwater.store.tree.writer import TreeWriter

_MAX_NAMESAKES = 20
_MAX_LOOKUPS = 500
"""Look-ups in the trash for one path."""

_MAX_CHAINS = 16_384
"""So many folders are remembered, and as many again as one look-up adds."""

_MAX_PATHS = 1024
_FIRST_LOOK = 2
_LOOK_FARTHER = 8


class FolderState(StrEnum):
    """The state of the folder into which a resource is to be placed."""

    LIVE = "live"
    DELETED = "deleted"
    MISSING = "missing"
    NOT_A_FOLDER = "not_a_folder"


class Budget:
    """The rows that one request may still look up; without a limit, as many as it asks for."""

    __slots__ = ("left",)

    def __init__(self, left: int | None = None) -> None:
        self.left = left

    def spend(self, rows: int = 1) -> None:
        """Counts rows that were looked up. Raises: TooLarge, once more were looked up than one request may."""
        if self.left is None:
            return
        self.left -= rows
        if self.left < 0:
            raise TooLarge(
                "this request looks up more folders than one request may; send the rest in another request",
                code="TOO_MANY_LOOKUPS",
            )


class FolderChain:
    """A folder as it was found: its node (None for the root) and the chain of the folder above it."""

    __slots__ = ("above", "node")

    def __init__(self, node: Node | None, above: FolderChain | None) -> None:
        self.node = node
        self.above = above

    @property
    def id(self) -> str:
        """The folder's id."""
        return self.node.id if self.node else ROOT

    @property
    def path(self) -> str:
        """The path of the folder as its names are spelled; empty for the root."""
        return "".join(f"/{node.name}" for node in reversed(list(self.nodes())))

    def nodes(self) -> Iterator[Node]:
        """The folder and those above it, but for the root."""
        chain: FolderChain | None = self
        while chain is not None and chain.node is not None:
            yield chain.node
            chain = chain.above


class FoundFolder(NamedTuple):
    """A folder's path as it was found: its state, its node, and the last living chain to it.

    ``node`` is None for the root and where nothing was found; the file where a file has one of the names.
    """

    state: FolderState
    node: Node | None
    chain: FolderChain
    path: str
    """The path of ``chain`` as its names are spelled; empty for the root."""

    @property
    def id(self) -> str:
        """The folder's id; the root's where no folder was found."""
        return self.node.id if self.node and self.node.type == "folder" else ROOT

    def passes(self, folder_id: str) -> bool:
        """True when this living folder is on the path."""
        return any(node.id == folder_id for node in self.chain.nodes())


class MadeFolder(NamedTuple):
    """A living folder, its path (empty for the root), and the folders that were created for it, from the top."""

    id: str
    path: str
    created: tuple[Node, ...]


class Location(NamedTuple):
    """The path of a node, or for one in the trash the path that it had, and whether it is live."""

    path: str
    is_live: bool


class Target(NamedTuple):
    """A place to take: the folder's id and the name."""

    parent: str
    name: Name


CopyNames = Callable[[str, str], Name]
"""Gives a free name for a copy of a name in a folder, by the folder's id."""


class PathIndex:
    """Resolves paths of one share. It must be notified of folders that change, and of changes that are undone."""

    def __init__(self, tx: Transaction, row: ShareRow, budget: Budget | None = None) -> None:
        self.tx = tx
        self.row = row
        self.budget = budget or Budget()
        self.forget()

    @property
    def folders_known(self) -> int:
        """The number of folders that are remembered: those that were looked up, or of late that many."""
        return len(self._chains)

    def forget(self) -> None:
        """Looks everything up again."""
        self._root = FolderChain(None, None)
        self._chains: dict[str, FolderChain] = {}
        self._living: dict[tuple[str, str], FolderChain] = {}
        self._paths: dict[str, FoundFolder] = {}
        self._changed: list[str] = []
        self._copies: dict[str, dict[str, int]] = {}
        self._namesakes: dict[tuple[str, str], tuple[Node, ...]] = {}
        self._named: dict[str, set[tuple[str, str]]] = {}
        self._gone: dict[str, tuple[Node, ...]] = {}
        self._beside: dict[tuple[str, str], str] = {}

    def begin(self) -> None:
        """Begins a part whose changes may be undone."""
        self._changed = []

    def changed(self, node: Node) -> None:
        """Notes that a folder was created, placed elsewhere, put into the trash or restored."""
        self._changed.append(node.id)
        self._renew(node.id, node)

    def undone(self) -> None:
        """Notes that all changes since the beginning of the part were undone."""
        for node_id in self._changed:
            self._renew(node_id, nodes.find(self.tx, self.row.feed, node_id))
        self._changed = []

    def folder(self, path: str) -> FoundFolder:
        """The folder at a path, the living first; DELETED only where no live one has taken the path since.

        DELETED also where a file has one of the names by now: the folder is then made beside it.
        """
        found = self.living(self._around(path))
        if found.state not in {FolderState.MISSING, FolderState.NOT_A_FOLDER}:
            return found
        gone = self._gone_at(path)
        return found if gone is None else FoundFolder(FolderState.DELETED, gone, found.chain, found.path)

    def _around(self, path: str) -> str:
        """A path that leads through the folder which this request made beside a file, where one was made."""
        found = self.living(path) if self._beside else None
        if found is None or found.state is not FolderState.NOT_A_FOLDER or found.node is None:
            return path
        beside = self._beside.get((found.chain.id, found.node.name_key))
        if beside is None or self.living(beside).state is not FolderState.LIVE:
            return path
        return self._around("/".join([beside, *split_path(path)[found.path.count("/") + 1 :]]))

    def living(self, path: str) -> FoundFolder:
        """The living folder at a path: LIVE, MISSING, or NOT_A_FOLDER where a file has one of the names."""
        self._bound()
        known = self._paths.get(path)
        if known is not None:
            return known._replace(node=known.chain.node)
        above, names = self._above_path(path)
        chain, spelled, policy = above.chain, [above.path], self.row.policy
        for left, name in enumerate(names, 1 - len(names)):
            key = name_key(name, policy)
            below = self._living.get((chain.id, key))
            if below is None:
                self.budget.spend()
                node = nodes.child(self.tx, self.row.feed, chain.id, key)
                if node is None:
                    return FoundFolder(FolderState.MISSING, None, chain, "/".join(spelled))
                if node.type != "folder":
                    return FoundFolder(FolderState.NOT_A_FOLDER, node, chain, "/".join(spelled))
                below = self._link(node, chain)
            chain = below
            spelled.append(chain.node.name if chain.node else "")
            if left == -1:
                # Those that follow are most often in the same folder, and need not climb to it again.
                self._remember(path.rpartition("/")[0], chain, "/".join(spelled))
        return self._remember(path, chain, "/".join(spelled))

    def _above_path(self, path: str) -> tuple[FoundFolder, tuple[str, ...]]:
        """The folder above a path if it was resolved before, else the root, and the names that lead on from there."""
        above, _, name = path.rpartition("/")
        known = self._paths.get(above) if above else None
        if known is not None:
            return known, (name,)
        return FoundFolder(FolderState.LIVE, None, self._root, ""), split_path(path)

    def find_node(self, path: str) -> Node | None:
        """The live file or folder at a stored path, or None; the root is None too."""
        names = split_path(path)
        folder = self.living(join_path(names[:-1]))
        if not names or folder.state is not FolderState.LIVE:
            return None
        return nodes.child(self.tx, self.row.feed, folder.id, name_key(names[-1], self.row.policy))

    def node_at(self, raw: str) -> Node:
        """The live node at a path as a caller sent it. Raises: Invalid (malformed path), NotFound."""
        node = self.find_node(stored_path(raw, self.row.policy._replace(portable=False)))
        if node is None:
            raise NotFound(f"nothing at {raw!r}")
        return node

    def make_folders(self, writer: TreeWriter, path: str, copy: CopyNames | None = None) -> MadeFolder:
        """The living folder at a stored path, created with those above that are missing; the old stay in the trash.

        Where a file has one of the names, ``copy`` gives the name under which the folder is made beside it.
        Raises: StateConflict (a file has one of the names), Invalid (the path gets too long).
        """
        path = path if copy is None else self._around(path)
        found = self.living(path)
        if found.state is FolderState.LIVE:
            return MadeFolder(found.id, found.path, ())
        chain, above = found.chain, found.path
        missing = split_path(path)[above.count("/") :]
        if found.node is not None:
            if copy is None:
                raise name_taken(found.node.name, found.path)
            missing = (copy(chain.id, missing[0]).text, *missing[1:])
            self._beside[chain.id, found.node.name_key] = f"{above}/{missing[0]}"
        require_length(f"{above}/{'/'.join(missing)}")
        created: list[Node] = []
        for name in missing:
            place = chain.id, Name(name, name_key(name, self.row.policy))
            node = writer.create("folder", *place, None, {}, folder_path=above)
            created.append(node)
            self._changed.append(node.id)
            self._rename_gone(node.id, node)
            chain, above = self._link(node, chain), f"{above}/{name}"
        self._remember(path, chain, above)
        return MadeFolder(chain.id, above, tuple(created))

    def target(self, raw: str) -> Target:
        """The place that a path names. Raises: Invalid, NotFound (no such folder)."""
        names = split_path(stored_path(raw, self.row.policy))
        if not names:
            raise Invalid.of("path", "incorrect_value", "the root has no name to give")
        above = join_path(names[:-1])
        folder = self.living(above)
        if folder.state is FolderState.NOT_A_FOLDER and folder.path.count("/") == len(names) - 2:
            raise Invalid.of("parent_id", "incorrect_value", "this is a file, not a folder")
        if folder.state is not FolderState.LIVE:
            raise NotFound(f"nothing at {above!r}")
        return Target(folder.id, Name(names[-1], name_key(names[-1], self.row.policy)))

    def require_free(self, target: Target, own_id: str = "") -> None:
        """Refuses a name that another node has. Raises: StateConflict."""
        taken = nodes.child(self.tx, self.row.feed, target.parent, target.name.key)
        if taken is not None and taken.id != own_id:
            raise name_taken(taken.name)

    def require_reach(self, target: Target) -> None:
        """Refuses a place whose path is longer than any caller may send. Raises: Invalid."""
        require_length(f"{self.folder_path(target.parent)}/{target.name.text}")

    def location(self, node: Node) -> Location:
        """The path of a node, live or not: it, or a folder above it, may be in the trash."""
        found = [node, *self._above(node).nodes()]
        path = "/" + "/".join(each.name for each in reversed(found))
        return Location(path, all(each.trashed_us is None for each in found))

    def path(self, node: Node) -> str:
        """The path of a node."""
        return self.location(node).path

    def folder_path(self, folder_id: str) -> str:
        """The path of a folder, empty for the root, so that a slash and a name follow."""
        return self.chain(folder_id).path

    def chain(self, folder_id: str) -> FolderChain:
        """The chain of a folder, live or not; of an unknown one, the root's."""
        self._bound()
        known = self._root if folder_id == ROOT else self._chains.get(folder_id)
        if known is not None:
            return known
        self.budget.spend()
        node = nodes.find(self.tx, self.row.feed, folder_id)
        return self._root if node is None else self._link(node, self._above(node))

    def copies_in(self, folder_id: str) -> dict[str, int]:
        """The last number of conflict copies in a folder, by name."""
        return self._copies.setdefault(folder_id, {})

    def _above(self, node: Node) -> FolderChain:
        """The chain of a node's folder; what is not known of it is looked up in steps that grow."""
        self._bound()
        unknown: list[Node] = []
        last, limit = node, _FIRST_LOOK
        while last.parent != ROOT and last.parent not in self._chains and len(unknown) < MAX_DEPTH:
            found = nodes.ancestors(self.tx, self.row.feed, last, limit)
            self.budget.spend(1 + len(found))
            if not found:
                break
            for each in found:
                if each.id in self._chains:
                    break
                unknown.append(each)
            last, limit = unknown[-1], limit * _LOOK_FARTHER
        chain = self._chains.get(last.parent, self._root)
        for each in reversed(unknown):
            chain = self._link(each, chain)
        return chain

    def _link(self, node: Node, above: FolderChain) -> FolderChain:
        chain = self._chains[node.id] = self._chains.get(node.id) or FolderChain(node, above)
        chain.node, chain.above = node, above
        if node.trashed_us is None and node.parent == above.id:
            self._living[node.parent, node.name_key] = chain
        return chain

    def _remember(self, path: str, chain: FolderChain, spelled: str) -> FoundFolder:
        """Stores a living folder by the path that led to it; every folder that changes empties the store."""
        if len(self._paths) >= _MAX_PATHS:
            self._paths.clear()
        found = self._paths[path] = FoundFolder(FolderState.LIVE, chain.node, chain, spelled)
        return found

    def _gone_at(self, path: str) -> Node | None:
        """A folder in the trash whose path was this, or None; other nodes may have the path by now."""
        names = tuple(name_key(name, self.row.policy) for name in split_path(path))
        if len(names) > _MAX_LOOKUPS:
            return None
        known, start = self._known_gone(names)
        lookups = 0
        for at in range(start, len(names)):
            above = [node.id for node in known] if at else [ROOT]
            lookups += len(above)
            if lookups > _MAX_LOOKUPS:
                # Deep trees that were deleted many times over must not delay the writer.
                return None
            found = [node for folder in above for node in self._folders_named(folder, names[at])]
            known = self._gone[join_path(names[: at + 1])] = tuple(found[:_MAX_NAMESAKES])
            if not known:
                return None
        return known[0] if known else None

    def _known_gone(self, names: tuple[str, ...]) -> tuple[tuple[Node, ...], int]:
        """The folders that had the longest start of a path that was looked up before, and the names it takes."""
        for count in range(len(names), 0, -1):
            known = self._gone.get(join_path(names[:count]))
            if known is not None:
                return known, (count if known else len(names))
        return (), 0

    def _folders_named(self, folder_id: str, key: str) -> tuple[Node, ...]:
        """The folders that have a name in a folder, or had it when they were deleted; each name is looked up once."""
        known = self._namesakes.get((folder_id, key))
        if known is None:
            if len(self._namesakes) > _MAX_CHAINS:
                self._namesakes.clear()
                self._named.clear()
            self.budget.spend()
            found = nodes.namesakes(self.tx, self.row.feed, folder_id, key, _MAX_NAMESAKES)
            self.budget.spend(len(found))
            known = self._namesakes[folder_id, key] = tuple(node for node in found if node.type == "folder")
            for node in known:
                self._named.setdefault(node.id, set()).add((folder_id, key))
        return known

    def _rename_gone(self, node_id: str, node: Node | None) -> None:
        """Forgets the names of the trash that a folder has or had; those of other folders are still known."""
        self._gone.clear()
        for place in self._named.pop(node_id, ()):
            self._namesakes.pop(place, None)
        if node is not None:
            self._namesakes.pop((node.parent, node.name_key), None)

    def _renew(self, node_id: str, node: Node | None) -> None:
        """Stores a folder as it is now; what lies below it moved with it."""
        self._rename_gone(node_id, node)
        chain = self._chains.pop(node_id, None)
        if chain is not None and chain.node is not None:
            self._paths.clear()
            self._living.pop((chain.node.parent, chain.node.name_key), None)
            if node is not None:
                # The same chain stays: those below lead to it.
                above = self._above(node)
                self._chains[node_id] = chain
                self._link(node, above)

    def _bound(self) -> None:
        if len(self._chains) > _MAX_CHAINS:
            kept = self._changed, self._copies, self._beside
            self.forget()
            self._changed, self._copies, self._beside = kept


def name_taken(name: str, folder: str | None = None) -> StateConflict:
    """The error of a name that exists in the folder; with ``folder``, the path where a file has a folder's name."""
    if folder is not None:
        return StateConflict(f"{folder + '/' + name!r} is a file, not a folder", code="NAME_TAKEN")
    return StateConflict(f"the name {name!r} is taken in that folder", code="NAME_TAKEN")


def name_in(row: ShareRow, text: str, field: str = "name") -> Name:
    """A name as the share stores and compares it. Raises: Invalid."""
    stored = stored_name(text, row.policy, field=field)
    return Name(stored, name_key(stored, row.policy))


def by_id(tx: Transaction, row: ShareRow, node_id: str, *, trashed: bool = False) -> Node:
    """The node with this id: a live one, or with ``trashed`` also one in the trash. Raises: NotFound."""
    node = nodes.find(tx, row.feed, node_id)
    if node is None or (not trashed and not nodes.is_live(tx, row.feed, node)):
        raise NotFound(f"no file or folder {node_id!r}")
    return node


def folder_by_id(tx: Transaction, row: ShareRow, folder_id: str | None) -> str:
    """The id of a live folder; None names the root. Raises: NotFound, Invalid (a file)."""
    if folder_id is None:
        return ROOT
    node = by_id(tx, row, folder_id)
    if node.type != "folder":
        raise Invalid.of("parent_id", "incorrect_value", "this is a file, not a folder")
    return node.id

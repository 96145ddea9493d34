"""Carries out a decision: its effects, in order, become versions, nodes and their changes.

Source: files contract, readings "apply" and "Strategies".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from headwater.base.errors import NotFound, StateConflict
from headwater.base.ids import random_id
from headwater.contracts.files.apply.decision import (
    CopyBeside,
    Create,
    Decision,
    Effect,
    HoldVersion,
    KeepVersion,
    MoveTo,
    PlaceAside,
    PutCurrent,
    Restore,
    RestoreFolders,
    Trash,
)
from headwater.contracts.files.apply.inputs import Item
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.names import copy_name, name_key, parent_path, path_key, split_path
from headwater.contracts.files.paths import FolderState, PathIndex
from headwater.contracts.files.tree import restore
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor, Name, Node, Paths
from headwater.store.tree.versions import Staging, Version
from headwater.store.tree.writer import TreeWriter


class ActingDevice(NamedTuple):
    """The user and device that change something, and the device's name, which conflict copies carry.

    ``settles``: a person's answer, which must be possible although its version became another file's meanwhile.
    """

    actor: Actor
    device_name: str
    settles: bool = False


@dataclass
class Executed:
    """The outcome of a decision: positions of the changes by resource, the created node and its path, the copy's id."""

    positions: dict[str, int] = field(default_factory=dict)
    created: Node | None = None
    created_path: str | None = None
    copy_id: str | None = None


def carry_out(paths: PathIndex, rows: Rows, acting: ActingDevice, item: Item, decision: Decision) -> Executed:
    """Carries out all effects of a decision on the rows that were gathered; ``rows`` then holds what was written.

    Raises: NotFound, StateConflict (then the caller undoes the item and drops the rows).
    """
    execution = _Execution(paths, rows, acting, item, decision)
    for effect in decision.effects:
        execution.do(effect)
    return execution.executed


def step_aside(paths: PathIndex, actor: Actor, node_id: str, old_path: str) -> str:
    """Frees the name of a live resource for the time of a rotation of names; the path where it waits.

    It is a change as any other: a reader that replays the log never meets two resources of one name.
    Raises: NotFound, StateConflict (it is not at ``old_path``).
    """
    node = nodes.find(paths.tx, paths.row.feed, node_id)
    location = paths.location(node) if node else None
    if node is None or location is None or not location.is_live:
        raise NotFound(f"no file or folder {node_id!r}")
    if path_key(location.path, paths.row.policy) != path_key(old_path, paths.row.policy):
        raise StateConflict("it is elsewhere by now")
    text = random_id("swap")
    path = f"{paths.folder_path(node.parent)}/{text}"
    version = versions.find(paths.tx, paths.row.feed, node.version) if node.version else None
    details = versions.details(version) if version else {}
    name = Name(text, name_key(text, paths.row.policy))
    writer = TreeWriter(paths.tx, paths.row.share, actor)
    moved = writer.place(node, node.parent, name, details, paths=Paths(location.path, path))
    if node.type == "folder":
        paths.changed(moved)
    return path


class _NewPlace(NamedTuple):
    """A place to take: the folder's id, the name, and the folder's path where it is known."""

    parent: str
    name: Name
    folder_path: str | None = None


class _Execution:
    """The effects of one decision, carried out one after the other."""

    def __init__(self, paths: PathIndex, rows: Rows, acting: ActingDevice, item: Item, decision: Decision) -> None:
        self._tx = paths.tx
        self._row = paths.row
        self._paths = paths
        self._rows = rows
        self._acting = acting
        self._writer = TreeWriter(paths.tx, paths.row.share, acting.actor)
        self._item = item
        self._modified_us = decision.modified_at_us
        self.executed = Executed()

    def do(self, effect: Effect) -> None:
        """Carries out one effect."""
        match effect:
            case PutCurrent(resource_id, version_id):
                self._put_current(self._node(resource_id), version_id)
            case KeepVersion(resource_id, version_id):
                self._keep(version_id, resource_id)
            case HoldVersion(version_id):
                self._hold(version_id)
            case Create(version_id, in_trash, as_copy):
                self._create(version_id, in_trash=in_trash, as_copy=as_copy)
            case CopyBeside(resource_id, version_id):
                node = self._node(resource_id)
                self._make("file", self._beside(node), version_id)
                self._note_copy()
            case MoveTo(resource_id, path, as_copy):
                node = self._node(resource_id)
                self._place(node, self._target(path, node.type, as_copy=as_copy))
            case PlaceAside(resource_id):
                node = self._node(resource_id)
                self._place(node, self._beside(node))
            case Restore(resource_id, path, as_copy):
                self._restore(self._node(resource_id), path, as_copy=as_copy)
            case RestoreFolders(path):
                self._make_folders(path)
            case Trash(resource_id):
                node = self._node(resource_id)
                path = self._paths.path(node)
                self._note(self._writer.trash(node, self._details(node), path=path))
            case _:
                assert_never(effect)

    def _put_current(self, node: Node, version_id: str) -> None:
        version = self._keep(version_id, node.id)
        details, path = versions.details(version), self._paths.path(node)
        self._note(self._writer.put_version(node, version.id, details, path=path))

    def _create(self, version_id: str | None, *, in_trash: bool, as_copy: bool) -> None:
        path = self._item.new_path or "/"
        if in_trash:
            # A folder in the trash keeps what was meant for it: restoring it restores both.
            spot = _NewPlace(self._paths.folder(parent_path(path)).id, self._name(split_path(path)[-1]))
            self._make("file", spot, version_id, trashed=True)
            return
        kind = self._item.resource_type.value
        self._make(kind, self._target(path, kind, as_copy=as_copy), version_id)
        if as_copy:
            self._note_copy()

    def _make(self, kind: str, spot: _NewPlace, version_id: str | None, *, trashed: bool = False) -> None:
        node_id = random_id("fil" if kind == "file" else "fld")
        kept = self._keep(version_id, node_id, is_first=True) if version_id else None
        details = versions.details(kept) if kept else {}
        created = self._writer.create(
            kind, spot.parent, spot.name, kept and kept.id, details,
            id=node_id, trashed=trashed, folder_path=spot.folder_path,
        )  # fmt: skip
        self.executed.created = created
        self._rows.put_node(created)
        if not trashed:
            self._note(created)
            if spot.folder_path is not None:
                self.executed.created_path = f"{spot.folder_path}/{spot.name.text}"

    def _make_folders(self, path: str) -> None:
        """Creates folders where a path has none: the old ones stay in the trash with all that is in them."""
        made = self._paths.make_folders(self._writer, path, lambda above, name: self._copy_name(above, name, "folder"))
        for created in made.created:
            self._rows.put_node(created)
            self.executed.positions[created.id] = created.position

    def _place(self, node: Node, spot: _NewPlace) -> None:
        folder_path = self._paths.folder_path(spot.parent) if spot.folder_path is None else spot.folder_path
        paths = Paths(self._paths.path(node), f"{folder_path}/{spot.name.text}")
        self._note(self._writer.place(node, spot.parent, spot.name, self._details(node), paths=paths))

    def _restore(self, node: Node, path: str, *, as_copy: bool) -> None:
        spot = self._target(path, node.type, as_copy=as_copy)
        place = None if spot.folder_path is None else f"{spot.folder_path}/{spot.name.text}"
        back = restore.restore(
            self._writer, node, spot.parent, spot.name, self._details(node), path=place, budget=self._paths.budget
        )
        if node.type == "folder":
            # The nodes below it were written, too.
            self._rows.forget_nodes()
        self._note(back)

    def _hold(self, version_id: str) -> None:
        version = self._version(version_id)
        if version.state == "staged":
            versions.hold(self._tx, self._row.feed, version.id)
            self._rows.put_version(version._replace(state="held", expires_us=None))

    def _keep(self, version_id: str, node_id: str, *, is_first: bool = False) -> Version:
        """Puts the version into the history of a file for good. Raises: StateConflict (another file has it)."""
        version = self._version(version_id)
        if version.state == "kept" and version.node == node_id:
            return version
        if version.state == "kept":
            if not self._acting.settles:
                raise StateConflict(f"the version {version_id!r} belongs to another file", code="VERSION_USED")
            version = self._again(version)
        modified_us = self._modified_us
        if modified_us is None:
            modified_us = min(version.modified_us, self._tx.now_us)
        kept = versions.keep(self._tx, self._row.feed, version, node_id, modified_us, is_first=is_first)
        self._rows.put_version(kept)
        return kept

    def _again(self, version: Version) -> Version:
        """Stages the content of a version once more, under an id of its own."""
        row = self._row
        staging = Staging(
            row.feed, row.organisation, version.user_id, version.device_id, version.mime_type, version.modified_us,
            version.sha256, None,
        )  # fmt: skip
        return versions.stage(self._tx, staging, versions.pieces(self._tx, row.feed, version.id))

    def _version(self, version_id: str) -> Version:
        version = self._rows.version(version_id)
        if version is None:
            raise NotFound(f"no version {version_id!r}")
        return version

    def _target(self, path: str, kind: str, *, as_copy: bool) -> _NewPlace:
        """The living folder of a path, and the name to take there."""
        folder = self._paths.folder(parent_path(path))
        if folder.state is not FolderState.LIVE:
            raise NotFound(f"no folder {parent_path(path)!r}")
        name = split_path(path)[-1]
        taken = self._copy_name(folder.id, name, kind) if as_copy else self._name(name)
        return _NewPlace(folder.id, taken, folder.path)

    def _beside(self, node: Node) -> _NewPlace:
        """The place of a copy in the folder of a node."""
        name = self._copy_name(node.parent, node.name, node.type)
        return _NewPlace(node.parent, name, self._paths.folder_path(node.parent))

    def _copy_name(self, parent: str, name: str, kind: str) -> Name:
        text = copy_name(
            name,
            self._acting.device_name,
            self._tx.now_us,
            lambda key: nodes.child(self._tx, self._row.feed, parent, key) is not None,
            policy=self._row.policy,
            folder=kind == "folder",
            numbers=self._paths.copies_in(parent),
        )
        return self._name(text)

    def _name(self, text: str) -> Name:
        return Name(text, name_key(text, self._row.policy))

    def _node(self, node_id: str) -> Node:
        node = self._rows.node(node_id)
        if node is None:
            raise NotFound(f"no file or folder {node_id!r}")
        return node

    def _details(self, node: Node) -> dict[str, object]:
        version = self._rows.version(node.version)
        return versions.details(version) if version else {}

    def _note(self, node: Node) -> None:
        self._rows.put_node(node)
        self.executed.positions[node.id] = node.position
        if node.type == "folder":
            self._paths.changed(node)

    def _note_copy(self) -> None:
        self.executed.copy_id = self.executed.created.id if self.executed.created else None

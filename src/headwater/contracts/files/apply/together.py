"""Finds the items of one request that are one change: names that swap or rotate, and one file in two spellings.

One by one, the first of two swapped names is taken, and a file that was created and deleted under two spellings is
deleted. Source: files contract, reading "Names and tree".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from headwater.base.errors import Invalid
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.apply.shapes import ChangeItem
from headwater.contracts.files.names import path_key, stored_path
from headwater.contracts.files.paths import PathIndex

_PLACING = frozenset({"renamed", "moved"})


class Rotation(NamedTuple):
    """Items that take each other's names: each wants the place of the next, the last that of the first."""

    members: tuple[int, ...]


class Respelling(NamedTuple):
    """The creation and the deletion of one resource under two spellings of its path."""

    created: int
    deleted: int

    @property
    def members(self) -> tuple[int, ...]:
        """Both items."""
        return self.created, self.deleted


Group = Rotation | Respelling


def groups(paths: PathIndex, items: Sequence[ChangeItem]) -> dict[int, Group]:
    """The groups of a request, by the index of their first item."""
    if len(items) < 2:
        return {}
    found: list[Group] = [*_rotations(paths, items), *_respellings(paths, items)]
    return {min(group.members): group for group in found}


def _rotations(paths: PathIndex, items: Sequence[ChangeItem]) -> list[Rotation]:
    """The cycles among the items that ask for a place; a resource that is placed twice takes part in none."""
    placing = [at for at, item in enumerate(items) if item.change_type in _PLACING and item.resource_id]
    if len(placing) < 2:
        return []
    often = Counter(items[at].resource_id for at in placing)
    leaving: dict[str, int] = {}
    wanted: dict[int, str] = {}
    for at in placing:
        old, new = _key(paths, items[at].old_path), _key(paths, items[at].new_path)
        if often[items[at].resource_id] == 1 and old and new and old != new:
            leaving[old] = -1 if old in leaving else at
            wanted[at] = new
    found, seen = [], set[int]()
    for start in sorted(wanted):
        members: list[int] = []
        at = start
        while at in wanted and at not in seen:
            seen.add(at)
            members.append(at)
            at = leaving.get(wanted[at], -1)
        if at in members:
            found.append(Rotation(tuple(members[members.index(at) :])))
    return found


def _respellings(paths: PathIndex, items: Sequence[ChangeItem]) -> list[Respelling]:
    """The deletions whose resource is also created, under another spelling of the path that it has."""
    creations: dict[tuple[str, str], int] = {
        (item.resource_type, key): at
        for at, item in enumerate(items)
        if item.change_type == "created" and (key := _key(paths, item.new_path))
    }
    deletions = [at for at, item in enumerate(items) if item.change_type == "deleted" and item.resource_id]
    if not creations or not deletions:
        return []
    rows = Rows(paths.tx, paths.row.feed)
    rows.read_nodes(items[at].resource_id for at in deletions)
    found = []
    for at in deletions:
        node = rows.node(items[at].resource_id)
        location = paths.location(node) if node else None
        if node is None or location is None or not location.is_live:
            continue
        created = creations.pop((node.type, path_key(location.path, paths.row.policy)), None)
        if created is None or items[created].new_path == location.path:
            continue
        if _holds(paths, items[at], node.version, location.path):
            found.append(Respelling(created, at))
    return found


def _holds(paths: PathIndex, item: ChangeItem, version_id: str | None, path: str) -> bool:
    """True when the deletion asks for what is there: the current version, of a folder the place."""
    if item.resource_type == "file":
        return item.base_version_id == version_id
    return _key(paths, item.old_path) == path_key(path, paths.row.policy)


def _key(paths: PathIndex, raw: str | None) -> str | None:
    """The form in which paths are compared; None without a path, or for one that no share could hold."""
    if raw is None:
        return None
    try:
        return path_key(stored_path(raw, paths.row.policy._replace(portable=False)), paths.row.policy)
    except Invalid:
        return None

"""The answer of the conflict choice: one outcome, the effects to carry out in order, and the keepers of the bytes.

An effect names resources and versions, not tables. ``execute`` makes the names of copies with ``names.copy_name``
and writes the changes.

Source: files contract, readings "apply" and "Strategies".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headwater.contracts.files.apply.inputs import Strategy


class Outcome(StrEnum):
    """The list of the answer for the item: ``applied`` for the first two, ``errors`` for the last two."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    STALE = "stale"
    REFUSED = "refused"


class Keeper(StrEnum):
    """The place that keeps one side's bytes after the decision.

    CURRENT: the current version of a live file. HISTORY: a version of some file, no longer or never current.
    COPY: the current version of a new conflict copy. STAGED: nothing was acknowledged; the upload stays
    staged and the device still has its file. HELD: staged, and not to expire while the conflict is open.
    TRASH: the current version of a deleted file. NOTHING: no bytes.
    """

    NOTHING = "nothing"
    CURRENT = "current"
    HISTORY = "history"
    COPY = "copy"
    TRASH = "trash"
    HELD = "held"
    STAGED = "staged"


class ConflictKind(StrEnum):
    """The subject of a disagreement; of several, the first of these."""

    CONTENT = "content"
    EDIT_DELETE = "edit_delete"
    NAME_TAKEN = "name_taken"
    CROSSED_MOVE = "crossed_move"


class Reason(StrEnum):
    """The reason why an item is stale (the first three) or refused."""

    BASE_MISSING = "base_missing"
    BASE_UNKNOWN = "base_unknown"
    BASE_OLD = "base_old"
    RESOURCE_UNKNOWN = "resource_unknown"
    RESOURCE_EXISTS = "resource_exists"
    TYPE_DIFFERS = "type_differs"
    TYPE_UNSUPPORTED = "type_unsupported"
    VERSION_MISSING = "version_missing"
    VERSION_UNKNOWN = "version_unknown"
    FOLDER_CONTENT = "folder_content"
    PATH_MISSING = "path_missing"
    PATHS_DIFFER = "paths_differ"
    PARENT_MISSING = "parent_missing"
    PARENT_NOT_FOLDER = "parent_not_folder"
    INTO_ITSELF = "into_itself"


@dataclass(frozen=True, slots=True)
class PutCurrent:
    """The version becomes the current one of the resource; the one before stays in its history."""

    resource_id: str
    version_id: str


@dataclass(frozen=True, slots=True)
class KeepVersion:
    """The version enters the resource's history without becoming current."""

    resource_id: str
    version_id: str


@dataclass(frozen=True, slots=True)
class HoldVersion:
    """The staged version must not expire while the conflict is open."""

    version_id: str


@dataclass(frozen=True, slots=True)
class Create:
    """A new resource at the item's new path (its id is in no use); a folder when there is no version.

    ``in_trash``: it is created deleted, so that its bytes stay restorable and no tree changes.
    ``as_copy``: its name is a conflict copy's, in the same folder.
    """

    version_id: str | None
    in_trash: bool = False
    as_copy: bool = False


@dataclass(frozen=True, slots=True)
class CopyBeside:
    """A new file with the version, under a conflict copy's name beside the resource's final place."""

    resource_id: str
    version_id: str


@dataclass(frozen=True, slots=True)
class MoveTo:
    """The resource gets this path; one change, ``renamed`` under the same parent, else ``moved``.

    ``as_copy``: into that folder, under a conflict copy's name.
    """

    resource_id: str
    path: str
    as_copy: bool = False


@dataclass(frozen=True, slots=True)
class PlaceAside:
    """The resource stays in its folder but yields its name for a conflict copy's."""

    resource_id: str


@dataclass(frozen=True, slots=True)
class Restore:
    """The deleted resource lives again, under its id, at this path; ``as_copy`` as for ``MoveTo``."""

    resource_id: str
    path: str
    as_copy: bool = False


@dataclass(frozen=True, slots=True)
class RestoreFolders:
    """The folder of this path and those above it are created anew where missing; nothing in the old ones returns."""

    path: str


@dataclass(frozen=True, slots=True)
class Trash:
    """The resource, and all below it, is put into the trash; one change, restorable."""

    resource_id: str


Effect = (
    PutCurrent
    | KeepVersion
    | HoldVersion
    | Create
    | CopyBeside
    | MoveTo
    | PlaceAside
    | Restore
    | RestoreFolders
    | Trash
)
"""The effects that a decision can ask for."""


@dataclass(frozen=True, slots=True)
class NewConflict:
    """A conflict to record; ``resolution`` is the strategy that ran, None for MANUAL.

    ``resource_id`` and ``server_version_id`` are of the resource on the server that opposes the
    change: the item's own, or the one that has its name; None for a creation in a deleted folder.
    """

    kind: ConflictKind
    resource_id: str | None
    local_version_id: str | None
    server_version_id: str | None
    resolution: Strategy | None


@dataclass(frozen=True, slots=True)
class Decision:
    """The one answer to a situation.

    ``resource_id`` is the resource that the device should now know for its item, None when it is one that an
    effect creates or there is none. ``client_bytes`` keeps the content that the item brought, ``server_bytes``
    that of the opposing resource (without a conflict, of the item's own). ``modified_at_us`` is the device's
    time after clamping, to be stored with its version. ``repeat``: the conflict is recorded already and its
    effects are done.
    """

    outcome: Outcome
    effects: tuple[Effect, ...] = ()
    client_bytes: Keeper = Keeper.NOTHING
    server_bytes: Keeper = Keeper.NOTHING
    resource_id: str | None = None
    conflict: NewConflict | None = None
    reason: Reason | None = None
    modified_at_us: int | None = None
    repeat: bool = False

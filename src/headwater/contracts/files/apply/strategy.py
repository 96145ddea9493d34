"""Chooses the effects of a strategy on a conflict, and the keepers of each side's bytes after them.

Pure functions. The strategy runs once for each aspect in conflict; MANUAL touches neither and holds the bytes.

Source: files contract, reading "Strategies": the losing bytes are never dropped.
"""

from __future__ import annotations

from headwater.contracts.files.apply.compare import (
    Comparison,
    brings_version,
    clamped_time,
    is_file,
    other_at,
    target_of,
)
from headwater.contracts.files.apply.decision import (
    ConflictKind,
    CopyBeside,
    Create,
    Decision,
    Effect,
    HoldVersion,
    Keeper,
    KeepVersion,
    MoveTo,
    NewConflict,
    Outcome,
    PlaceAside,
    PutCurrent,
    Restore,
    RestoreFolders,
)
from headwater.contracts.files.apply.inputs import Resource, ResourceType, Situation, Spot, Strategy
from headwater.contracts.files.names import parent_path
from headwater.contracts.files.paths import FolderState


def creation_in_conflict(s: Situation, spot: Spot, other: Resource | None) -> Decision:
    """A creation where the name is taken, or whose folder was deleted."""
    version_id = s.item.version_id
    kind = ConflictKind.NAME_TAKEN if spot.folder is FolderState.LIVE else ConflictKind.EDIT_DELETE
    both_files = other is not None and other.resource_type is ResourceType.FILE and version_id is not None
    effects: list[Effect] = []
    resource_id = None
    if s.strategy is Strategy.MANUAL:
        return manual(s, kind, other)
    if spot.folder is FolderState.DELETED and s.strategy is not Strategy.SERVER_WINS:
        effects.append(RestoreFolders(parent_path(s.item.new_path or "/")))
    if _yields_to_server(s, other):
        if other is not None and both_files and version_id is not None:
            effects.append(KeepVersion(other.resource_id, version_id))
        elif version_id is not None:
            effects.append(Create(version_id, in_trash=True))
        resource_id = other.resource_id if other is not None else None
    elif other is None:
        effects.append(Create(version_id))
    elif s.strategy is Strategy.KEEP_BOTH:
        effects.append(Create(version_id, as_copy=True))
    elif both_files and version_id is not None:
        effects.append(PutCurrent(other.resource_id, version_id))
        resource_id = other.resource_id
    else:
        effects += [PlaceAside(other.resource_id), Create(version_id)]
    return in_conflict(s, kind, other, effects, resource_id)


def content_effects(s: Situation, resource: Resource, content: Comparison) -> list[Effect]:
    """The effects on the client's version."""
    version_id = s.item.version_id
    if version_id is None or content not in {Comparison.FITS, Comparison.DIVERGED}:
        return []
    if content is Comparison.FITS or _client_wins(s, resource.modified_at_us):
        return [PutCurrent(resource.resource_id, version_id)]
    if s.strategy is Strategy.KEEP_BOTH:
        return [CopyBeside(resource.resource_id, version_id)]
    return [KeepVersion(resource.resource_id, version_id)]


def place_effects(s: Situation, resource: Resource, place: Comparison) -> list[Effect]:
    """The effects of the place that the client asks for."""
    if place in {Comparison.NONE, Comparison.SAME}:
        return []
    if place is Comparison.CROSSED:
        wins = _client_wins(s, resource.placed_at_us)
    elif place is Comparison.TAKEN:
        other = other_at(s.target, resource)
        keeps_both = s.strategy is Strategy.KEEP_BOTH
        wins = keeps_both or (other is not None and _takes_name_from(s, other))
    else:
        wins = place is Comparison.FITS or s.strategy is not Strategy.SERVER_WINS
    if not wins:
        return []
    path = s.item.new_path or "/"
    before, as_copy = claim(s, target_of(s), path)
    return [*before, MoveTo(resource.resource_id, path, as_copy)]


def claim(s: Situation, spot: Spot, path: str) -> tuple[list[Effect], bool]:
    """The effects that free a path, and True when a copy's name must be taken there instead."""
    before: list[Effect] = []
    if spot.folder is FolderState.DELETED:
        before.append(RestoreFolders(parent_path(path)))
    other = other_at(spot, s.resource)
    if other is None:
        return before, False
    if _takes_name_from(s, other):
        return [*before, PlaceAside(other.resource_id)], False
    return before, True


def in_conflict(
    s: Situation,
    kind: ConflictKind,
    opponent: Resource | None,
    effects: list[Effect],
    resource_id: str | None,
    content: Comparison = Comparison.DIVERGED,
) -> Decision:
    """The decision on a conflict for which a strategy ran."""
    return Decision(
        Outcome.CONFLICT,
        tuple(effects),
        client_bytes=client_keeper(effects, content, s.resource),
        server_bytes=server_keeper(effects, opponent),
        resource_id=resource_id,
        conflict=_conflict(s, kind, opponent, s.strategy),
        modified_at_us=clamped_time(s, s.item.modified_at_us),
    )


def manual(
    s: Situation, kind: ConflictKind, opponent: Resource | None, content: Comparison = Comparison.DIVERGED
) -> Decision:
    """The decision on a conflict that waits for a person: nothing changes, the bytes are held.

    Also those that the server has in another version: the answer may come when it no longer has.
    """
    held = None if content is Comparison.NONE else s.item.version_id
    effects: list[Effect] = [] if held is None else [HoldVersion(held)]
    return Decision(
        Outcome.CONFLICT,
        tuple(effects),
        client_bytes=client_keeper(effects, content, s.resource),
        server_bytes=kept_now(opponent),
        resource_id=s.resource.resource_id if s.resource else None,
        conflict=_conflict(s, kind, opponent, None),
        modified_at_us=clamped_time(s, s.item.modified_at_us),
    )


def client_keeper(effects: list[Effect], content: Comparison, resource: Resource | None) -> Keeper:
    """The keeper of the client's bytes once the effects are done; ``resource`` is the item's."""
    for effect in effects:
        match effect:
            case PutCurrent():
                return Keeper.CURRENT
            case KeepVersion():
                return Keeper.HISTORY
            case CopyBeside() | Create(version_id=str(), as_copy=True):
                return Keeper.COPY
            case Create(version_id=str(), in_trash=trashed):
                return Keeper.TRASH if trashed else Keeper.CURRENT
            case HoldVersion():
                return Keeper.HELD
            case _:
                pass
    if content is Comparison.SAME:
        return _kept_with(effects, resource)
    return Keeper.HISTORY if content is Comparison.UNEDITED else Keeper.NOTHING


def server_keeper(effects: list[Effect], opponent: Resource | None) -> Keeper:
    """The keeper of the bytes that the opposing resource had as its current version."""
    if any(isinstance(e, PutCurrent) and opponent and e.resource_id == opponent.resource_id for e in effects):
        return Keeper.HISTORY
    return _kept_with(effects, opponent)


def kept_now(resource: Resource | None) -> Keeper:
    """The keeper of the current version of a resource as it is now; a folder has none."""
    if resource is None or resource.content_hash is None:
        return Keeper.NOTHING
    return Keeper.TRASH if resource.deleted else Keeper.CURRENT


def _yields_to_server(s: Situation, other: Resource | None) -> bool:
    """True when the created resource does not appear: the server wins, or the occupant is the later one."""
    if s.strategy is Strategy.LAST_WRITER_WINS and other is not None:
        return not _takes_name_from(s, other)
    return s.strategy is Strategy.SERVER_WINS


def _client_wins(s: Situation, server_time_us: int | None) -> bool:
    """True when the strategy prefers the client to a server side of that time; it loses ties."""
    if s.strategy is not Strategy.LAST_WRITER_WINS:
        return s.strategy is Strategy.CLIENT_WINS
    client_us = clamped_time(s, s.item.modified_at_us)
    server_us = clamped_time(s, server_time_us)
    return client_us is not None and server_us is not None and client_us > server_us


def _takes_name_from(s: Situation, other: Resource) -> bool:
    """True when the client's resource gets the name and the other yields; a folder has no time of its own."""
    files = is_file(s) and other.resource_type is ResourceType.FILE
    return _client_wins(s, other.modified_at_us if files else None)


def _conflict(s: Situation, kind: ConflictKind, opponent: Resource | None, ran: Strategy | None) -> NewConflict:
    """The record. A version that the item neither brings nor edits is no side of it: its owner was not checked."""
    is_side = brings_version(s) or s.base is not None
    return NewConflict(
        kind,
        resource_id=opponent.resource_id if opponent else None,
        local_version_id=s.item.version_id if is_side else None,
        server_version_id=opponent.version_id if opponent else None,
        resolution=ran,
    )


def _kept_with(effects: list[Effect], resource: Resource | None) -> Keeper:
    """As ``kept_now``, after the effects: a restored resource is out of the trash."""
    kept = kept_now(resource)
    restored = any(isinstance(effect, Restore) for effect in effects)
    return Keeper.CURRENT if restored and kept is Keeper.TRASH else kept

"""The conflict choice: one item of an ``apply`` and the state of the server give one decision; no bytes are lost.

A pure function, read in this order:

1. What makes no sense is refused. Nothing is acknowledged; the upload stays staged.
2. A change has up to two aspects, its *content* and its *place*. Each is judged alone: it asks nothing, is
   there already, fits, is stale, is refused, or is in conflict. So a rename merges with a content edit.
3. Refused or stale in one aspect is refused or stale as a whole. With no conflict, what fits is applied.
4. In conflict the strategy runs, once per aspect. MANUAL touches neither aspect and holds the bytes.

Choices where the contract is silent: a folder has no versions, so the base of its deletion is its ``old_path``, and the
position up to which the device has seen the share. Creating a folder that exists merges; *moving* a folder onto another
is a taken name, because a move is one change whatever lies below. A file that loses against a folder of its name, or
against the deletion of its folder, is created in the trash: its bytes are then the version of a file that can be
restored. The client's rename of a deleted file is an edit of it. A resource that must yield its name to the client
keeps its id and folder.

Source: files contract, "POST /api/v1/sync/apply", "Conflicts", readings "apply" and "Strategies".
"""

from __future__ import annotations

from dataclasses import replace

from headwater.base.errors import Malformed, StateConflict
from headwater.contracts.files.apply.compare import (
    Comparison,
    brings_version,
    clamped_time,
    compare_content,
    compare_place,
    is_equal,
    is_file,
    old_path_holds,
    other_at,
    same_path,
    spot_reason,
    target_of,
)
from headwater.contracts.files.apply.decision import (
    ConflictKind,
    Create,
    Decision,
    Effect,
    Keeper,
    KeepVersion,
    Outcome,
    PutCurrent,
    Reason,
    Restore,
    Trash,
)
from headwater.contracts.files.apply.inputs import (
    PLACING,
    ChangeType,
    RecordedConflict,
    Resource,
    ResourceType,
    Situation,
    Spot,
    Strategy,
)
from headwater.contracts.files.apply.strategy import (
    claim,
    client_keeper,
    content_effects,
    creation_in_conflict,
    in_conflict,
    kept_now,
    manual,
    place_effects,
    server_keeper,
)
from headwater.contracts.files.paths import FolderState

_STALE = frozenset({Reason.BASE_MISSING, Reason.BASE_UNKNOWN, Reason.BASE_OLD})
_IN_CONFLICT = {
    Comparison.DIVERGED: ConflictKind.CONTENT,
    Comparison.FOLDER_DELETED: ConflictKind.EDIT_DELETE,
    Comparison.TAKEN: ConflictKind.NAME_TAKEN,
    Comparison.CROSSED: ConflictKind.CROSSED_MOVE,
}


def decide(s: Situation) -> Decision:
    """The decision on one item; the same situation always gives the same one.

    A conflict that is recorded already gives the same decision, with nothing left to do.
    """
    if s.earlier is None:
        return _choose(s)
    decision = _choose(replace(s, strategy=s.earlier.resolution or Strategy.MANUAL))
    if decision.conflict is not None:
        return _repeated(s, decision)
    fresh = _choose(s)
    if fresh.outcome is not Outcome.REFUSED:
        return fresh
    # The first answer moved what the item names, so the item alone makes no sense any more. It is the same wish.
    resource_id = s.resource.resource_id if s.resource else None
    return _repeated(s, Decision(Outcome.CONFLICT, resource_id=resource_id))


def resolve_later(conflict: RecordedConflict, resolution: Strategy, s: Situation) -> Decision:
    """The decision when a person answers a recorded conflict, on the present state.

    ``s`` holds the recorded item, base and receipt with the present resource; its strategy is not read.
    UNCHANGED without effects when the conflict already has this answer. REFUSED leaves it open.
    Raises: Malformed for MANUAL, which is no answer; StateConflict when it has another answer.
    Source: files contract, "POST /api/v1/sync/conflicts/{conflict_id}/resolve".
    """
    if resolution is Strategy.MANUAL:
        raise Malformed("MANUAL does not resolve a conflict; send one of the other strategies")
    if conflict.resolution is not None and conflict.resolution is not resolution:
        raise StateConflict(f"the conflict is already resolved with {conflict.resolution.value}")
    settled = replace(s, strategy=resolution, earlier=None, settling=True)
    if conflict.resolution is resolution:
        resource_id = s.resource.resource_id if s.resource else None
        return _repeated(settled, Decision(Outcome.UNCHANGED, resource_id=resource_id))
    decision = _choose(settled)
    if decision.reason is Reason.VERSION_UNKNOWN and resolution is Strategy.SERVER_WINS:
        # The device's bytes were removed, so nothing is to be retained beside the server's.
        stays = s.resource or target_of(s).occupant
        resource_id = stays.resource_id if stays else None
        return Decision(Outcome.UNCHANGED, server_bytes=kept_now(stays), resource_id=resource_id)
    return decision


def _choose(s: Situation) -> Decision:
    """The decision as if the item arrived for the first time."""
    reason = _senseless(s)
    if reason is not None:
        return _halted(s, reason)
    if s.item.change_type is ChangeType.CREATED:
        return _created(s)
    if s.resource is None:
        return _halted(s, Reason.RESOURCE_UNKNOWN)
    if s.resource.resource_type is not s.item.resource_type:
        return _halted(s, Reason.TYPE_DIFFERS)
    if s.item.change_type is ChangeType.DELETED:
        return _deleted(s, s.resource)
    if s.resource.deleted:
        return _edit_of_deleted(s, s.resource)
    return _changed(s, s.resource)


def _senseless(s: Situation) -> Reason | None:
    """The reason why the item makes no sense, whatever the server has, or None."""
    item = s.item
    if item.resource_type is ResourceType.SHARE:
        return Reason.TYPE_UNSUPPORTED
    if item.change_type is ChangeType.DELETED:
        return None
    if item.resource_type is ResourceType.FOLDER and item.version_id is not None:
        return Reason.FOLDER_CONTENT
    if item.change_type is ChangeType.UPDATED:
        if item.resource_type is ResourceType.FILE and item.version_id is None:
            return Reason.VERSION_MISSING
        if item.old_path and item.new_path and item.old_path != item.new_path:
            return Reason.PATHS_DIFFER
    elif item.new_path is None or s.target is None:
        return Reason.PATH_MISSING
    elif item.change_type is ChangeType.CREATED and is_file(s) and item.version_id is None:
        return Reason.VERSION_MISSING
    return Reason.VERSION_UNKNOWN if brings_version(s) and item.content_hash is None else None


def _deleted(s: Situation, resource: Resource) -> Decision:
    """A deletion: asks for the very version that the device saw, of a folder for its place."""
    if resource.deleted:
        return Decision(Outcome.UNCHANGED, server_bytes=kept_now(resource), resource_id=resource.resource_id)
    if resource.resource_type is ResourceType.FOLDER:
        asked, known = s.item.old_path, True
        holds = old_path_holds(s, resource) and not s.has_news
    else:
        asked, holds = s.item.base_version_id, s.item.base_version_id == resource.version_id
        known = s.base is not None
    if asked is None:
        return _halted(s, Reason.BASE_MISSING)
    if not holds:
        return _halted(s, Reason.BASE_OLD if known else Reason.BASE_UNKNOWN)
    trashed = Keeper.TRASH if resource.content_hash else Keeper.NOTHING
    effect = Trash(resource.resource_id)
    return Decision(Outcome.APPLIED, (effect,), server_bytes=trashed, resource_id=resource.resource_id)


def _created(s: Situation) -> Decision:
    """A creation: a free name is taken, an equal occupant is taken over, another one is a conflict.

    The id that the device proposes counts only when it names a living resource.
    """
    # Whatever became of the place: an answer that the server's side stays can always be carried out.
    stays = s.settling and s.strategy is Strategy.SERVER_WINS
    if s.resource is not None and not s.resource.deleted:
        if same_path(s, s.resource.path, s.item.new_path) and is_equal(s, s.resource):
            return _already_there(s, s.resource)
        if not stays:
            return _halted(s, Reason.RESOURCE_EXISTS)
    spot = target_of(s)
    reason = spot_reason(spot)
    if reason is not None and not stays:
        return _halted(s, reason)
    other = spot.occupant
    if other is not None and is_equal(s, other):
        return _already_there(s, other)
    if other is None and spot.folder is FolderState.LIVE and not s.settling:
        return Decision(
            Outcome.APPLIED,
            (Create(s.item.version_id),),
            client_bytes=Keeper.CURRENT if is_file(s) else Keeper.NOTHING,
            modified_at_us=clamped_time(s, s.item.modified_at_us),
        )
    return creation_in_conflict(s, spot, other)


def _edit_of_deleted(s: Situation, resource: Resource) -> Decision:
    """An edit against a deletion: the edit wins, except under SERVER_WINS and MANUAL."""
    content = compare_content(s, resource)
    if isinstance(content, Reason):
        return _halted(s, content)
    placing = s.item.change_type in PLACING
    if not placing and content in {Comparison.NONE, Comparison.UNEDITED}:
        return _unchanged(resource, content)
    path, spot = (s.item.new_path, s.target) if placing else (resource.path, s.home)
    reason = spot_reason(spot)
    # A resource that stays deleted needs no home, nor the place asked for once a person answered that it stays.
    stays = s.strategy is Strategy.SERVER_WINS
    if reason is not None and not (stays and (s.settling or not placing)):
        return _halted(s, reason)
    if s.strategy is Strategy.MANUAL:
        return manual(s, ConflictKind.EDIT_DELETE, resource, content)
    edited = content in {Comparison.FITS, Comparison.DIVERGED}
    effects: list[Effect] = []
    if not stays:
        before, as_copy = claim(s, spot or Spot(), path or "/")
        effects += [*before, Restore(resource.resource_id, path or "/", as_copy)]
    if edited and s.item.version_id is not None:
        make = KeepVersion if stays else PutCurrent
        effects.append(make(resource.resource_id, s.item.version_id))
    return in_conflict(s, ConflictKind.EDIT_DELETE, resource, effects, resource.resource_id, content)


def _changed(s: Situation, resource: Resource) -> Decision:
    """An update, rename or move of a living resource."""
    content, place = compare_content(s, resource), compare_place(s, resource)
    if isinstance(place, Reason) and s.settling and s.strategy in {Strategy.SERVER_WINS, Strategy.KEEP_BOTH}:
        place = Comparison.NONE  # the server's place stays, so it does not matter that the client's was removed
    if isinstance(content, Reason):
        return _halted(s, content)
    if isinstance(place, Reason):
        return _halted(s, place)
    kinds = [_IN_CONFLICT[aspect] for aspect in (content, place) if aspect in _IN_CONFLICT]
    if not kinds and Comparison.FITS not in {content, place}:
        return _unchanged(resource, content)
    opponent = other_at(s.target, resource) if kinds == [ConflictKind.NAME_TAKEN] else None
    if kinds and s.strategy is Strategy.MANUAL:
        return manual(s, kinds[0], opponent or resource, content)
    effects = [*place_effects(s, resource, place), *content_effects(s, resource, content)]
    if kinds:
        return in_conflict(s, kinds[0], opponent or resource, effects, resource.resource_id, content)
    return Decision(
        Outcome.APPLIED,
        tuple(effects),
        client_bytes=client_keeper(effects, content, s.resource),
        server_bytes=server_keeper(effects, resource),
        resource_id=resource.resource_id,
        modified_at_us=clamped_time(s, s.item.modified_at_us),
    )


def _repeated(s: Situation, decision: Decision) -> Decision:
    """The decision on a conflict that is recorded already: its effects were carried out before."""
    opponent = decision.conflict.resource_id if decision.conflict else None
    candidates = (s.resource, s.target.occupant if s.target else None)
    now = next((one for one in candidates if one and one.resource_id == opponent), s.resource)
    is_open = decision.conflict is not None and decision.conflict.resolution is None
    answered = Keeper.HISTORY if brings_version(s) else Keeper.NOTHING
    return replace(
        decision,
        effects=(),
        client_bytes=decision.client_bytes if is_open else answered,
        server_bytes=kept_now(now),
        repeat=True,
    )


def _halted(s: Situation, reason: Reason) -> Decision:
    """A stale or refused item: nothing was acknowledged, the upload stays staged."""
    return Decision(
        Outcome.STALE if reason in _STALE else Outcome.REFUSED,
        client_bytes=Keeper.STAGED if brings_version(s) else Keeper.NOTHING,
        server_bytes=kept_now(s.resource),
        resource_id=s.resource.resource_id if s.resource else None,
        reason=reason,
    )


def _already_there(s: Situation, resource: Resource) -> Decision:
    """A creation that finds its equal: the device takes over the existing id."""
    return _unchanged(resource, Comparison.SAME if is_file(s) else Comparison.NONE)


def _unchanged(resource: Resource, content: Comparison) -> Decision:
    """Nothing to do: the server has it already, or nothing was asked."""
    return Decision(
        Outcome.UNCHANGED,
        client_bytes=client_keeper([], content, resource),
        server_bytes=kept_now(resource),
        resource_id=resource.resource_id,
    )

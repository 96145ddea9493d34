"""What keeps the bytes of each side once the effects of a decision are done.

Source: files contract, reading "Strategies": the losing bytes are never dropped.
"""

from __future__ import annotations

from headwater.contracts.files.apply.compare import Comparison
from headwater.contracts.files.apply.decision import (
    CopyBeside,
    Create,
    Effect,
    HoldVersion,
    Keeper,
    KeepVersion,
    PutCurrent,
    Restore,
)
from headwater.contracts.files.apply.inputs import Resource


def client_keeper(effects: list[Effect], content: Comparison, resource: Resource | None) -> Keeper:
    """What keeps the client's bytes once the effects are done; ``resource`` is the item's."""
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
    """What keeps the bytes that the opposing resource had as its current version."""
    if any(isinstance(e, PutCurrent) and opponent and e.resource_id == opponent.resource_id for e in effects):
        return Keeper.HISTORY
    return _kept_with(effects, opponent)


def kept_now(resource: Resource | None) -> Keeper:
    """What keeps the current version of a resource as it stands; a folder has none."""
    if resource is None or resource.content_hash is None:
        return Keeper.NOTHING
    return Keeper.TRASH if resource.deleted else Keeper.CURRENT


def _kept_with(effects: list[Effect], resource: Resource | None) -> Keeper:
    """As ``kept_now``, after the effects: a restored resource is out of the trash."""
    kept = kept_now(resource)
    restored = any(isinstance(effect, Restore) for effect in effects)
    return Keeper.CURRENT if restored and kept is Keeper.TRASH else kept

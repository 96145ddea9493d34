from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from headwater.contracts.files.apply.decide import decide
from headwater.contracts.files.apply.decision import (
    Create,
    Effect,
    Keeper,
    MoveTo,
    Outcome,
    PutCurrent,
    Reason,
    Trash,
)
from headwater.contracts.files.apply.inputs import (
    Base,
    ChangeType,
    Item,
    Resource,
    ResourceType,
    Situation,
    Spot,
    Strategy,
)
from headwater.contracts.files.paths import FolderState

FILE, FOLDER = ResourceType.FILE, ResourceType.FOLDER
BASE_US, SERVER_US, RECEIVED_US = 100, 200, 300
LATE_US = 250

PAPER = Resource("fil_1", FILE, "/a/paper.txt", False, "ver_2", "server bytes", SERVER_US, SERVER_US)
TRASHED = replace(PAPER, deleted=True)
OTHER = Resource("fil_2", FILE, "/a/other.txt", False, "ver_7", "other bytes", SERVER_US, SERVER_US)
BOX = Resource("fld_1", FOLDER, "/a/box", placed_at_us=SERVER_US)
OLD_BASE = Base("base bytes", BASE_US)

EDIT = Item(FILE, ChangeType.UPDATED, "ver_3", "client bytes", "ver_1", "/a/paper.txt", "/a/paper.txt", LATE_US)
RENAME = Item(
    FILE, ChangeType.RENAMED, base_version_id="ver_2", old_path="/a/paper.txt", new_path="/a/essay.txt",
    modified_at_us=LATE_US,
)  # fmt: skip
MOVE = replace(RENAME, change_type=ChangeType.MOVED, new_path="/b/paper.txt")
DELETE = Item(FILE, ChangeType.DELETED, base_version_id="ver_2", old_path="/a/paper.txt")
NEW_FILE = Item(FILE, ChangeType.CREATED, "ver_3", "client bytes", new_path="/a/other.txt", modified_at_us=LATE_US)
NEW_FOLDER = Item(FOLDER, ChangeType.CREATED, new_path="/a/other.txt", modified_at_us=LATE_US)

PUT = PutCurrent("fil_1", "ver_3")


def on(resource: Resource | None, item: Item, **more: object) -> Situation:
    """The situation of an item on a resource: old base known, target free, unless told otherwise."""
    target = Spot() if item.new_path else None
    situation = Situation(item, Strategy.SERVER_WINS, RECEIVED_US, resource, OLD_BASE, target, Spot())
    return replace(situation, **more)  # type: ignore[arg-type]


RENAME_AND_EDIT = on(PAPER, replace(EDIT, change_type=ChangeType.RENAMED, new_path="/a/essay.txt"))
ESSAY = MoveTo("fil_1", "/a/essay.txt")
C, H, T, N = Keeper.CURRENT, Keeper.HISTORY, Keeper.TRASH, Keeper.NOTHING


class Expected(NamedTuple):
    """The parts of a decision that every row states; none of these decisions has a conflict."""

    outcome: Outcome
    reason: Reason | None
    effects: tuple[Effect, ...]
    client_bytes: Keeper
    server_bytes: Keeper | None


def applied(client_bytes: Keeper, server_bytes: Keeper, *effects: Effect) -> Expected:
    return Expected(Outcome.APPLIED, None, effects, client_bytes, server_bytes)


def unchanged(client_bytes: Keeper, server_bytes: Keeper) -> Expected:
    return Expected(Outcome.UNCHANGED, None, (), client_bytes, server_bytes)


def stale(reason: Reason, client_bytes: Keeper = N) -> Expected:
    return Expected(Outcome.STALE, reason, (), client_bytes, None)


def refused(reason: Reason, client_bytes: Keeper = N) -> Expected:
    return Expected(Outcome.REFUSED, reason, (), client_bytes, None)


# Both sides agree, or only one of them changed something; then what is stale; then what is refused. An upload
# stays staged when its item is stale or refused.
CASES: dict[str, tuple[Situation, Expected]] = {
    "the base is current": (
        on(PAPER, replace(EDIT, base_version_id="ver_2")),
        applied(C, H, PUT),
    ),
    "the server is back at the base's content": (
        on(PAPER, EDIT, base=Base("server bytes", BASE_US)),
        applied(C, H, PUT),
    ),
    "the same content": (
        on(PAPER, replace(EDIT, content_hash="server bytes")),
        unchanged(C, C),
    ),
    "the same content on no base": (
        on(PAPER, replace(EDIT, content_hash="server bytes", base_version_id=None)),
        unchanged(C, C),
    ),
    "the client did not change the base's content": (
        on(PAPER, replace(EDIT, content_hash="base bytes")),
        unchanged(H, C),
    ),
    "the server edited, the client renamed": (
        on(PAPER, replace(RENAME, base_version_id="ver_1")),
        applied(N, C, ESSAY),
    ),
    "a rename that repeats its base's version": (
        on(PAPER, replace(RENAME, version_id="ver_1", base_version_id="ver_1")),
        applied(N, C, ESSAY),
    ),
    "the server renamed, the client edited": (
        on(replace(PAPER, path="/a/thesis.txt"), replace(EDIT, base_version_id="ver_2")),
        applied(C, H, PUT),
    ),
    "rename and edit on the current base": (
        replace(RENAME_AND_EDIT, item=replace(RENAME_AND_EDIT.item, base_version_id="ver_2")),
        applied(C, H, ESSAY, PUT),
    ),
    "both renamed alike": (
        on(replace(PAPER, path="/a/essay.txt"), RENAME),
        unchanged(N, C),
    ),
    "both renamed alike but for case": (
        on(replace(PAPER, path="/a/Essay.txt"), RENAME),
        unchanged(N, C),
    ),
    "both moved alike": (
        on(replace(PAPER, path="/b/paper.txt"), MOVE),
        unchanged(N, C),
    ),
    "a rename of case only": (
        on(PAPER, replace(RENAME, new_path="/a/Paper.txt"), target=Spot(occupant=PAPER)),
        applied(N, C, MoveTo("fil_1", "/a/Paper.txt")),
    ),
    "a rename without its old path on the current base": (
        on(PAPER, replace(RENAME, old_path=None)),
        applied(N, C, ESSAY),
    ),
    "an old path in other letters": (
        on(PAPER, replace(RENAME, old_path="/A/PAPER.TXT")),
        applied(N, C, ESSAY),
    ),
    "a deletion of the current version": (
        on(PAPER, DELETE),
        applied(N, T, Trash("fil_1")),
    ),
    "a deletion after a rename": (
        on(replace(PAPER, path="/a/x"), DELETE),
        applied(N, T, Trash("fil_1")),
    ),
    "a deletion of a folder in its place": (
        on(BOX, Item(FOLDER, ChangeType.DELETED, old_path="/a/box")),
        applied(N, N, Trash("fld_1")),
    ),
    "both deleted": (
        on(TRASHED, DELETE),
        unchanged(N, T),
    ),
    "both deleted, on an old base": (
        on(TRASHED, replace(DELETE, base_version_id="ver_1")),
        unchanged(N, T),
    ),
    "an update of a deleted file that changes nothing": (
        on(TRASHED, replace(EDIT, content_hash="base bytes")),
        unchanged(H, T),
    ),
    "a new file": (
        on(None, NEW_FILE, base=None),
        applied(C, N, Create("ver_3")),
    ),
    "a new file that proposes the id of a deleted one": (
        on(TRASHED, NEW_FILE, base=None),
        applied(C, N, Create("ver_3")),
    ),
    "a new folder": (
        on(None, NEW_FOLDER, base=None),
        applied(N, N, Create(None)),
    ),
    "both created the same file": (
        on(None, replace(NEW_FILE, content_hash="other bytes"), base=None, target=Spot(occupant=OTHER)),
        unchanged(C, C),
    ),
    "a creation told twice": (
        on(OTHER, replace(NEW_FILE, content_hash="other bytes"), base=None, target=Spot(occupant=OTHER)),
        unchanged(C, C),
    ),
    "both created the folder": (
        on(None, replace(NEW_FOLDER, new_path="/a/box"), base=None, target=Spot(occupant=BOX)),
        unchanged(N, N),
    ),
    "an update of a folder": (
        on(BOX, Item(FOLDER, ChangeType.UPDATED)),
        unchanged(N, N),
    ),
    "an edit without a base": (
        on(PAPER, replace(EDIT, base_version_id=None)),
        stale(Reason.BASE_MISSING, Keeper.STAGED),
    ),
    "an edit on an unknown base": (
        on(PAPER, EDIT, base=None),
        stale(Reason.BASE_UNKNOWN, Keeper.STAGED),
    ),
    "an edit of a deleted file without a base": (
        on(TRASHED, replace(EDIT, base_version_id=None)),
        stale(Reason.BASE_MISSING, Keeper.STAGED),
    ),
    "a deletion on an old base": (
        on(PAPER, replace(DELETE, base_version_id="ver_1")),
        stale(Reason.BASE_OLD),
    ),
    "a deletion on an unknown base": (
        on(PAPER, replace(DELETE, base_version_id="ver_9"), base=None),
        stale(Reason.BASE_UNKNOWN),
    ),
    "a deletion without a base": (
        on(PAPER, replace(DELETE, base_version_id=None)),
        stale(Reason.BASE_MISSING),
    ),
    "a deletion on a base of the same content": (
        on(PAPER, replace(DELETE, base_version_id="ver_1"), base=Base("server bytes", BASE_US)),
        stale(Reason.BASE_OLD),
    ),
    "a deletion of a folder that moved": (
        on(BOX, Item(FOLDER, ChangeType.DELETED, old_path="/b/box")),
        stale(Reason.BASE_OLD),
    ),
    "a deletion of a folder without its path": (
        on(BOX, Item(FOLDER, ChangeType.DELETED)),
        stale(Reason.BASE_MISSING),
    ),
    "a rename without old path on an old base": (
        on(PAPER, replace(RENAME, old_path=None, base_version_id="ver_1")),
        stale(Reason.BASE_MISSING),
    ),
    "a share": (
        on(None, Item(ResourceType.SHARE, ChangeType.UPDATED)),
        refused(Reason.TYPE_UNSUPPORTED),
    ),
    "an unknown resource": (
        on(None, EDIT),
        refused(Reason.RESOURCE_UNKNOWN, Keeper.STAGED),
    ),
    "a deletion of an unknown resource": (
        on(None, DELETE),
        refused(Reason.RESOURCE_UNKNOWN),
    ),
    "a file that is a folder": (
        on(BOX, EDIT),
        refused(Reason.TYPE_DIFFERS, Keeper.STAGED),
    ),
    "an update without a version": (
        on(PAPER, replace(EDIT, version_id=None)),
        refused(Reason.VERSION_MISSING),
    ),
    "a creation without a version": (
        on(None, replace(NEW_FILE, version_id=None)),
        refused(Reason.VERSION_MISSING),
    ),
    "a version that is not there": (
        on(PAPER, replace(EDIT, content_hash=None)),
        refused(Reason.VERSION_UNKNOWN, Keeper.STAGED),
    ),
    "a folder with content": (
        on(None, replace(NEW_FOLDER, version_id="ver_3")),
        refused(Reason.FOLDER_CONTENT),
    ),
    "a rename to nowhere": (
        on(PAPER, replace(RENAME, new_path=None)),
        refused(Reason.PATH_MISSING),
    ),
    "a creation nowhere": (
        on(None, replace(NEW_FILE, new_path=None)),
        refused(Reason.PATH_MISSING, Keeper.STAGED),
    ),
    "an update that renames": (
        on(PAPER, replace(EDIT, new_path="/a/x.txt")),
        refused(Reason.PATHS_DIFFER, Keeper.STAGED),
    ),
    "a creation with a living id": (
        on(PAPER, NEW_FILE),
        refused(Reason.RESOURCE_EXISTS, Keeper.STAGED),
    ),
    "a move into no folder": (
        on(PAPER, MOVE, target=Spot(FolderState.MISSING)),
        refused(Reason.PARENT_MISSING),
    ),
    "a creation in no folder": (
        on(None, NEW_FILE, target=Spot(FolderState.MISSING)),
        refused(Reason.PARENT_MISSING, Keeper.STAGED),
    ),
    "a move into a file": (
        on(PAPER, MOVE, target=Spot(FolderState.NOT_A_FOLDER)),
        refused(Reason.PARENT_NOT_FOLDER),
    ),
    "a move into itself": (
        on(
            BOX,
            Item(FOLDER, ChangeType.MOVED, old_path="/a/box", new_path="/a/box/in/box"),
            target=Spot(inside_itself=True),
        ),
        refused(Reason.INTO_ITSELF),
    ),
    "a crossed move that would form a cycle": (
        on(
            BOX,
            Item(FOLDER, ChangeType.MOVED, old_path="/c/box", new_path="/a/box/in"),
            target=Spot(inside_itself=True),
        ),
        refused(Reason.INTO_ITSELF),
    ),
    "a deleted folder moved into itself": (
        on(
            replace(BOX, deleted=True),
            Item(FOLDER, ChangeType.MOVED, old_path="/a/box", new_path="/a/box/in"),
            target=Spot(FolderState.DELETED, inside_itself=True),
        ),
        refused(Reason.INTO_ITSELF),
    ),
}


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(("situation", "expected"), CASES.values(), ids=CASES)
def test_without_a_conflict_no_strategy_matters(situation: Situation, expected: Expected, strategy: Strategy) -> None:
    decision = decide(replace(situation, strategy=strategy))
    assert decision.outcome is expected.outcome
    assert decision.reason is expected.reason
    assert decision.effects == expected.effects
    assert decision.client_bytes is expected.client_bytes
    if expected.server_bytes is not None:
        assert decision.server_bytes is expected.server_bytes
    assert decision.conflict is None

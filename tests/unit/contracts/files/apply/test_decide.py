from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter

import pytest

from headwater.contracts.files.apply.decide import decide
from headwater.contracts.files.apply.decision import (
    ConflictKind,
    CopyBeside,
    Create,
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
from headwater.contracts.files.names import NamePolicy
from headwater.contracts.files.paths import FolderState

FILE, FOLDER = ResourceType.FILE, ResourceType.FOLDER
LWW, BOTH, SERVER, CLIENT, MANUAL = Strategy
KEPT = {Keeper.CURRENT, Keeper.HISTORY, Keeper.COPY, Keeper.TRASH, Keeper.HELD}
BASE_US, SERVER_US, RECEIVED_US = 100, 200, 300
EARLY_US, LATE_US = 150, 250

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
NEW_FILE = Item(FILE, ChangeType.CREATED, "ver_3", "client bytes", new_path="/a/other.txt", modified_at_us=LATE_US)
NEW_FOLDER = Item(FOLDER, ChangeType.CREATED, new_path="/a/other.txt", modified_at_us=LATE_US)

PUT, KEEP, HOLD = PutCurrent("fil_1", "ver_3"), KeepVersion("fil_1", "ver_3"), HoldVersion("ver_3")


def on(resource: Resource | None, item: Item, **more: object) -> Situation:
    """The situation of an item on a resource: old base known, target free, unless told otherwise."""
    target = Spot() if item.new_path else None
    situation = Situation(item, LWW, RECEIVED_US, resource, OLD_BASE, target, Spot())
    return replace(situation, **more)  # type: ignore[arg-type]


def under(strategy: Strategy, situation: Situation) -> Situation:
    return replace(situation, strategy=strategy)


def timed(client_us: int | None, server_us: int | None) -> Situation:
    """An edit and the server's edit, each with its time."""
    return on(replace(PAPER, modified_at_us=server_us), replace(EDIT, modified_at_us=client_us))


def early(situation: Situation) -> Situation:
    """The same item, with a time before that of the server's change."""
    return replace(situation, item=replace(situation.item, modified_at_us=EARLY_US))


CONTENT = on(PAPER, EDIT)
CONTENT_EARLY = on(PAPER, replace(EDIT, modified_at_us=EARLY_US))
EDIT_OF_DELETED = on(TRASHED, EDIT)
CROSSED = on(replace(PAPER, path="/a/thesis.txt"), RENAME)
CROSSED_MOVE = on(replace(PAPER, path="/c/paper.txt"), MOVE)
TAKEN = on(PAPER, replace(RENAME, new_path="/a/other.txt"), target=Spot(occupant=OTHER))
TAKEN_BY_FOLDER = on(PAPER, replace(RENAME, new_path="/a/box"), target=Spot(occupant=BOX))
FILE_ON_FILE = on(None, NEW_FILE, base=None, target=Spot(occupant=OTHER))
FILE_ON_FOLDER = on(None, replace(NEW_FILE, new_path="/a/box"), base=None, target=Spot(occupant=BOX))
FOLDER_ON_FILE = on(None, NEW_FOLDER, base=None, target=Spot(occupant=OTHER))
FOLDERS_MOVED = on(
    Resource("fld_2", FOLDER, "/a/case", placed_at_us=SERVER_US),
    Item(FOLDER, ChangeType.RENAMED, old_path="/a/case", new_path="/a/box"),
    target=Spot(occupant=BOX),
)
IN_DELETED_FOLDER = on(None, NEW_FILE, base=None, target=Spot(FolderState.DELETED))
FOLDER_IN_DELETED_FOLDER = on(None, NEW_FOLDER, base=None, target=Spot(FolderState.DELETED))
INTO_DELETED_FOLDER = on(PAPER, MOVE, target=Spot(FolderState.DELETED))
RENAME_OF_DELETED = on(TRASHED, RENAME)
DELETED_WITH_FOLDER = on(TRASHED, EDIT, home=Spot(FolderState.DELETED))
HOME_TAKEN = on(TRASHED, EDIT, home=Spot(occupant=replace(OTHER, path="/a/paper.txt")))
CROSSED_ONTO_TAKEN = on(
    replace(PAPER, path="/c/paper.txt"), replace(RENAME, new_path="/a/other.txt"), target=Spot(occupant=OTHER)
)
FOLDER_ON_FOLDER = on(None, replace(NEW_FOLDER, new_path="/a/box"), base=None, target=Spot(occupant=BOX))
RENAMED_FROM_OTHER_CASE = on(replace(PAPER, path="/a/Paper.txt"), RENAME)
RENAME_AND_EDIT = on(PAPER, replace(EDIT, change_type=ChangeType.RENAMED, new_path="/a/essay.txt"))

ESSAY = MoveTo("fil_1", "/a/essay.txt")
RESTORED = Restore("fil_1", "/a/paper.txt")
C, H, T, N = Keeper.CURRENT, Keeper.HISTORY, Keeper.TRASH, Keeper.NOTHING

# Strategy: effects, what keeps the client's bytes, what keeps the server's.
Outcomes = dict[Strategy, tuple[tuple[Effect, ...], Keeper, Keeper]]
SCENARIOS: dict[str, tuple[Situation, ConflictKind, Outcomes]] = {
    "two contents": (CONTENT, ConflictKind.CONTENT, {
        SERVER: ((KEEP,), H, C),
        CLIENT: ((PUT,), C, H),
        LWW: ((PUT,), C, H),
        BOTH: ((CopyBeside("fil_1", "ver_3"),), Keeper.COPY, C),
        MANUAL: ((HOLD,), Keeper.HELD, C),
    }),
    "two contents, the client's older": (CONTENT_EARLY, ConflictKind.CONTENT, {
        LWW: ((KEEP,), H, C),
        CLIENT: ((PUT,), C, H),
    }),
    "an edit of a deleted file": (EDIT_OF_DELETED, ConflictKind.EDIT_DELETE, {
        SERVER: ((KEEP,), H, T),
        CLIENT: ((RESTORED, PUT), C, H),
        LWW: ((RESTORED, PUT), C, H),
        BOTH: ((RESTORED, PUT), C, H),
        MANUAL: ((HOLD,), Keeper.HELD, T),
    }),
    "an edit of a file deleted with its folder": (DELETED_WITH_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((KEEP,), H, T),
        LWW: ((RestoreFolders("/a"), RESTORED, PUT), C, H),
    }),
    "an edit of a deleted file whose place is taken": (HOME_TAKEN, ConflictKind.EDIT_DELETE, {
        SERVER: ((KEEP,), H, T),
        CLIENT: ((PlaceAside("fil_2"), RESTORED, PUT), C, H),
        LWW: ((PlaceAside("fil_2"), RESTORED, PUT), C, H),
        BOTH: ((Restore("fil_1", "/a/paper.txt", as_copy=True), PUT), C, H),
    }),
    "a rename of a deleted file": (RENAME_OF_DELETED, ConflictKind.EDIT_DELETE, {
        SERVER: ((), N, T),
        CLIENT: ((Restore("fil_1", "/a/essay.txt"),), N, C),
        LWW: ((Restore("fil_1", "/a/essay.txt"),), N, C),
        BOTH: ((Restore("fil_1", "/a/essay.txt"),), N, C),
        MANUAL: ((), N, T),
    }),
    "crossed renames": (CROSSED, ConflictKind.CROSSED_MOVE, {
        SERVER: ((), N, C),
        CLIENT: ((ESSAY,), N, C),
        LWW: ((ESSAY,), N, C),
        BOTH: ((), N, C),
        MANUAL: ((), N, C),
    }),
    "crossed moves": (CROSSED_MOVE, ConflictKind.CROSSED_MOVE, {
        SERVER: ((), N, C),
        CLIENT: ((MoveTo("fil_1", "/b/paper.txt"),), N, C),
        LWW: ((MoveTo("fil_1", "/b/paper.txt"),), N, C),
        BOTH: ((), N, C),
        MANUAL: ((), N, C),
    }),
    "a rename onto a taken name": (TAKEN, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, C),
        CLIENT: ((PlaceAside("fil_2"), MoveTo("fil_1", "/a/other.txt")), N, C),
        LWW: ((PlaceAside("fil_2"), MoveTo("fil_1", "/a/other.txt")), N, C),
        BOTH: ((MoveTo("fil_1", "/a/other.txt", as_copy=True),), N, C),
        MANUAL: ((), N, C),
    }),
    "a rename onto a folder's name": (TAKEN_BY_FOLDER, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, N),
        CLIENT: ((PlaceAside("fld_1"), MoveTo("fil_1", "/a/box")), N, N),
        LWW: ((), N, N),
        BOTH: ((MoveTo("fil_1", "/a/box", as_copy=True),), N, N),
        MANUAL: ((), N, N),
    }),
    "a folder renamed onto a folder's name": (FOLDERS_MOVED, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, N),
        CLIENT: ((PlaceAside("fld_1"), MoveTo("fld_2", "/a/box")), N, N),
        LWW: ((), N, N),
        BOTH: ((MoveTo("fld_2", "/a/box", as_copy=True),), N, N),
        MANUAL: ((), N, N),
    }),
    "a new file on a file's name": (FILE_ON_FILE, ConflictKind.NAME_TAKEN, {
        SERVER: ((KeepVersion("fil_2", "ver_3"),), H, C),
        CLIENT: ((PutCurrent("fil_2", "ver_3"),), C, H),
        LWW: ((PutCurrent("fil_2", "ver_3"),), C, H),
        BOTH: ((Create("ver_3", as_copy=True),), Keeper.COPY, C),
        MANUAL: ((HOLD,), Keeper.HELD, C),
    }),
    "a new file on a folder's name": (FILE_ON_FOLDER, ConflictKind.NAME_TAKEN, {
        SERVER: ((Create("ver_3", in_trash=True),), T, N),
        CLIENT: ((PlaceAside("fld_1"), Create("ver_3")), C, N),
        LWW: ((Create("ver_3", in_trash=True),), T, N),
        BOTH: ((Create("ver_3", as_copy=True),), Keeper.COPY, N),
        MANUAL: ((HOLD,), Keeper.HELD, N),
    }),
    "a new folder on a file's name": (FOLDER_ON_FILE, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, C),
        CLIENT: ((PlaceAside("fil_2"), Create(None)), N, C),
        LWW: ((), N, C),
        BOTH: ((Create(None, as_copy=True),), N, C),
        MANUAL: ((), N, C),
    }),
    "a new file in a deleted folder": (IN_DELETED_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((Create("ver_3", in_trash=True),), T, N),
        CLIENT: ((RestoreFolders("/a"), Create("ver_3")), C, N),
        LWW: ((RestoreFolders("/a"), Create("ver_3")), C, N),
        BOTH: ((RestoreFolders("/a"), Create("ver_3")), C, N),
        MANUAL: ((HOLD,), Keeper.HELD, N),
    }),
    "a new folder in a deleted folder": (FOLDER_IN_DELETED_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((), N, N),
        LWW: ((RestoreFolders("/a"), Create(None)), N, N),
        MANUAL: ((), N, N),
    }),
    "a move into a deleted folder": (INTO_DELETED_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((), N, C),
        LWW: ((RestoreFolders("/b"), MoveTo("fil_1", "/b/paper.txt")), N, C),
        MANUAL: ((), N, C),
    }),
    # The name fits, the content does not: each aspect goes its own way, but MANUAL touches neither.
    "a rename with a conflicting edit": (RENAME_AND_EDIT, ConflictKind.CONTENT, {
        SERVER: ((ESSAY, KEEP), H, C),
        CLIENT: ((ESSAY, PUT), C, H),
        LWW: ((ESSAY, PUT), C, H),
        BOTH: ((ESSAY, CopyBeside("fil_1", "ver_3")), Keeper.COPY, C),
        MANUAL: ((HOLD,), Keeper.HELD, C),
    }),
}  # fmt: skip


def conflict(situation: Situation, kind: ConflictKind, strategy: Strategy, outcome: Outcomes) -> dict[str, object]:
    """The fields of the decision on a scenario under a strategy."""
    effects, client_bytes, server_bytes = outcome[strategy]
    return {
        "outcome": Outcome.CONFLICT,
        "effects": effects,
        "client_bytes": client_bytes,
        "server_bytes": server_bytes,
        "conflict.kind": kind,
        "conflict.resolution": None if strategy is MANUAL else strategy,
        "conflict.local_version_id": situation.item.version_id,
    }


CONFLICTS: dict[str, tuple[Situation, Mapping[str, object]]] = {
    f"{name}, {strategy}": (under(strategy, situation), conflict(situation, kind, strategy, outcomes))
    for name, (situation, kind, outcomes) in SCENARIOS.items()
    for strategy in outcomes
}

WINS, LOSES = {"effects": (PUT,)}, {"effects": (KEEP,)}

# A row: the fact, a situation, the fields of the decision that prove it.
CASES: dict[str, tuple[Situation, Mapping[str, object]]] = {
    **CONFLICTS,
    "a later time wins": (timed(201, 200), WINS),
    "the same time loses": (timed(200, 200), LOSES),
    "an earlier time loses": (timed(199, 200), LOSES),
    "no time loses": (timed(None, 200), LOSES),
    "a time loses to no time": (timed(250, None), LOSES),
    "the future counts as the receipt and wins": (timed(10**18, 299), WINS),
    "the future counts as the receipt and ties": (timed(10**18, 300), LOSES),
    "two times in the future tie": (timed(10**18, 10**18), LOSES),
    "two times before the base tie": (timed(1, 50), LOSES),
    "a time after the base beats one before it": (timed(101, 50), WINS),
    "a time between base and receipt is stored": (timed(250, SERVER_US), {"modified_at_us": 250}),
    "a time in the future is stored as the receipt": (timed(10**18, SERVER_US), {"modified_at_us": RECEIVED_US}),
    "a time before the base is stored as the base's": (timed(-5, SERVER_US), {"modified_at_us": BASE_US}),
    "no time is stored as none": (timed(None, SERVER_US), {"modified_at_us": None}),
    "a base after the receipt does not push the time into the future": (
        on(PAPER, EDIT, base=Base("base bytes", RECEIVED_US + 50)),
        {"modified_at_us": RECEIVED_US},
    ),
    "an early crossed rename loses to the server's": (early(CROSSED), {"effects": ()}),
    "a late crossed rename wins over the server's": (CROSSED, {"effects": (ESSAY,)}),
    "an early rename loses to the owner of the name": (early(TAKEN), {"effects": ()}),
    "an early new file loses to the owner of the name": (
        early(FILE_ON_FILE),
        {"effects": (KeepVersion("fil_2", "ver_3"),)},
    ),
    "a crossed move onto a taken name wins both": (
        under(CLIENT, CROSSED_ONTO_TAKEN),
        {"effects": (PlaceAside("fil_2"), MoveTo("fil_1", "/a/other.txt"))},
    ),
    "a crossed move onto a taken name keeps the server's place for both": (
        under(BOTH, CROSSED_ONTO_TAKEN),
        {"effects": ()},
    ),
    "a crossed move onto a taken name loses both": (under(SERVER, CROSSED_ONTO_TAKEN), {"effects": ()}),
    "a content conflict names the file and its current version": (
        under(SERVER, CONTENT),
        {"conflict": NewConflict(ConflictKind.CONTENT, "fil_1", "ver_3", "ver_2", SERVER)},
    ),
    "a taken name's conflict names its owner": (
        under(MANUAL, TAKEN),
        {"conflict": NewConflict(ConflictKind.NAME_TAKEN, "fil_2", None, "ver_7", None)},
    ),
    "a creation in a deleted folder opposes no resource": (
        under(LWW, IN_DELETED_FOLDER),
        {"conflict": NewConflict(ConflictKind.EDIT_DELETE, None, "ver_3", None, LWW)},
    ),
    "the device learns the id of the folder that it created too": (
        under(LWW, FOLDER_ON_FOLDER),
        {"resource_id": "fld_1"},
    ),
    "the device learns the id of the file that won": (under(SERVER, FILE_ON_FILE), {"resource_id": "fil_2"}),
    "the device learns the id of the file that it replaced": (under(CLIENT, FILE_ON_FILE), {"resource_id": "fil_2"}),
    "a new copy has no id yet": (under(BOTH, FILE_ON_FILE), {"resource_id": None}),
    "a rename that lost keeps its own id": (under(SERVER, TAKEN), {"resource_id": "fil_1"}),
    # The server changed the name's case, so the old path no longer holds.
    "in a case-sensitive share another case is another name": (
        replace(RENAMED_FROM_OTHER_CASE, policy=NamePolicy(case_sensitive=True)),
        {"outcome": Outcome.CONFLICT},
    ),
    "in another share another case is the same name": (
        replace(RENAMED_FROM_OTHER_CASE, policy=NamePolicy()),
        {"outcome": Outcome.APPLIED},
    ),
    "a recorded conflict does not stop what fits by now": (
        on(PAPER, replace(EDIT, base_version_id="ver_2"), earlier=RecordedConflict("cfl_1", SERVER)),
        {"effects": (PUT,)},
    ),
}


@pytest.mark.parametrize(("situation", "expected"), CASES.values(), ids=CASES)
def test_a_situation_has_one_decision(situation: Situation, expected: Mapping[str, object]) -> None:
    decision = decide(situation)
    assert {field: attrgetter(field)(decision) for field in expected} == expected


@pytest.mark.parametrize("situation", [situation for situation, _ in CONFLICTS.values()], ids=CONFLICTS)
def test_a_recorded_conflict_has_no_second_effect(situation: Situation) -> None:
    first = decide(situation)
    assert first.conflict is not None
    earlier = RecordedConflict("cfl_1", first.conflict.resolution)
    for again in (decide(replace(situation, earlier=earlier, strategy=other)) for other in Strategy):
        assert again.outcome is Outcome.CONFLICT
        assert again.repeat
        assert again.effects == ()
        assert again.conflict == first.conflict
        assert (again.client_bytes in KEPT) == (first.client_bytes in KEPT)

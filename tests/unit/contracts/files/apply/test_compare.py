from __future__ import annotations

from dataclasses import replace

import pytest

from headwater.contracts.files.apply.decide import decide
from headwater.contracts.files.apply.decision import (
    Create,
    Decision,
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


def choose(situation: Situation, strategy: Strategy) -> Decision:
    return decide(replace(situation, strategy=strategy))


RENAME_AND_EDIT = on(PAPER, replace(EDIT, change_type=ChangeType.RENAMED, new_path="/a/essay.txt"))
ESSAY = MoveTo("fil_1", "/a/essay.txt")
C, H, T, N = Keeper.CURRENT, Keeper.HISTORY, Keeper.TRASH, Keeper.NOTHING

# Where both sides agree, or only one of them changed something: the same under every strategy.
AGREED: dict[str, tuple[Situation, tuple[Effect, ...], Keeper, Keeper]] = {
    "the base is current": (on(PAPER, replace(EDIT, base_version_id="ver_2")), (PUT,), C, H),
    "the server is back at the base's content": (
        on(PAPER, EDIT, base=Base("server bytes", BASE_US)),
        (PUT,),
        C,
        H,
    ),
    "the same content": (on(PAPER, replace(EDIT, content_hash="server bytes")), (), C, C),
    "the same content on no base": (
        on(PAPER, replace(EDIT, content_hash="server bytes", base_version_id=None)),
        (),
        C,
        C,
    ),
    "the client did not change the base's content": (
        on(PAPER, replace(EDIT, content_hash="base bytes")),
        (),
        H,
        C,
    ),
    "the server edited, the client renamed": (
        on(PAPER, replace(RENAME, base_version_id="ver_1")),
        (ESSAY,),
        N,
        C,
    ),
    "a rename that repeats its base's version": (
        on(PAPER, replace(RENAME, version_id="ver_1", base_version_id="ver_1")),
        (ESSAY,),
        N,
        C,
    ),
    "the server renamed, the client edited": (
        on(replace(PAPER, path="/a/thesis.txt"), replace(EDIT, base_version_id="ver_2")),
        (PUT,),
        C,
        H,
    ),
    "rename and edit on the current base": (
        replace(RENAME_AND_EDIT, item=replace(RENAME_AND_EDIT.item, base_version_id="ver_2")),
        (ESSAY, PUT),
        C,
        H,
    ),
    "both renamed alike": (on(replace(PAPER, path="/a/essay.txt"), RENAME), (), N, C),
    "both renamed alike but for case": (on(replace(PAPER, path="/a/Essay.txt"), RENAME), (), N, C),
    "both moved alike": (on(replace(PAPER, path="/b/paper.txt"), MOVE), (), N, C),
    "a rename of case only": (
        on(PAPER, replace(RENAME, new_path="/a/Paper.txt"), target=Spot(occupant=PAPER)),
        (MoveTo("fil_1", "/a/Paper.txt"),),
        N,
        C,
    ),
    "a rename without its old path on the current base": (
        on(PAPER, replace(RENAME, old_path=None)),
        (ESSAY,),
        N,
        C,
    ),
    "an old path in other letters": (on(PAPER, replace(RENAME, old_path="/A/PAPER.TXT")), (ESSAY,), N, C),
    "a deletion of the current version": (on(PAPER, DELETE), (Trash("fil_1"),), N, T),
    "a deletion after a rename": (on(replace(PAPER, path="/a/x"), DELETE), (Trash("fil_1"),), N, T),
    "a deletion of a folder in its place": (
        on(BOX, Item(FOLDER, ChangeType.DELETED, old_path="/a/box")),
        (Trash("fld_1"),),
        N,
        N,
    ),
    "both deleted": (on(TRASHED, DELETE), (), N, T),
    "both deleted, on an old base": (on(TRASHED, replace(DELETE, base_version_id="ver_1")), (), N, T),
    "an update of a deleted file that changes nothing": (
        on(TRASHED, replace(EDIT, content_hash="base bytes")),
        (),
        H,
        T,
    ),
    "a new file": (on(None, NEW_FILE, base=None), (Create("ver_3"),), C, N),
    "a new file that proposes the id of a deleted one": (
        on(TRASHED, NEW_FILE, base=None),
        (Create("ver_3"),),
        C,
        N,
    ),
    "a new folder": (on(None, NEW_FOLDER, base=None), (Create(None),), N, N),
    "both created the same file": (
        on(None, replace(NEW_FILE, content_hash="other bytes"), base=None, target=Spot(occupant=OTHER)),
        (),
        C,
        C,
    ),
    "a creation told twice": (
        on(OTHER, replace(NEW_FILE, content_hash="other bytes"), base=None, target=Spot(occupant=OTHER)),
        (),
        C,
        C,
    ),
    "both created the folder": (
        on(None, replace(NEW_FOLDER, new_path="/a/box"), base=None, target=Spot(occupant=BOX)),
        (),
        N,
        N,
    ),
    "an update of a folder": (on(BOX, Item(FOLDER, ChangeType.UPDATED)), (), N, N),
}


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(("situation", "effects", "client_bytes", "server_bytes"), AGREED.values(), ids=AGREED)
def test_without_a_conflict_no_strategy_matters(
    situation: Situation,
    effects: tuple[Effect, ...],
    client_bytes: Keeper,
    server_bytes: Keeper,
    strategy: Strategy,
) -> None:
    decision = choose(situation, strategy)
    assert decision.outcome is (Outcome.APPLIED if effects else Outcome.UNCHANGED)
    assert decision.effects == effects
    assert (decision.client_bytes, decision.server_bytes) == (client_bytes, server_bytes)
    assert decision.conflict is None
    assert decision.reason is None


STALE: dict[str, tuple[Situation, Reason]] = {
    "an edit without a base": (on(PAPER, replace(EDIT, base_version_id=None)), Reason.BASE_MISSING),
    "an edit on an unknown base": (on(PAPER, EDIT, base=None), Reason.BASE_UNKNOWN),
    "an edit of a deleted file without a base": (
        on(TRASHED, replace(EDIT, base_version_id=None)),
        Reason.BASE_MISSING,
    ),
    "a deletion on an old base": (on(PAPER, replace(DELETE, base_version_id="ver_1")), Reason.BASE_OLD),
    "a deletion on an unknown base": (
        on(PAPER, replace(DELETE, base_version_id="ver_9"), base=None),
        Reason.BASE_UNKNOWN,
    ),
    "a deletion without a base": (on(PAPER, replace(DELETE, base_version_id=None)), Reason.BASE_MISSING),
    "a deletion on a base of the same content": (
        on(PAPER, replace(DELETE, base_version_id="ver_1"), base=Base("server bytes", BASE_US)),
        Reason.BASE_OLD,
    ),
    "a deletion of a folder that moved": (
        on(BOX, Item(FOLDER, ChangeType.DELETED, old_path="/b/box")),
        Reason.BASE_OLD,
    ),
    "a deletion of a folder without its path": (
        on(BOX, Item(FOLDER, ChangeType.DELETED)),
        Reason.BASE_MISSING,
    ),
    "a rename without old path on an old base": (
        on(PAPER, replace(RENAME, old_path=None, base_version_id="ver_1")),
        Reason.BASE_MISSING,
    ),
}

REFUSED: dict[str, tuple[Situation, Reason]] = {
    "a share": (on(None, Item(ResourceType.SHARE, ChangeType.UPDATED)), Reason.TYPE_UNSUPPORTED),
    "an unknown resource": (on(None, EDIT), Reason.RESOURCE_UNKNOWN),
    "a deletion of an unknown resource": (on(None, DELETE), Reason.RESOURCE_UNKNOWN),
    "a file that is a folder": (on(BOX, EDIT), Reason.TYPE_DIFFERS),
    "an update without a version": (on(PAPER, replace(EDIT, version_id=None)), Reason.VERSION_MISSING),
    "a creation without a version": (on(None, replace(NEW_FILE, version_id=None)), Reason.VERSION_MISSING),
    "a version that is not there": (on(PAPER, replace(EDIT, content_hash=None)), Reason.VERSION_UNKNOWN),
    "a folder with content": (on(None, replace(NEW_FOLDER, version_id="ver_3")), Reason.FOLDER_CONTENT),
    "a rename to nowhere": (on(PAPER, replace(RENAME, new_path=None)), Reason.PATH_MISSING),
    "a creation nowhere": (on(None, replace(NEW_FILE, new_path=None)), Reason.PATH_MISSING),
    "an update that renames": (on(PAPER, replace(EDIT, new_path="/a/x.txt")), Reason.PATHS_DIFFER),
    "a creation with a living id": (on(PAPER, NEW_FILE), Reason.RESOURCE_EXISTS),
    "a move into no folder": (on(PAPER, MOVE, target=Spot(FolderState.MISSING)), Reason.PARENT_MISSING),
    "a creation in no folder": (on(None, NEW_FILE, target=Spot(FolderState.MISSING)), Reason.PARENT_MISSING),
    "a move into a file": (on(PAPER, MOVE, target=Spot(FolderState.NOT_A_FOLDER)), Reason.PARENT_NOT_FOLDER),
    "a move into itself": (
        on(
            BOX,
            Item(FOLDER, ChangeType.MOVED, old_path="/a/box", new_path="/a/box/in/box"),
            target=Spot(inside_itself=True),
        ),
        Reason.INTO_ITSELF,
    ),
    "a crossed move that would form a cycle": (
        on(
            BOX,
            Item(FOLDER, ChangeType.MOVED, old_path="/c/box", new_path="/a/box/in"),
            target=Spot(inside_itself=True),
        ),
        Reason.INTO_ITSELF,
    ),
    "a deleted folder moved into itself": (
        on(
            replace(BOX, deleted=True),
            Item(FOLDER, ChangeType.MOVED, old_path="/a/box", new_path="/a/box/in"),
            target=Spot(FolderState.DELETED, inside_itself=True),
        ),
        Reason.INTO_ITSELF,
    ),
}


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(("situation", "reason"), [*STALE.values(), *REFUSED.values()], ids=[*STALE, *REFUSED])
def test_what_is_stale_or_refused_changes_nothing_and_leaves_the_upload_staged(
    situation: Situation, reason: Reason, strategy: Strategy
) -> None:
    decision = choose(situation, strategy)
    stale = reason in {Reason.BASE_MISSING, Reason.BASE_UNKNOWN, Reason.BASE_OLD}
    assert decision.outcome is (Outcome.STALE if stale else Outcome.REFUSED)
    assert decision.reason is reason
    assert decision.effects == ()
    assert decision.conflict is None
    item = situation.item
    brings = item.version_id is not None and item.resource_type is FILE
    assert decision.client_bytes is (Keeper.STAGED if brings else Keeper.NOTHING)

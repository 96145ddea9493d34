from __future__ import annotations

from dataclasses import replace

import pytest

from headwater.contracts.files.apply.decide import decide
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


def choose(situation: Situation, strategy: Strategy) -> Decision:
    return decide(replace(situation, strategy=strategy))


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
RENAME_AND_EDIT = on(PAPER, replace(EDIT, change_type=ChangeType.RENAMED, new_path="/a/essay.txt"))

ESSAY = MoveTo("fil_1", "/a/essay.txt")
RESTORED = Restore("fil_1", "/a/paper.txt")
C, H, T, N = Keeper.CURRENT, Keeper.HISTORY, Keeper.TRASH, Keeper.NOTHING

# Scenario, strategy, effects, what keeps the client's bytes, what keeps the server's.
CONFLICTS: list[tuple[Situation, ConflictKind, dict[Strategy, tuple[tuple[Effect, ...], Keeper, Keeper]]]] = [
    (CONTENT, ConflictKind.CONTENT, {
        SERVER: ((KEEP,), H, C),
        CLIENT: ((PUT,), C, H),
        LWW: ((PUT,), C, H),
        BOTH: ((CopyBeside("fil_1", "ver_3"),), Keeper.COPY, C),
        MANUAL: ((HOLD,), Keeper.HELD, C),
    }),
    (CONTENT_EARLY, ConflictKind.CONTENT, {
        LWW: ((KEEP,), H, C),
        CLIENT: ((PUT,), C, H),
    }),
    (EDIT_OF_DELETED, ConflictKind.EDIT_DELETE, {
        SERVER: ((KEEP,), H, T),
        CLIENT: ((RESTORED, PUT), C, H),
        LWW: ((RESTORED, PUT), C, H),
        BOTH: ((RESTORED, PUT), C, H),
        MANUAL: ((HOLD,), Keeper.HELD, T),
    }),
    (DELETED_WITH_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((KEEP,), H, T),
        LWW: ((RestoreFolders("/a"), RESTORED, PUT), C, H),
    }),
    (HOME_TAKEN, ConflictKind.EDIT_DELETE, {
        SERVER: ((KEEP,), H, T),
        CLIENT: ((PlaceAside("fil_2"), RESTORED, PUT), C, H),
        LWW: ((PlaceAside("fil_2"), RESTORED, PUT), C, H),
        BOTH: ((Restore("fil_1", "/a/paper.txt", as_copy=True), PUT), C, H),
    }),
    (RENAME_OF_DELETED, ConflictKind.EDIT_DELETE, {
        SERVER: ((), N, T),
        CLIENT: ((Restore("fil_1", "/a/essay.txt"),), N, C),
        LWW: ((Restore("fil_1", "/a/essay.txt"),), N, C),
        BOTH: ((Restore("fil_1", "/a/essay.txt"),), N, C),
        MANUAL: ((), N, T),
    }),
    (CROSSED, ConflictKind.CROSSED_MOVE, {
        SERVER: ((), N, C),
        CLIENT: ((ESSAY,), N, C),
        LWW: ((ESSAY,), N, C),
        BOTH: ((), N, C),
        MANUAL: ((), N, C),
    }),
    (CROSSED_MOVE, ConflictKind.CROSSED_MOVE, {
        SERVER: ((), N, C),
        CLIENT: ((MoveTo("fil_1", "/b/paper.txt"),), N, C),
        LWW: ((MoveTo("fil_1", "/b/paper.txt"),), N, C),
        BOTH: ((), N, C),
        MANUAL: ((), N, C),
    }),
    (TAKEN, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, C),
        CLIENT: ((PlaceAside("fil_2"), MoveTo("fil_1", "/a/other.txt")), N, C),
        LWW: ((PlaceAside("fil_2"), MoveTo("fil_1", "/a/other.txt")), N, C),
        BOTH: ((MoveTo("fil_1", "/a/other.txt", as_copy=True),), N, C),
        MANUAL: ((), N, C),
    }),
    (TAKEN_BY_FOLDER, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, N),
        CLIENT: ((PlaceAside("fld_1"), MoveTo("fil_1", "/a/box")), N, N),
        LWW: ((), N, N),
        BOTH: ((MoveTo("fil_1", "/a/box", as_copy=True),), N, N),
        MANUAL: ((), N, N),
    }),
    (FOLDERS_MOVED, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, N),
        CLIENT: ((PlaceAside("fld_1"), MoveTo("fld_2", "/a/box")), N, N),
        LWW: ((), N, N),
        BOTH: ((MoveTo("fld_2", "/a/box", as_copy=True),), N, N),
        MANUAL: ((), N, N),
    }),
    (FILE_ON_FILE, ConflictKind.NAME_TAKEN, {
        SERVER: ((KeepVersion("fil_2", "ver_3"),), H, C),
        CLIENT: ((PutCurrent("fil_2", "ver_3"),), C, H),
        LWW: ((PutCurrent("fil_2", "ver_3"),), C, H),
        BOTH: ((Create("ver_3", as_copy=True),), Keeper.COPY, C),
        MANUAL: ((HOLD,), Keeper.HELD, C),
    }),
    (FILE_ON_FOLDER, ConflictKind.NAME_TAKEN, {
        SERVER: ((Create("ver_3", in_trash=True),), T, N),
        CLIENT: ((PlaceAside("fld_1"), Create("ver_3")), C, N),
        LWW: ((Create("ver_3", in_trash=True),), T, N),
        BOTH: ((Create("ver_3", as_copy=True),), Keeper.COPY, N),
        MANUAL: ((HOLD,), Keeper.HELD, N),
    }),
    (FOLDER_ON_FILE, ConflictKind.NAME_TAKEN, {
        SERVER: ((), N, C),
        CLIENT: ((PlaceAside("fil_2"), Create(None)), N, C),
        LWW: ((), N, C),
        BOTH: ((Create(None, as_copy=True),), N, C),
        MANUAL: ((), N, C),
    }),
    (IN_DELETED_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((Create("ver_3", in_trash=True),), T, N),
        CLIENT: ((RestoreFolders("/a"), Create("ver_3")), C, N),
        LWW: ((RestoreFolders("/a"), Create("ver_3")), C, N),
        BOTH: ((RestoreFolders("/a"), Create("ver_3")), C, N),
        MANUAL: ((HOLD,), Keeper.HELD, N),
    }),
    (FOLDER_IN_DELETED_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((), N, N),
        LWW: ((RestoreFolders("/a"), Create(None)), N, N),
        MANUAL: ((), N, N),
    }),
    (INTO_DELETED_FOLDER, ConflictKind.EDIT_DELETE, {
        SERVER: ((), N, C),
        LWW: ((RestoreFolders("/b"), MoveTo("fil_1", "/b/paper.txt")), N, C),
        MANUAL: ((), N, C),
    }),
    # The name fits, the content does not: each aspect goes its own way, but MANUAL touches neither.
    (RENAME_AND_EDIT, ConflictKind.CONTENT, {
        SERVER: ((ESSAY, KEEP), H, C),
        CLIENT: ((ESSAY, PUT), C, H),
        LWW: ((ESSAY, PUT), C, H),
        BOTH: ((ESSAY, CopyBeside("fil_1", "ver_3")), Keeper.COPY, C),
        MANUAL: ((HOLD,), Keeper.HELD, C),
    }),
]  # fmt: skip


@pytest.mark.parametrize(
    ("situation", "kind", "strategy", "effects", "client_bytes", "server_bytes"),
    [
        (situation, kind, strategy, *expected)
        for situation, kind, by_strategy in CONFLICTS
        for strategy, expected in by_strategy.items()
    ],
)
def test_in_conflict_the_strategy_runs_and_both_sides_bytes_are_kept(
    situation: Situation,
    kind: ConflictKind,
    strategy: Strategy,
    effects: tuple[Effect, ...],
    client_bytes: Keeper,
    server_bytes: Keeper,
) -> None:
    decision = choose(situation, strategy)
    assert decision.outcome is Outcome.CONFLICT
    assert decision.effects == effects
    assert (decision.client_bytes, decision.server_bytes) == (client_bytes, server_bytes)
    assert decision.conflict is not None
    assert decision.conflict.kind is kind
    assert decision.conflict.resolution == (None if strategy is MANUAL else strategy)
    assert decision.conflict.local_version_id == situation.item.version_id


class TestLastWriter:
    @pytest.mark.parametrize(
        ("client_us", "server_us", "wins"),
        [
            (201, 200, True),
            (200, 200, False),
            (199, 200, False),
            (None, 200, False),
            (250, None, False),
            (10**18, 299, True),  # the future counts as the receipt
            (10**18, 300, False),
            (10**18, 10**18, False),
            (1, 50, False),  # both before the base count as the base: a tie
            (101, 50, True),
        ],
    )
    def test_the_later_time_wins_between_base_and_receipt(
        self, client_us: int | None, server_us: int | None, wins: bool
    ) -> None:
        server = replace(PAPER, modified_at_us=server_us)
        decision = decide(on(server, replace(EDIT, modified_at_us=client_us)))
        assert decision.effects == ((PUT,) if wins else (KEEP,))

    @pytest.mark.parametrize(("sent_us", "kept_us"), [(250, 250), (10**18, 300), (-5, 100), (None, None)])
    def test_the_time_is_stored_as_clamped(self, sent_us: int | None, kept_us: int | None) -> None:
        assert decide(on(PAPER, replace(EDIT, modified_at_us=sent_us))).modified_at_us == kept_us

    def test_a_base_after_the_receipt_does_not_push_the_time_into_the_future(self) -> None:
        late_base = on(PAPER, EDIT, base=Base("base bytes", RECEIVED_US + 50))
        assert decide(late_base).modified_at_us == RECEIVED_US

    def test_a_crossed_move_competes_with_the_time_of_the_servers_move(self) -> None:
        early = replace(CROSSED, item=replace(RENAME, modified_at_us=EARLY_US))
        assert decide(early).effects == ()
        assert decide(CROSSED).effects == (ESSAY,)

    def test_a_taken_name_competes_with_the_time_of_its_owner(self) -> None:
        early = replace(TAKEN, item=replace(TAKEN.item, modified_at_us=EARLY_US))
        assert decide(early).effects == ()
        early_file = replace(FILE_ON_FILE, item=replace(NEW_FILE, modified_at_us=EARLY_US))
        assert decide(early_file).effects == (KeepVersion("fil_2", "ver_3"),)


def test_a_crossed_move_onto_a_taken_name_asks_for_both() -> None:
    both = on(
        replace(PAPER, path="/c/paper.txt"),
        replace(RENAME, new_path="/a/other.txt"),
        target=Spot(occupant=OTHER),
    )
    assert choose(both, CLIENT).effects == (PlaceAside("fil_2"), MoveTo("fil_1", "/a/other.txt"))
    assert choose(both, BOTH).effects == ()
    assert choose(both, SERVER).effects == ()


def test_a_conflict_names_who_stands_against_the_change() -> None:
    assert choose(CONTENT, SERVER).conflict == NewConflict(ConflictKind.CONTENT, "fil_1", "ver_3", "ver_2", SERVER)
    assert choose(TAKEN, MANUAL).conflict == NewConflict(ConflictKind.NAME_TAKEN, "fil_2", None, "ver_7", None)
    assert choose(IN_DELETED_FOLDER, LWW).conflict == NewConflict(ConflictKind.EDIT_DELETE, None, "ver_3", None, LWW)


def test_the_device_learns_the_id_of_what_it_ran_into() -> None:
    merged = on(None, replace(NEW_FOLDER, new_path="/a/box"), base=None, target=Spot(occupant=BOX))
    assert choose(merged, LWW).resource_id == "fld_1"
    assert choose(FILE_ON_FILE, SERVER).resource_id == "fil_2"
    assert choose(FILE_ON_FILE, CLIENT).resource_id == "fil_2"
    assert choose(FILE_ON_FILE, BOTH).resource_id is None
    assert choose(TAKEN, SERVER).resource_id == "fil_1"


def test_a_case_sensitive_share_sees_another_case_as_another_name() -> None:
    moved = on(
        replace(PAPER, path="/a/Paper.txt"), RENAME, policy=NamePolicy(case_sensitive=True)
    )  # the server changed its case, so the old path holds no more
    assert decide(moved).outcome is Outcome.CONFLICT
    assert decide(replace(moved, policy=NamePolicy())).outcome is Outcome.APPLIED


class TestToldAgain:
    @pytest.mark.parametrize(
        ("situation", "strategy"),
        [(situation, strategy) for situation, _, by_strategy in CONFLICTS for strategy in by_strategy],
    )
    def test_a_recorded_conflict_has_no_second_effect(self, situation: Situation, strategy: Strategy) -> None:
        first = choose(situation, strategy)
        assert first.conflict is not None
        earlier = RecordedConflict("cfl_1", first.conflict.resolution)
        for again in (choose(replace(situation, earlier=earlier), other) for other in Strategy):
            assert again.outcome is Outcome.CONFLICT
            assert again.repeat
            assert again.effects == ()
            assert again.conflict == first.conflict
            assert (again.client_bytes in KEPT) == (first.client_bytes in KEPT)

    def test_a_recorded_conflict_does_not_stop_what_fits_by_now(self) -> None:
        fits = on(PAPER, replace(EDIT, base_version_id="ver_2"), earlier=RecordedConflict("cfl_1", SERVER))
        assert decide(fits).effects == (PUT,)

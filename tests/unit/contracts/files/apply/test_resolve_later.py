from __future__ import annotations

from dataclasses import replace

import pytest

from headwater.base.errors import Malformed, StateConflict
from headwater.contracts.files.apply.decide import decide, resolve_later
from headwater.contracts.files.apply.decision import (
    ConflictKind,
    CopyBeside,
    Create,
    Decision,
    Effect,
    Keeper,
    KeepVersion,
    MoveTo,
    NewConflict,
    Outcome,
    PutCurrent,
    Reason,
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
from headwater.contracts.files.paths import FolderState

FILE = ResourceType.FILE
LWW, BOTH, SERVER, CLIENT, MANUAL = Strategy
BASE_US, SERVER_US, RECEIVED_US = 100, 200, 300
LATE_US = 250

PAPER = Resource("fil_1", FILE, "/a/paper.txt", False, "ver_2", "server bytes", SERVER_US, SERVER_US)
OTHER = Resource("fil_2", FILE, "/a/other.txt", False, "ver_7", "other bytes", SERVER_US, SERVER_US)
OLD_BASE = Base("base bytes", BASE_US)

EDIT = Item(FILE, ChangeType.UPDATED, "ver_3", "client bytes", "ver_1", "/a/paper.txt", "/a/paper.txt", LATE_US)
RENAME = Item(
    FILE, ChangeType.RENAMED, base_version_id="ver_2", old_path="/a/paper.txt", new_path="/a/essay.txt",
    modified_at_us=LATE_US,
)  # fmt: skip
NEW_FILE = Item(FILE, ChangeType.CREATED, "ver_3", "client bytes", new_path="/a/other.txt", modified_at_us=LATE_US)

PUT, KEEP = PutCurrent("fil_1", "ver_3"), KeepVersion("fil_1", "ver_3")


def on(resource: Resource | None, item: Item, **more: object) -> Situation:
    """The situation of an item on a resource: old base known, target free, unless told otherwise."""
    target = Spot() if item.new_path else None
    situation = Situation(item, LWW, RECEIVED_US, resource, OLD_BASE, target, Spot())
    return replace(situation, **more)  # type: ignore[arg-type]


def choose(situation: Situation, strategy: Strategy) -> Decision:
    return decide(replace(situation, strategy=strategy))


CONTENT = on(PAPER, EDIT)
TAKEN = on(PAPER, replace(RENAME, new_path="/a/other.txt"), target=Spot(occupant=OTHER))
RENAME_AND_EDIT = on(PAPER, replace(EDIT, change_type=ChangeType.RENAMED, new_path="/a/essay.txt"))


class TestResolveLater:
    OPEN = RecordedConflict("cfl_1")

    @pytest.mark.parametrize("resolution", [None, SERVER])
    def test_manual_is_no_answer(self, resolution: Strategy | None) -> None:
        with pytest.raises(Malformed):
            resolve_later(RecordedConflict("cfl_1", resolution), MANUAL, CONTENT)

    @pytest.mark.parametrize("answer", [LWW, BOTH, SERVER, CLIENT])
    def test_the_same_answer_again_does_nothing(self, answer: Strategy) -> None:
        decision = resolve_later(RecordedConflict("cfl_1", answer), answer, CONTENT)
        assert decision.outcome is Outcome.UNCHANGED
        assert decision.effects == ()
        assert decision.client_bytes is Keeper.HISTORY

    @pytest.mark.parametrize("answer", [LWW, BOTH, CLIENT])
    def test_another_answer_conflicts_with_the_first(self, answer: Strategy) -> None:
        with pytest.raises(StateConflict):
            resolve_later(RecordedConflict("cfl_1", SERVER), answer, CONTENT)

    @pytest.mark.parametrize(
        ("answer", "effects"),
        [(LWW, (PUT,)), (CLIENT, (PUT,)), (SERVER, (KEEP,)), (BOTH, (CopyBeside("fil_1", "ver_3"),))],
    )
    def test_an_answer_does_what_the_strategy_would_have_done(
        self, answer: Strategy, effects: tuple[Effect, ...]
    ) -> None:
        waiting = replace(CONTENT, strategy=MANUAL, earlier=self.OPEN)
        decision = resolve_later(self.OPEN, answer, waiting)
        assert decision.effects == effects
        assert decision.conflict == NewConflict(ConflictKind.CONTENT, "fil_1", "ver_3", "ver_2", answer)

    def test_the_server_still_wins_when_it_came_back_to_the_base_meanwhile(self) -> None:
        back = on(PAPER, EDIT, base=Base("server bytes", BASE_US))
        assert resolve_later(self.OPEN, SERVER, back).effects == (KEEP,)
        assert resolve_later(self.OPEN, BOTH, back).effects == (CopyBeside("fil_1", "ver_3"),)

    def test_the_server_still_wins_when_the_name_is_free_meanwhile(self) -> None:
        free = on(PAPER, TAKEN.item)
        assert resolve_later(self.OPEN, SERVER, free).effects == ()
        assert resolve_later(self.OPEN, CLIENT, free).effects == (MoveTo("fil_1", "/a/other.txt"),)
        new = on(None, NEW_FILE, base=None)
        assert resolve_later(self.OPEN, SERVER, new).effects == (Create("ver_3", in_trash=True),)
        assert resolve_later(self.OPEN, BOTH, new).effects == (Create("ver_3"),)

    def test_an_answer_works_though_the_base_is_pruned(self) -> None:
        assert resolve_later(self.OPEN, CLIENT, on(PAPER, EDIT, base=None)).effects == (PUT,)

    def test_the_server_wins_although_the_clients_folder_is_gone(self) -> None:
        gone = replace(RENAME_AND_EDIT, target=Spot(FolderState.MISSING))
        assert resolve_later(self.OPEN, SERVER, gone).effects == (KEEP,)
        refused = resolve_later(self.OPEN, CLIENT, gone)
        assert refused.reason is Reason.PARENT_MISSING
        assert refused.effects == ()

    def test_an_answer_after_the_content_became_equal_leaves_the_content(self) -> None:
        equal = on(replace(PAPER, content_hash="client bytes"), EDIT)
        assert resolve_later(self.OPEN, CLIENT, equal).effects == ()

"""Packs of a refused commit are removed at once; packs of an unknown outcome stay for the sweep to decide."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from headwater.base.chunking import ChunkSizes
from headwater.base.errors import Fatal, HeadwaterError, StateConflict, Unavailable
from headwater.contracts.files.uploads.ingest import Intake, PackCommit, commit_or_discard
from headwater.store.database import Transaction
from headwater.store.packs.folder import PackFolder

TX = cast("Transaction", None)
SIZES = ChunkSizes(256, 1024, 4096)
UNKNOWN = [Fatal("the disk failed"), Unavailable("the connection was lost", retry_after_seconds=1)]


@pytest.fixture
def packs(tmp_path: Path) -> PackFolder:
    return PackFolder(tmp_path / "packs")


@pytest.fixture
def pending(packs: PackFolder) -> PackCommit:
    intake = Intake(packs, "org_a", SIZES)
    intake.take(b"content")
    return commit_or_discard(packs, intake.finish().written)


def names(_tx: Transaction) -> str:
    return "committed"


def count(packs: PackFolder) -> int:
    return len(list(packs.listing()))


def end(pending: PackCommit, steps: Any, *, as_async: bool) -> None:
    """Run the steps inside the context, as a door or as the command line does it."""
    if not as_async:
        with pending:
            steps(pending)
        return

    async def door() -> None:
        async with pending:
            steps(pending)

    asyncio.run(door())


def raised_after_hand_over(failure: BaseException) -> Any:
    def steps(pending: PackCommit) -> None:
        pending.watch(names)(TX)
        raise failure

    return steps


both = pytest.mark.parametrize("as_async", [False, True], ids=["plain", "async"])


@both
def test_a_committed_pack_stays(packs: PackFolder, pending: PackCommit, as_async: bool) -> None:
    end(pending, lambda pending: pending.watch(names)(TX), as_async=as_async)
    assert count(packs) == 1


@both
def test_a_refused_commit_removes_its_packs(packs: PackFolder, pending: PackCommit, as_async: bool) -> None:
    with pytest.raises(HeadwaterError):
        end(pending, raised_after_hand_over(StateConflict("refused")), as_async=as_async)
    assert count(packs) == 0


@both
@pytest.mark.parametrize("failure", UNKNOWN, ids=["fatal", "unavailable"])
def test_an_unknown_outcome_keeps_the_packs(
    packs: PackFolder, pending: PackCommit, failure: HeadwaterError, as_async: bool
) -> None:
    with pytest.raises(type(failure)):
        end(pending, raised_after_hand_over(failure), as_async=as_async)
    assert count(packs) == 1


def test_a_wait_that_is_cancelled_keeps_the_packs(packs: PackFolder, pending: PackCommit) -> None:
    with pytest.raises(asyncio.CancelledError):
        end(pending, raised_after_hand_over(asyncio.CancelledError()), as_async=False)
    assert count(packs) == 1


@both
def test_an_answer_stored_before_for_the_key_removes_the_packs(
    packs: PackFolder, pending: PackCommit, as_async: bool
) -> None:
    end(pending, lambda pending: pending.watch(names), as_async=as_async)
    assert count(packs) == 0


@both
@pytest.mark.parametrize("failure", [*UNKNOWN, ValueError("a fault")], ids=["fatal", "unavailable", "fault"])
def test_any_failure_before_the_hand_over_removes_the_packs(
    packs: PackFolder, pending: PackCommit, failure: Exception, as_async: bool
) -> None:
    def steps(_pending: PackCommit) -> None:
        raise failure

    with pytest.raises(type(failure)):
        end(pending, steps, as_async=as_async)
    assert count(packs) == 0


def test_an_intake_that_fails_removes_what_is_not_settled(packs: PackFolder) -> None:
    def take_and_fail() -> None:
        with Intake(packs, "org_a", SIZES) as intake:
            intake.take(bytes(8192))
            intake.settle()
            intake.take(bytes(range(256)) * 64)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        take_and_fail()
    assert count(packs) == 1

"""One share in a storm, and the proof that the adversary finds what is planted for it."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.adversaries.file_storm import play
from tests.scenarios.test_real_tree import telling
from tests.support.store.databases import UNMADE

SEED: int | None = None
"""The seed of a failed run; threads still take turns as they like."""

ROUNDS = 7


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_devices_that_lose_pages_end_with_one_tree_and_every_acknowledged_byte(tmp_path: Path, kind: str) -> None:
    seed = secrets.randbelow(2**32) if SEED is None else SEED
    with telling(seed), UNMADE[kind](tmp_path) as address:
        report = play(tmp_path, seed, ROUNDS, database=address if kind == "postgres" else "")
    assert report.events["restore"]
    assert report.events["compaction"]
    assert report.resets
    assert report.contents


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "fault",
    ["feed_hides_deletions", "feed_skips_a_change", "history_is_dropped", "key_is_forgotten", "write_is_lost"],
)
def test_the_adversary_finds_a_planted_fault(tmp_path: Path, fault: str) -> None:
    with pytest.raises(AssertionError):
        play(tmp_path, 1, ROUNDS, fault)

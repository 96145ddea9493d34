"""The record doors in a storm, and the proof that the adversary finds what is planted for it."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.adversaries.record_storm import play
from tests.adversaries.records import Violation
from tests.scenarios.test_real_tree import telling
from tests.support.store.databases import UNMADE

SEED: int | None = None
"""The seed of a failed run; threads still take turns as they like."""

ROUNDS = 9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_devices_that_lose_pages_end_equal_to_the_server_in_every_weather(tmp_path: Path, kind: str) -> None:
    seed = secrets.randbelow(2**32) if SEED is None else SEED
    with telling(seed), UNMADE[kind](tmp_path) as address:
        report = play(tmp_path, seed, ROUNDS, database=address if kind == "postgres" else "")
    assert report.events["restore"]
    assert report.events["compaction"]
    assert report.writes > 100
    assert report.records


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "fault",
    [
        "ack_hides_the_next",
        "compacted_deletions_are_lost",
        "erased_content_is_kept",
        "feed_hides_deletions",
        "feed_skips_a_change",
        "key_is_forgotten",
        "links_stay_wrong",
        "restore_renews_nothing",
        "times_fall",
        "twin_numbers",
        "write_is_lost",
    ],
)
def test_the_adversary_finds_a_planted_fault(tmp_path: Path, fault: str) -> None:
    with pytest.raises(Violation):
        play(tmp_path, 1, ROUNDS, fault)

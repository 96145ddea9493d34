"""The page of readings and the tests are in step: each reading names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "contracts" / "files.md"


def test_every_reading_names_tests_that_exist() -> None:
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    readings = re.split(r"^\d+\. ", PAGE.read_text("utf-8").partition("## Readings")[2], flags=re.MULTILINE)[1:]
    named = [re.findall(r"`(test_\w+)`", reading) for reading in readings]
    assert [number for number, tests in enumerate(named, 1) if not tests] == []
    assert sorted({name for tests in named for name in tests} - written) == []


def test_the_readings_are_numbered_one_by_one() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", PAGE.read_text("utf-8"), flags=re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))

"""The contracts' and the design's pages name only tests and modules that exist; every reading and race names a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules.source import PACKAGE, ROOT, SOURCE

DESIGN = sorted((ROOT / "docs" / "design").glob("*.md"))
PAGES = [*sorted((ROOT / "docs" / "contracts").glob("*.md")), *DESIGN]
WITH_MODULES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
WITH_A_TEST_EACH = ["cache.md", "contacts.md", "files.md", "record_feed.md", "sell.md", "terminology.md"]
_NAMED = re.compile(r"`(test_\w+)`")
_DEFINED = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)
_READING = re.compile(r"^\d+\. ", re.MULTILINE)
_RACE = re.compile(r"^## (Race \d+: .+)$", re.MULTILINE)
_MODULE = re.compile(r"`((?:\w+/)+\w+\.py)`")
_NUMBER = re.compile(r"^(\d+)\. ", re.MULTILINE)


def unknown_tests(text: str, known: set[str]) -> list[str]:
    """The tests that a page names and nobody wrote."""
    return sorted(set(_NAMED.findall(text)) - known)


def unproved_readings(text: str) -> list[str]:
    """The beginnings of the numbered readings that name no test."""
    parts = _READING.split(text)[1:]
    return [part[:60] for part in parts if not _NAMED.search(part)]


def unproved_races(text: str) -> list[str]:
    """The races of a design page whose section names no test."""
    parts = _RACE.split(text)[1:]
    return [title for title, part in zip(parts[::2], parts[1::2], strict=True) if not _NAMED.search(part)]


def unknown_modules(text: str) -> list[str]:
    """The paths of modules that a page names and that are neither in the package nor in the repository."""
    roots = (SOURCE / PACKAGE, ROOT)
    return sorted({name for name in _MODULE.findall(text) if not any((root / name).is_file() for root in roots)})


@pytest.fixture(scope="module")
def known() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        names.update(_DEFINED.findall(path.read_text("utf-8")))
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_tests_that_exist(page: Path, known: set[str]) -> None:
    assert unknown_tests(page.read_text("utf-8"), known) == []


@pytest.mark.parametrize("page", WITH_MODULES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_modules_that_exist(page: Path) -> None:
    assert unknown_modules(page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", DESIGN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_race_of_a_design_page_names_its_test(page: Path) -> None:
    assert unproved_races(page.read_text("utf-8")) == []


@pytest.mark.parametrize("name", WITH_A_TEST_EACH)
def test_every_reading_of_a_contracts_page_names_its_test(name: str) -> None:
    text = (ROOT / "docs" / "contracts" / name).read_text("utf-8")
    assert _READING.search(text)
    assert unproved_readings(text) == []


@pytest.mark.parametrize("name", WITH_A_TEST_EACH)
def test_the_readings_of_a_page_are_numbered_one_by_one(name: str) -> None:
    numbers = [int(number) for number in _NUMBER.findall((ROOT / "docs" / "contracts" / name).read_text("utf-8"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_rule_catches_an_unknown_test_and_a_reading_without_one() -> None:
    text = "1. First.\n   - `test_known`\n2. Second.\n   - `test_gone`\n3. Third.\n"
    assert unknown_tests(text, {"test_known"}) == ["test_gone"]
    assert unproved_readings(text) == ["Third.\n"]


def test_the_rule_catches_a_race_without_a_test_and_a_module_that_is_not_there() -> None:
    text = "## The data\n\n## Race 1: a gap\n- `test_known`\n\n## Race 2: a loss\n\nIn `store/log/gone.py`.\n"
    assert unproved_races(text) == ["Race 2: a loss"]
    assert unknown_tests("## Race 1: a gap\n- `test_gone`\n", {"test_known"}) == ["test_gone"]
    assert unknown_modules(text + "In `store/log/changes.py` and `tests/rules/source.py`.") == ["store/log/gone.py"]

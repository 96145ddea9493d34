"""The contracts' pages name only tests that exist, and every reading names at least one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rules.source import ROOT

PAGES = sorted((ROOT / "docs" / "contracts").glob("*.md"))
WITH_A_TEST_EACH = ["cache.md", "contacts.md", "files.md", "record_feed.md", "sell.md", "terminology.md"]
_NAMED = re.compile(r"`(test_\w+)`")
_DEFINED = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)
_READING = re.compile(r"^\d+\. ", re.MULTILINE)
_NUMBER = re.compile(r"^(\d+)\. ", re.MULTILINE)


def unknown_tests(text: str, known: set[str]) -> list[str]:
    """The tests that a page names and nobody wrote."""
    return sorted(set(_NAMED.findall(text)) - known)


def unproved_readings(text: str) -> list[str]:
    """The beginnings of the numbered readings that name no test."""
    parts = _READING.split(text)[1:]
    return [part[:60] for part in parts if not _NAMED.search(part)]


@pytest.fixture(scope="module")
def known() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        names.update(_DEFINED.findall(path.read_text("utf-8")))
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_contracts_page_names_only_tests_that_exist(page: Path, known: set[str]) -> None:
    assert unknown_tests(page.read_text("utf-8"), known) == []


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

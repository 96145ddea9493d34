"""Functions and modules stay small, and no name is empty."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pytest

from tests.rules.source import Module, definitions, everything, function_lines, plant

FUNCTION_LINES = 60
MODULE_LINES = 500

WAIVERS: Mapping[str, str] = {}
"""The modules and functions (`module:function`) that may be longer, with the reason for each."""

ANYWHERE = {"manager", "managers", "helper", "helpers", "util", "utils"}
AS_FIRST_WORD = {"process"}
AS_LAST_WORD = {"data"}


def test_no_function_is_longer_than_sixty_lines() -> None:
    assert long_functions(everything(), WAIVERS) == []


def test_no_module_is_longer_than_five_hundred_lines() -> None:
    assert long_modules(everything(), WAIVERS) == []


def test_no_name_says_nothing() -> None:
    assert empty_names(everything()) == []


def test_every_waiver_gives_its_reason_and_is_still_needed() -> None:
    assert [place for place, reason in WAIVERS.items() if len(reason.split()) < 4] == []
    assert unneeded_waivers(everything(), WAIVERS) == []


def test_a_function_of_sixty_one_lines_is_found_and_one_of_sixty_is_not() -> None:
    def module(lines: int) -> Module:
        return plant("headwater.feed.reader", "class Reader:\n    def read(self):\n" + "        pass\n" * (lines - 1))

    assert long_functions([module(60)], {}) == []
    assert long_functions([module(61)], {}) == ["headwater.feed.reader:Reader.read has 61 lines"]


def test_a_module_of_five_hundred_and_one_lines_is_found() -> None:
    assert long_modules([plant("headwater.feed.reader", "x = 1\n" * 500)], {}) == []
    assert long_modules([plant("headwater.feed.reader", "x = 1\n" * 501)], {}) == [
        "headwater.feed.reader has 501 lines"
    ]


def test_a_waiver_covers_its_place_and_goes_stale_when_the_place_is_short() -> None:
    long = plant("headwater.feed.reader", "def read():\n" + "    pass\n" * 70)
    waivers = {"headwater.feed.reader:read": "one table, read from top to bottom"}
    assert long_functions([long], waivers) == []
    assert unneeded_waivers([long], waivers) == []
    short = plant("headwater.feed.reader", "def read(): ...")
    assert unneeded_waivers([short], waivers) == ["headwater.feed.reader:read"]


@pytest.mark.parametrize(
    "text",
    [
        "class SessionManager: ...",
        "def ack_helper(): ...",
        "def process(): ...",
        "def process_batch(): ...",
        "class Data: ...",
        "def load_data(): ...",
    ],
)
def test_a_name_that_says_nothing_is_found(text: str) -> None:
    assert len(empty_names([plant("headwater.feed.reader", text)])) == 1


@pytest.mark.parametrize("name", ["headwater.feed.utils", "headwater.store.data", "headwater.web.http_helpers"])
def test_a_module_name_that_says_nothing_is_found(name: str) -> None:
    assert len(empty_names([plant(name, "")])) == 1


def test_ordinary_names_and_names_of_tests_pass() -> None:
    text = "def metadata(): ...\ndef data_folder(): ...\ndef test_a_backup_holds_all_data(): ..."
    assert empty_names([plant("headwater.feed.reader", text)]) == []


def long_functions(modules: Iterable[Module], waivers: Mapping[str, str]) -> list[str]:
    """Functions over the limit, from their `def` to their last line, that no waiver covers."""
    return [
        f"{place} has {lines} lines"
        for place, lines in function_lines(modules).items()
        if lines > FUNCTION_LINES and place not in waivers
    ]


def long_modules(modules: Iterable[Module], waivers: Mapping[str, str]) -> list[str]:
    """Modules over the limit that no waiver covers."""
    return [
        f"{module.name} has {lines} lines"
        for module in modules
        if (lines := len(module.text.splitlines())) > MODULE_LINES and module.name not in waivers
    ]


def unneeded_waivers(modules: Iterable[Module], waivers: Mapping[str, str]) -> list[str]:
    """Waivers of places that are gone or short by now."""
    held = tuple(modules)
    sizes = function_lines(held)
    needed = {place for place, lines in sizes.items() if lines > FUNCTION_LINES}
    needed |= {module.name for module in held if len(module.text.splitlines()) > MODULE_LINES}
    return sorted(waivers.keys() - needed)


def empty_names(modules: Iterable[Module]) -> list[str]:
    """Names of modules, classes and functions that would fit anything."""
    broken = []
    for module in modules:
        if any(says_nothing(piece) for piece in module.name.split(".")):
            broken.append(module.name)
        broken += [
            f"{module.name}:{name}"
            for name, node in definitions(module)
            if not node.name.startswith("test_") and says_nothing(node.name)
        ]
    return broken


def says_nothing(name: str) -> bool:
    """True for a name with an empty word: `SessionManager`, `process_batch`, `load_data`."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return bool(words) and (bool(ANYWHERE & set(words)) or words[0] in AS_FIRST_WORD or words[-1] in AS_LAST_WORD)

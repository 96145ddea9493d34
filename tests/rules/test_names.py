"""One name for each thing: no class twice, no module named like its sibling, no module named by what it does."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from tests.rules.source import Module, duplicate_classes, package, plant

PARTICIPLES = {
    "chunking": "the field's word for cutting content at boundaries that the content itself sets",
    "feed": "a noun",
    "packed": "the API's word: the packed upload",
    "paging": "the web's word for pages of a list",
}
"""Words in the names of modules that end like a participle, and why they stay."""

PLURAL = re.compile(r"(es|s)$")
ENDING = re.compile(r"(ation|ing|ion|er|or|ed|e|i|y)$")


def test_no_class_name_is_defined_in_two_modules() -> None:
    assert duplicate_classes(package(), private=True) == []


def test_no_module_is_named_by_a_participle() -> None:
    assert participles(package()) == []


def test_every_participle_that_stays_is_needed() -> None:
    used = {word for module in package() for word in module.name.rpartition(".")[2].split("_")}
    assert sorted(PARTICIPLES.keys() - used) == []


def test_no_module_differs_from_a_sibling_by_an_ending_alone() -> None:
    assert near_siblings(package()) == []


def test_a_class_of_the_same_name_in_another_module_is_found() -> None:
    first = plant("headwater.feed.reader", "class Page: ...")
    second = plant("headwater.web.reply", "class Page: ...")
    hidden = plant("headwater.web.reply", "class _Page: ...")
    assert duplicate_classes([first, plant("headwater.web.reply", "def page(): ...")], private=True) == []
    assert duplicate_classes([first, second]) == ["Page: headwater.feed.reader, headwater.web.reply"]
    assert duplicate_classes([first, hidden]) == []
    assert duplicate_classes([first, hidden], private=True) == ["Page: headwater.feed.reader, headwater.web.reply"]


@pytest.mark.parametrize("name", ["headwater.feed.reading", "headwater.store.applied", "headwater.web.sending_queue"])
def test_a_participle_is_found(name: str) -> None:
    assert participles([plant(name, "")]) == [name]


@pytest.mark.parametrize("name", ["headwater.contracts.record_feed.door", "headwater.web.http.paging"])
def test_a_noun_with_such_an_ending_is_allowed(name: str) -> None:
    assert participles([plant(name, "")]) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("record", "records"),
        ("packed", "packing"),
        ("situation", "situations"),
        ("reader", "reading"),
        ("copy", "copies"),
    ],
)
def test_siblings_that_differ_by_an_ending_are_found(first: str, second: str) -> None:
    pair = [plant(f"headwater.feed.{first}", ""), plant(f"headwater.feed.{second}", "")]
    assert near_siblings(pair) == [f"headwater.feed: {', '.join(sorted((first, second)))}"]


def test_the_same_words_in_two_folders_and_longer_names_pass() -> None:
    names = ["headwater.feed.record", "headwater.store.records", "headwater.store.record_keys", "headwater.store.log"]
    assert near_siblings([plant(name, "") for name in names]) == []


def participles(modules: Iterable[Module]) -> list[str]:
    """Modules and folders with a word in their name that ends like a participle."""
    return [
        module.name
        for module in modules
        if any(
            re.search(r"..(ing|ed)$", word) and word not in PARTICIPLES
            for word in module.name.rpartition(".")[2].split("_")
        )
    ]


def near_siblings(modules: Iterable[Module]) -> list[str]:
    """Modules and folders of one folder whose names have the same stem."""
    stems: dict[tuple[str, str], set[str]] = {}
    for module in modules:
        folder, _, name = module.name.rpartition(".")
        stems.setdefault((folder, ENDING.sub("", PLURAL.sub("", name))), set()).add(name)
    return [f"{folder}: {', '.join(sorted(names))}" for (folder, _), names in sorted(stems.items()) if len(names) > 1]

"""Folders stay small, and their imports form no circle: neither between modules, nor between a folder's folders."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.rules.figures import figures, floors, imports_between_parts
from tests.rules.source import (
    PACKAGE,
    ROOT,
    Module,
    cycles,
    everything,
    folder_graphs,
    folder_sizes,
    import_graph,
    imports,
    is_within,
    package,
    plant,
)

FOLDER_MODULES = 15


def test_no_folder_imports_itself_through_its_siblings() -> None:
    assert folder_circles(package()) == []


def test_the_init_of_a_folder_imports_nothing_of_ours() -> None:
    assert loading_folders(package()) == []


def test_no_folder_holds_more_than_fifteen_modules() -> None:
    assert large_folders(everything()) == []


def test_a_circle_between_two_folders_of_a_contract_is_found_though_no_module_is_in_one() -> None:
    tree = plant("headwater.contracts.files.tree.rules", "from headwater.contracts.files.uploads import names")
    names = plant("headwater.contracts.files.uploads.names", "")
    uploads = plant("headwater.contracts.files.uploads.rules", "from headwater.contracts.files.tree import shapes")
    shapes = plant("headwater.contracts.files.tree.shapes", "")
    assert cycles(import_graph([tree, names, uploads, shapes])) == []
    assert folder_circles([tree, names, shapes]) == []
    assert folder_circles([tree, names, uploads, shapes]) == ["headwater.contracts.files: tree, uploads"]


def test_a_circle_between_a_module_and_a_folder_beside_it_is_found() -> None:
    database = plant("headwater.store.database", "from headwater.store.log import feeds")
    feeds = plant("headwater.store.log.feeds", "")
    records = plant("headwater.store.log.records", "from headwater.store.database import Transaction")
    assert folder_circles([database, feeds]) == []
    assert folder_circles([database, feeds, records]) == ["headwater.store: database, log"]


def test_a_circle_of_three_layers_is_found() -> None:
    base = plant("headwater.base.log", "from headwater.web import reply")
    web = plant("headwater.web.reply", "from headwater.store import database")
    store = plant("headwater.store.database", "from headwater.base import ids")
    ids = plant("headwater.base.ids", "")
    assert folder_circles([base, web, store, ids]) == ["headwater: base, store, web"]


@pytest.mark.parametrize("text", ["from headwater.store.log import records", "from .records import put"])
def test_an_init_that_imports_ours_is_found(text: str) -> None:
    records = plant("headwater.store.log.records", text)
    assert len(loading_folders([plant("headwater.store.log", text, is_package=True), records])) == 1
    assert loading_folders([plant("headwater.store.log", "import os", is_package=True), records]) == []


def test_a_folder_of_sixteen_modules_is_found_and_one_of_fifteen_is_not() -> None:
    modules = [plant(f"headwater.feed.part{number}", "") for number in range(15)]
    modules += [plant("headwater.feed", "", is_package=True), plant("headwater.feed.deep.part", "")]
    assert large_folders(modules) == []
    assert large_folders([*modules, plant("headwater.feed.last", "")]) == ["headwater.feed holds 16 modules"]


def test_the_floors_are_the_longest_chain_and_a_circle_is_one_floor() -> None:
    assert floors({"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}) == 4
    assert floors({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == 3


def test_imports_within_a_part_of_files_are_not_counted() -> None:
    files = "headwater.contracts.files"
    graph = {f"{files}.tree.rules": {f"{files}.tree.shapes", f"{files}.access", f"{files}.uploads.rules"}}
    assert imports_between_parts(graph) == 2


def test_the_figures_of_this_checkout_can_be_read() -> None:
    found = dict(figures(ROOT))
    assert found["import circles of modules"] == found["import circles of folders"] == "0"


def folder_circles(modules: Iterable[Module]) -> list[str]:
    """Modules and folders of one folder that reach each other by what is imported below them."""
    return [
        f"{folder}: {circle}"
        for folder, graph in sorted(folder_graphs(import_graph(modules)).items())
        for circle in cycles(graph)
    ]


def loading_folders(modules: Iterable[Module]) -> list[str]:
    """Imports of ours by a folder's ``__init__``: they load what the importer did not ask for, and close circles."""
    return [
        f"{module.name}:{found.line} imports {found.target}"
        for module in modules
        if module.is_package
        for found in imports(module)
        if is_within(found.target, PACKAGE)
    ]


def large_folders(modules: Iterable[Module]) -> list[str]:
    """Folders with more modules than a reader keeps in view."""
    return [
        f"{folder} holds {count} modules"
        for folder, count in sorted(folder_sizes(modules).items())
        if count > FOLDER_MODULES
    ]

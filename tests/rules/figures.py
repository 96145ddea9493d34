"""Prints sizes and imports of this checkout or of another: ``python -m tests.rules.figures [CHECKOUT]``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tests.rules.source import (
    PACKAGE,
    ROOT,
    Module,
    cycles,
    duplicate_classes,
    folder_graphs,
    folder_sizes,
    function_lines,
    import_graph,
    is_within,
    reachable,
    read,
)

FILES = f"{PACKAGE}.contracts.files"
LARGEST = 5


def figures(checkout: Path) -> list[tuple[str, str]]:
    """The name and the value of each figure of a checkout."""
    modules = read(checkout / "src", checkout / "src" / PACKAGE)
    tests = read(checkout, checkout / "tests")
    graph = import_graph(modules)
    files = {name: {other for other in graph[name] if is_within(other, FILES)} for name in graph}
    files = {name: others for name, others in files.items() if is_within(name, FILES)}
    folders = {folder: cycles(nodes) for folder, nodes in folder_graphs(graph).items()}
    code_lines, test_lines = sum(lengths(modules)), sum(lengths(tests))
    return [
        ("modules", f"{sum(not module.is_package for module in modules)}"),
        ("largest folders", largest(folder_sizes(modules))),
        ("longest chain of imports in the package", f"{floors(graph)}"),
        ("longest chain of imports in contracts/files", f"{floors(files)}"),
        ("imports between parts of contracts/files", f"{imports_between_parts(files)}"),
        ("import circles of modules", f"{len(cycles(graph))}"),
        ("import circles of folders", f"{sum(len(found) for found in folders.values())}"),
        ("class names in two modules, public", f"{len(duplicate_classes(modules))}"),
        ("class names in two modules, private too", f"{len(duplicate_classes(modules, private=True))}"),
        ("lines of a module", spread(lengths(modules))),
        ("lines of a function", spread(list(function_lines(modules).values()))),
        ("lines of tests / lines of code", f"{test_lines} / {code_lines} = {test_lines / code_lines:.2f}"),
    ]


def lengths(modules: Sequence[Module]) -> list[int]:
    """The lines of each module; a package's ``__init__`` does not count as one."""
    return [len(module.text.splitlines()) for module in modules if not module.is_package]


def largest(sizes: Mapping[str, int]) -> str:
    """The folders with the most modules."""
    found = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:LARGEST]
    return ", ".join(f"{folder.removeprefix(PACKAGE + '.')} {count}" for folder, count in found)


def floors(graph: Mapping[str, Collection[str]]) -> int:
    """The modules on the longest chain of imports; the modules of a circle share one floor."""
    reach = {name: reachable(name, graph) for name in graph}
    floor: dict[str, int] = {}
    # A module reaches strictly more than any module below it, so the order of the counts is the order of the floors.
    for name in sorted(graph, key=lambda name: len(reach[name] | {name})):
        floor[name] = 1 + max((floor.get(other, 0) for other in reach[name] if name not in reach[other]), default=0)
    return max(floor.values(), default=0)


def imports_between_parts(files: Mapping[str, Collection[str]]) -> int:
    """The imports from one folder of files into another; a module that lies in files itself is a part of its own."""
    return sum(part(name) != part(other) for name, others in files.items() for other in others)


def part(name: str) -> str:
    """The folder below ``contracts/files`` that a module belongs to, or the module."""
    return ".".join(name.split(".")[:4])


def spread(values: Sequence[int]) -> str:
    """The median, the ninth decile and the maximum."""
    ordered = sorted(values)
    middle, ninth = ordered[len(ordered) // 2], ordered[len(ordered) * 9 // 10]
    return f"p50 {middle}, p90 {ninth}, max {ordered[-1]}"


def main(arguments: Sequence[str]) -> None:
    """Prints one figure a line."""
    found = figures(Path(arguments[0]) if arguments else ROOT)
    width = max(len(name) for name, _ in found)
    for name, value in found:
        sys.stdout.write(f"{name:<{width}}  {value}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

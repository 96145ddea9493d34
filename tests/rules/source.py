"""The project's own Python files as syntax trees, and what they import; this folder's tests share it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = "headwater"

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name, its text, and the tree of it."""

    name: str
    text: str
    tree: ast.Module
    is_package: bool = False


@dataclass(frozen=True)
class Import:
    """One imported name with its whole path (``headwater.store.log.records.put``), and its line.

    ``type_only`` when it is under ``if TYPE_CHECKING:``, where nothing is loaded.
    """

    target: str
    line: int
    type_only: bool = False


def plant(name: str, text: str, *, is_package: bool = False) -> Module:
    """A module that exists only in a test, to prove that a rule can be broken."""
    return Module(name, text, ast.parse(text), is_package)


@cache
def package() -> tuple[Module, ...]:
    """Every module of the package, by name."""
    return read(SOURCE, SOURCE / PACKAGE)


@cache
def everything() -> tuple[Module, ...]:
    """Every Python file of the repository: the package, its tests and its benchmarks."""
    return package() + read(ROOT, ROOT / "tests") + read(ROOT, ROOT / "benchmarks")


def imports(module: Module) -> Iterator[Import]:
    """Everything that the module imports, at its top or inside functions, also by `import_module("...")`."""
    for node, type_only in _statements(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, type_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(module, node)
            yield from (Import(f"{origin}.{alias.name}", node.lineno, type_only) for alias in node.names)
        elif isinstance(node, ast.Call) and _is_dynamic_import(node):
            yield from (
                Import(argument.value, node.lineno)
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )


def is_within(target: str, *packages: str) -> bool:
    """True when the dotted name is one of the packages or lies inside one."""
    return any(target == package or target.startswith(package + ".") for package in packages)


def module_of(target: str, names: Collection[str]) -> str | None:
    """The longest beginning of an imported path that is a known module."""
    while target not in names:
        target, dot, _ = target.rpartition(".")
        if not dot:
            return None
    return target


def definitions(
    module: Module,
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Every class and function with its dotted name inside the module, outer ones first."""
    pending: list[tuple[str, ast.AST]] = [("", module.tree)]
    while pending:
        prefix, node = pending.pop(0)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _DEFINITIONS):
                yield prefix + child.name, child
                pending.append((f"{prefix}{child.name}.", child))
            else:
                pending.append((prefix, child))


def import_graph(modules: Iterable[Module]) -> dict[str, set[str]]:
    """The modules of ours that each module imports, itself and the package left out."""
    held = {module.name: module for module in modules}
    return {
        name: {
            other
            for found in imports(module)
            if (other := module_of(found.target, held)) is not None and other not in {name, PACKAGE}
        }
        for name, module in held.items()
    }


def folder_graphs(graph: Mapping[str, Collection[str]]) -> dict[str, dict[str, set[str]]]:
    """The import graph inside each folder, by its dotted name.

    Its nodes are the modules that lie in the folder itself, and its folders, each with all that is below it.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for name, others in graph.items():
        for other in others:
            mine, its = name.split("."), other.split(".")
            depth = 0
            while depth < min(len(mine), len(its)) and mine[depth] == its[depth]:
                depth += 1
            if depth < min(len(mine), len(its)):
                nodes = found.setdefault(".".join(mine[:depth]), {})
                nodes.setdefault(mine[depth], set()).add(its[depth])
                nodes.setdefault(its[depth], set())
    return found


def cycles(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Groups of nodes that reach each other, each group once."""
    reach = {name: reachable(name, graph) for name in graph}
    groups = {
        ", ".join(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return sorted(groups)


def reachable(start: str, graph: Mapping[str, Collection[str]]) -> set[str]:
    """Every node that the start reaches by one edge or more."""
    seen: set[str] = set()
    pending = [start]
    while pending:
        fresh = set(graph[pending.pop()]) - seen
        seen |= fresh
        pending.extend(fresh)
    return seen


def duplicate_classes(modules: Iterable[Module], *, private: bool = False) -> list[str]:
    """Class names that two modules define, with their modules; ``private`` counts ``_Page`` as a ``Page``."""
    places: dict[str, set[str]] = {}
    for module in modules:
        for _, node in definitions(module):
            if isinstance(node, ast.ClassDef) and (private or not node.name.startswith("_")):
                places.setdefault(node.name.lstrip("_"), set()).add(module.name)
    return [f"{name}: {', '.join(sorted(where))}" for name, where in sorted(places.items()) if len(where) > 1]


def folder_sizes(modules: Iterable[Module]) -> dict[str, int]:
    """The number of modules that lie in each folder itself, its ``__init__`` left out."""
    return dict(Counter(module.name.rpartition(".")[0] for module in modules if not module.is_package))


def function_lines(modules: Iterable[Module]) -> dict[str, int]:
    """The lines of each function, by `module:function`."""
    return {
        f"{module.name}:{name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for module in modules
        for name, node in definitions(module)
        if not isinstance(node, ast.ClassDef)
    }


def read(base: Path, folder: Path) -> tuple[Module, ...]:
    """Every module in a folder and below it, named from a base, by name."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Module(name, text, ast.parse(text, str(path)), is_package))
    return tuple(found)


def _statements(tree: ast.Module) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and True when only a type checker reads it."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, type_only = pending.pop()
        yield node, type_only
        guarded = node.body if isinstance(node, ast.If) and _is_type_checking(node.test) else []
        pending.extend((child, type_only or child in guarded) for child in ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _origin(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    kept = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*kept, node.module] if node.module else kept)


def _is_dynamic_import(node: ast.Call) -> bool:
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in {"import_module", "__import__"}

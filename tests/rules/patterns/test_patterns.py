"""No pattern of the package backtracks: each reads a text in time that grows no faster than the text."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.rules.patterns.ambiguity import Use, fault
from tests.rules.source import Module, package, plant

WAIVERS: Mapping[str, str] = {
    "headwater.base.log:_EMAIL": "at most 1,200 characters of a text are searched",
    "headwater.base.log:_CREDENTIAL": "at most 1,200 characters of a text are searched",
    "headwater.base.textkeys:_PLAIN_EMAIL": "longer text than an address may have is refused before",
    "headwater.store.dialect:_INSERT": "reads the statements of the package, never a text from outside",
    "headwater.store.dialect:_UPDATE": "reads the statements of the package, never a text from outside",
    "headwater.web.docs.openapi:_SHAPES_OF": "reads the names of the package's own shapes, once at the start",
    "headwater.web.docs.pages:_MARK": "reads the package's own pages, never a text from outside",
}
"""The patterns (`module:name`) that may backtrack, because their texts are short or our own, with the reason."""

FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn", "template"}
_USES: Mapping[str, Use] = {"match": "match", "fullmatch": "fullmatch"}


@dataclass(frozen=True)
class Found:
    """A pattern in a module: its place, its text (None when it is not a constant), flags, and uses."""

    place: str
    line: int
    pattern: str | bytes | None
    flags: int
    uses: frozenset[Use]


def test_no_pattern_of_the_package_backtracks() -> None:
    found = list(patterns(package()))
    assert len(found) > 40
    assert faults(found, WAIVERS) == []


def test_every_waiver_gives_its_reason_and_is_still_needed() -> None:
    assert [place for place, reason in WAIVERS.items() if len(reason.split()) < 5] == []
    places = {line.partition(" ")[0] for line in faults(patterns(package()), {})}
    assert [place for place in WAIVERS if place not in places] == []


@pytest.mark.parametrize(
    ("pattern", "use"),
    [
        (r'"[^"\\]*(?:\\.[^"\\]*)*"', "search"),
        (r"\+?[0-9 ()./-]*[0-9][0-9 ()./-]*", "fullmatch"),
        (r"(a*)*b", "match"),
        (r"(a|a)*b", "match"),
        (r"(a|ab|b)*c", "match"),
        (r"(a?b?)*c", "match"),
        (r"(?:a{0,61})*b", "match"),
        (r"(?:x+x+y)*+z", "match"),
        (r"a+b", "search"),
        (r"[^@]*+@", "search"),
        (r"\s+$", "search"),
        (r"(?i)k+x", "search"),
        (r"\w+\s*\w+", "fullmatch"),
        (r".*,.*", "fullmatch"),
        (r".*?,.*?x", "match"),
        (r"a*b?a*c", "match"),
        (r"(?:\w+\s?)*:", "match"),
        (r"b(?!.*--)c", "search"),
        (r"a{2,}a{5000}", "fullmatch"),
    ],
)
def test_a_pattern_that_backtracks_is_found(pattern: str, use: Use) -> None:
    assert fault(pattern, re.DOTALL, use) is not None


@pytest.mark.parametrize(
    ("pattern", "use"),
    [
        (r'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', "search"),
        (r"\+?[0-9 ()./-]+", "fullmatch"),
        (r"a+", "search"),
        (r"a+b", "match"),
        (r"^a+b", "search"),
        (r"^a+$", "search"),
        (r"a{0,61}b", "search"),
        (r"(?:[a-z]++-)*+[a-z]++x", "match"),
        (r"[a-z]+(?:_[a-z]+)*", "fullmatch"),
        (r"a*b*c", "match"),
        (r"x++x*y", "match"),
        (r"://[^/@]*@", "search"),
        (r"(?<!a)b", "search"),
        (r"x|\+(?![0-9]+\Z)", "match"),
    ],
)
def test_a_pattern_that_reads_each_character_once_is_not_called_slow(pattern: str, use: Use) -> None:
    assert fault(pattern, re.DOTALL, use) is None


def test_a_form_that_the_rule_does_not_know_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="does not know"):
        fault(r"(a+)\1", 0, "match")


def test_patterns_are_found_wherever_they_are_written() -> None:
    text = """
import re
from re import compile as made
from msgspec import Meta
END = re.compile(r"a+b")
BOTH = {1: re.compile(rb"x"), 2: re.compile("y", re.DOTALL)}
Text = Meta(pattern="c+d")
Other = described("a sentence", pattern="e+f")
def read(text):
    END.fullmatch(text)
    re.sub("g+h", "", text)
    re.compile(text)
    made(r"i+j")
"""
    module = plant("headwater.base.planted", text)
    found = {one.line: one for one in patterns([module])}
    assert {line: one.pattern for line, one in found.items() if one.pattern is not None} == {
        5: "a+b", 6: "y", 7: "c+d", 8: "e+f", 11: "g+h", 13: "i+j",
    }  # fmt: skip
    assert found[5].uses == {"fullmatch"}
    assert found[7].uses == found[11].uses == {"search"}
    assert found[6].flags == re.DOTALL
    assert len([line for line in faults(patterns([module]), {}) if "no constant" in line]) == 1
    assert len(faults(patterns([module]), {})) == 5


def faults(found: Iterable[Found], waivers: Mapping[str, str]) -> list[str]:
    """A line for each pattern that backtracks, or that cannot be read before the program runs."""
    lines = []
    for one in found:
        if one.place in waivers:
            continue
        if one.pattern is None:
            lines.append(f"{one.place} line {one.line}: the pattern is no constant")
            continue
        for use in sorted(one.uses):
            if its := fault(one.pattern, one.flags, use):
                lines.append(f"{one.place} line {one.line}: {its} ({use})")
                break
    return lines


def patterns(modules: Iterable[Module]) -> Iterator[Found]:
    """Every pattern that the modules write: of ``re``, and of the shapes' constraints."""
    modules = list(modules)
    everywhere = _uses(modules)
    for module in modules:
        if not _mentions_patterns(module):
            continue
        functions = {
            alias.asname or alias.name: alias.name
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ImportFrom) and node.module == "re"
            for alias in node.names
        }
        names = _names(module)
        uses = everywhere | _uses([module])
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                yield from _pattern_of(module, node, functions, names.get(node, ""), uses)


def _pattern_of(
    module: Module, node: ast.Call, functions: Mapping[str, str], name: str, uses: Mapping[str, set[Use]]
) -> Iterator[Found]:
    place = f"{module.name}:{name or node.lineno}"
    function = _function(node, functions)
    if function is not None:
        pattern = _value(module, node.args[0])
        last = [keyword.value for keyword in node.keywords if keyword.arg == "flags"]
        given = last or (node.args[1:2] if function == "compile" else [])
        flags = int(_value(module, given[0]) or 0) if given else 0
        used = uses.get(name, {"search"}) if function == "compile" else {_USES.get(function, "search")}
        yield Found(place, node.lineno, pattern, flags, frozenset(used))
        return
    for keyword in node.keywords:
        if keyword.arg == "pattern" and not isinstance(keyword.value, ast.Name | ast.Attribute):
            yield Found(place, node.lineno, _value(module, keyword.value), 0, frozenset({"search"}))
        elif keyword.arg == "pattern" and (value := _value(module, keyword.value)) is not None:
            yield Found(place, node.lineno, value, 0, frozenset({"search"}))


def _function(node: ast.Call, functions: Mapping[str, str]) -> str | None:
    called = node.func
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "re":
        return called.attr if called.attr in FUNCTIONS else None
    if isinstance(called, ast.Name) and functions.get(called.id) in FUNCTIONS:
        return functions[called.id]
    return None


def _names(module: Module) -> dict[ast.AST, str]:
    """The name to which each call at a module's top is assigned."""
    found: dict[ast.AST, str] = {}
    for node in module.tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for inner in ast.walk(node.value):
                found[inner] = target.id
    return found


def _uses(modules: Iterable[Module]) -> dict[str, set[Use]]:
    """The ways in which the patterns of each name are used."""
    found: dict[str, set[Use]] = {}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
                owner = node.value.value if isinstance(node.value, ast.Subscript) else node.value
                if isinstance(owner, ast.Name) and owner.id != "re":
                    found.setdefault(owner.id, set()).add(_USES.get(node.attr, "search"))
    return found


def _value(module: Module, node: ast.expr) -> Any:
    """The value of a constant expression, read in the module that it is written in; None for any other."""
    try:
        known = vars(importlib.import_module(module.name))
    except ImportError:
        known = {"re": re}
    try:
        return eval(compile(ast.Expression(node), module.name, "eval"), dict(known))
    except NameError:
        return None


def _mentions_patterns(module: Module) -> bool:
    return re.search(r"\bre\b|pattern=", module.text) is not None

"""Every test asserts: one that passes by not raising proves too little."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

import pytest

from tests.rules.source import Module, definitions, everything, plant

Function = ast.FunctionDef | ast.AsyncFunctionDef

PYTEST = {"raises", "warns", "fail"}
STATE_MACHINE = "run_state_machine_as_test"
"""Hypothesis's own runner; the assertions are in the rules and invariants of the machine."""


def test_every_test_asserts() -> None:
    assert silent(module for module in everything() if module.name.startswith("tests.")) == []


@pytest.mark.parametrize(
    "text",
    [
        "def test_it(): pass",
        "def test_it(): work()",
        "async def test_it(): await work()",
        "class TestIt:\n    def test_it(self): work()",
        "def work(): return 1\ndef test_it(): work()",
        "def work(): work()\ndef test_it(): work()",
        "def work():\n    assert True\ndef test_it(): other.work()",
        "class Line:\n    def check(self): return self\ndef test_it(line): line.check()",
        "import pytest\ndef test_it(): pytest.skip('no reason')",
        "def test_it(mock): mock.raises(ValueError)",
    ],
)
def test_a_test_without_an_assertion_is_found(text: str) -> None:
    assert silent([plant("tests.unit.feed.test_reader", text)]) == ["tests.unit.feed.test_reader:test_it"]


@pytest.mark.parametrize(
    "text",
    [
        "def test_it(): assert work()",
        "def test_it():\n    for row in rows:\n        with work():\n            assert row",
        "import pytest\ndef test_it():\n    with pytest.raises(ValueError): work()",
        "import pytest\ndef test_it():\n    if work(): pytest.fail('it is damaged')",
        "def agrees(row): assert row\ndef test_it(): agrees(work())",
        "def agrees(row): assert row\ndef both(row): agrees(row)\ndef test_it(): both(work())",
        "class TestIt:\n    def agrees(self): assert self\n    def test_it(self): self.agrees()",
        "class Line:\n    def most(self): assert self\ndef test_it(line):\n    with line.most(): work()",
        "def test_it(): run_state_machine_as_test(Machine)",
        "def testing(): pass",
        "def helper(): work()",
    ],
)
def test_a_test_that_asserts_itself_or_by_its_modules_functions_passes(text: str) -> None:
    assert silent([plant("tests.unit.feed.test_reader", text)]) == []


def silent(modules: Iterable[Module]) -> list[str]:
    """Tests that assert nothing."""
    broken = []
    for module in modules:
        known = {name: node for name, node in definitions(module) if not isinstance(node, ast.ClassDef)}
        broken += [
            f"{module.name}:{name.rpartition('.')[2]}"
            for name, node in known.items()
            if name.rpartition(".")[2].startswith("test_") and not asserts(node, known, frozenset())
        ]
    return broken


def asserts(function: Function, known: Mapping[str, Function], above: frozenset[str]) -> bool:
    """True when the function asserts, or calls a function or a method of its module that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            owner, name = called(node)
            if (owner == "pytest" and name in PYTEST) or name == STATE_MACHINE:
                return True
            own = [full for full in known if full == name] if not owner else methods(known, name)
            if any(asserts(known[full], known, above | {full}) for full in own if full not in above):
                return True
    return False


def methods(known: Mapping[str, Function], name: str) -> list[str]:
    """The methods of the module's classes that have this name, whatever object they are called on."""
    return [full for full in known if full.endswith("." + name)]


def called(node: ast.Call) -> tuple[str, str]:
    """The owner and the name of what is called: ("pytest", "raises"), ("", "work")."""
    if isinstance(node.func, ast.Attribute):
        return getattr(node.func.value, "id", "?"), node.func.attr
    return "", getattr(node.func, "id", "")

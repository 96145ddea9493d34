"""Every public name has a docstring, in more words than its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from tests.rules.source import Module, definitions, is_within, package, plant

SMALL_WORDS = {
    "a",
    "an",
    "and",
    "for",
    "from",
    "in",
    "is",
    "it",
    "its",
    "of",
    "on",
    "or",
    "the",
    "this",
    "to",
}

COMMANDS = [
    "Append",
    "Apply",
    "Begin",
    "Bring",
    "Carry",
    "Check",
    "Close",
    "Count",
    "Create",
    "Cut",
    "Delete",
    "Drop",
    "End",
    "Fetch",
    "Find",
    "Forget",
    "Free",
    "Get",
    "Give",
    "Keep",
    "Know",
    "Let",
    "List",
    "Look",
    "Make",
    "Mark",
    "Move",
    "Note",
    "Open",
    "Print",
    "Put",
    "Read",
    "Refuse",
    "Register",
    "Release",
    "Remove",
    "Retain",
    "Run",
    "Send",
    "Settle",
    "Show",
    "Stage",
    "Stop",
    "Store",
    "Take",
    "Tell",
    "Upload",
    "Write",
]
"""The verbs with which a docstring would command the reader instead of describing the function."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def test_every_public_name_has_a_docstring() -> None:
    assert undocumented(package()) == []


def test_every_docstring_begins_with_a_sentence_of_its_own() -> None:
    assert hollow(package()) == []


def test_functions_describe_what_they_do_in_the_third_person() -> None:
    assert commanding(package()) == []


@pytest.mark.parametrize("text", ["Make a folder.", "Refuse a name that is taken.", "Apply the items in their order."])
def test_a_docstring_that_commands_is_found(text: str) -> None:
    module = plant("headwater.feed.reader", f'def read():\n    """{text}"""\ndef _private():\n    """{text}"""')
    assert commanding([module]) == ["headwater.feed.reader:read", "headwater.feed.reader:_private"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("headwater.feed.reader", "Makes a folder."),
        ("headwater.feed.reader", "The makers of a folder."),
        ("headwater.cli.commands.content.shares", "Make a share."),
    ],
)
def test_the_third_person_nouns_and_the_help_of_commands_pass(name: str, text: str) -> None:
    assert commanding([plant(name, f'def read():\n    """{text}"""')]) == []


@pytest.mark.parametrize(
    "text",
    [
        '"""A module."""\ndef read(): ...',
        '"""A module."""\nclass Reader: ...',
        '"""A module."""\nclass Reader:\n    """Reads pages."""\n    async def page(self): ...',
        '"""A module."""\nif True:\n    def read(): ...',
        '"""A module."""\ndef read():\n    """   """',
        "def _private(): ...",
    ],
)
def test_a_public_name_without_a_docstring_is_found(text: str) -> None:
    assert len(undocumented([plant("headwater.feed.reader", text)])) == 1


def test_private_inner_magic_and_overloaded_functions_need_none() -> None:
    text = '''"""A module."""
def _private(): ...
class _Row:
    def width(self): ...
class Reader:
    """Reads pages after a cursor."""
    def __len__(self): ...
    @overload
    def page(self): ...
    def page(self):
        """The rows after the cursor."""
        def inner(): ...
'''
    assert undocumented([plant("headwater.feed.reader", text)]) == []


def test_an_empty_package_file_needs_none() -> None:
    assert undocumented([plant("headwater.feed", "", is_package=True)]) == []


@pytest.mark.parametrize(
    "text",
    [
        'def read_page():\n    """Read the page."""',
        'class Reader:\n    """Reader"""',
        'def f():\n    """\n    """',
    ],
)
def test_a_docstring_that_only_repeats_its_name_or_is_no_sentence_is_found(text: str) -> None:
    assert len(hollow([plant("headwater.feed.reader", text)])) == 1


def undocumented(modules: Iterable[Module]) -> list[str]:
    """Public modules, classes and functions without a docstring."""
    return [
        f"{module.name}:{name}" if name else module.name
        for module in modules
        for name, node in public_names(module)
        if not (ast.get_docstring(node) or "").strip()
    ]


def hollow(modules: Iterable[Module]) -> list[str]:
    """Docstrings whose first line is no sentence, or has no word that the name lacks."""
    broken = []
    for module in modules:
        for name, node in public_names(module):
            text = ast.get_docstring(node)
            if text is None:
                continue
            first = text.partition("\n")[0].rstrip()
            said = set(words(first)) - SMALL_WORDS - set(words(name.rpartition(".")[2]))
            if not said or first[-1:] not in {".", ":", "?", "!"}:
                broken.append(f"{module.name}:{name}")
    return broken


def public_names(module: Module) -> Iterator[tuple[str, Documented]]:
    """The module itself, its public classes and functions, and the public methods of those classes."""
    if module.tree.body:
        yield "", module.tree
    pending: list[tuple[str, ast.AST]] = [("", module.tree)]
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if child.name.startswith("_") or is_overload(child):
                    continue
                yield prefix + child.name, child
                if isinstance(child, ast.ClassDef):
                    pending.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.If | ast.Try):
                pending.append((prefix, child))


def is_overload(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """True for one signature of several, and for the setter of a documented property."""
    return any(
        (isinstance(mark, ast.Name) and mark.id == "overload")
        or (isinstance(mark, ast.Attribute) and mark.attr in {"overload", "setter", "deleter"})
        for mark in node.decorator_list
    )


def words(text: str) -> list[str]:
    """The words of a sentence or of a name, in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", text)]


def commanding(modules: Iterable[Module]) -> list[str]:
    """Functions whose docstring begins with a command; commands' docstrings are help texts, where that is usual."""
    return [
        f"{module.name}:{name}"
        for module in modules
        if not is_within(module.name, "headwater.cli.commands", "headwater.cli.main")
        for name, node in definitions(module)
        if not isinstance(node, ast.ClassDef)
        if (ast.get_docstring(node) or "").partition(" ")[0] in COMMANDS
    ]

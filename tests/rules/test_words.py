"""Texts that engineers read at one go: the field's words, and docstrings that begin with their fact."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.rules.source import ROOT, Module, package, plant
from tests.rules.test_docstrings import public_names

QUESTION = re.compile(r"(What|Whether|How|Who|Whose|Whom|Where|Why|When|Which)\b")
"""The words that begin a question; a docstring begins with the answer."""

UNWANTED = {
    r"nobody|somebody|anybody|everybody|who(m)?ever": "the caller, a process, a device",
    r"(is|are|was|were|be|been|being|never|not) told(?! apart)|told (of|about)": "receives, is notified of, states",
    r"stands? at|how (\w+ ){1,4}stands?": "is at, is in, means; its state",
    r"a work|(the|two|both|all|more|many) works": "a transaction function",
    r"(hold|holds|held|holding) back": "refuses; Raises: ... unless",
    r"(hold|holds|held|holding) ((\w|['`])+ ){0,5}against": "compares with, checks against",
    r"lets? go|(go|goes|went) on(?! top)": "releases, continues",
    r"the like": "(drop it)",
    r"(who|which|that) asks": "the caller",
}
"""What we do not write in a docstring, a comment or a page, and what instead."""

PATTERNS = {re.compile(rf"\b({words})\b", re.IGNORECASE): instead for words, instead in UNWANTED.items()}
QUOTING = {"CONTRIBUTING.md"}
"""The pages that show the unwanted words beside the wanted ones, in a table."""

GENERATED = {"errors.md"}
"""The pages that quote what users are shown; those sentences change with the sources alone."""


def test_no_docstring_begins_with_a_question() -> None:
    assert questions(package()) == []


def test_no_docstring_or_comment_has_a_word_that_we_do_not_write() -> None:
    assert [place for module in package() for place in unwanted_in_code(module)] == []


def test_no_page_has_a_word_that_we_do_not_write() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    written = [page for page in sorted(pages) if page.name not in GENERATED]
    assert [place for page in written for place in unwanted_in_page(page, page.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        '"""What a device gets next."""\nx = 1',
        'def is_stale():\n    """Whether labels are stale."""',
        'class Reader:\n    """Reads pages."""\n    def place(self):\n        """Where the reader is."""',
    ],
)
def test_a_docstring_that_begins_with_a_question_is_found(text: str) -> None:
    assert len(questions([plant("headwater.feed.reader", text)])) == 1


def test_a_docstring_that_begins_with_its_fact_passes() -> None:
    text = '"""The next page."""\ndef _at():\n    """Whatever."""\ndef read():\n    """Whole pages, when due."""'
    assert questions([plant("headwater.feed.reader", text)]) == []


@pytest.mark.parametrize(
    "line",
    [
        "Nobody waits for it.",
        "The device is told.",
        "A listener is told of commits.",
        "The position that it stands at.",
        "How a record stands now.",
        "Runs the works of a group.",
        "Holds back a name that is taken.",
        "Held against the stored hash.",
        "Holds the caller's token against the rule.",
        "Lets go of the lock.",
        "The feed of the device that asks.",
    ],
)
def test_a_word_that_we_do_not_write_is_found(line: str) -> None:
    assert len(unwanted_in_code(plant("headwater.feed.reader", f'"""Reads."""\n\n# {line}\n'))) == 1
    assert len(unwanted_in_code(plant("headwater.feed.reader", f'"""Reads.\n\n{line}\n"""\n'))) == 1
    assert len(unwanted_in_page(Path("docs/feed.md"), f"# Feed\n\n{line}\n")) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""Returns what differs; the network works and stands in for a disk."""',
        'x = "nobody"  # the name of an account',
        '"""The body of a request, held by the reader until it is sent."""',
    ],
)
def test_ordinary_sentences_and_values_pass(text: str) -> None:
    assert unwanted_in_code(plant("headwater.feed.reader", text)) == []


def test_a_page_may_quote_the_words_in_a_table_and_in_code() -> None:
    text = "| we do not write | we write |\n| --- | --- |\n| nobody | no caller |\n"
    assert unwanted_in_page(ROOT / "CONTRIBUTING.md", text) == []
    assert len(unwanted_in_page(ROOT / "docs" / "feed.md", text)) == 1
    assert unwanted_in_page(ROOT / "docs" / "feed.md", "```\nsu nobody\n```\nThe user `nobody` owns it.\n") == []


def questions(modules: Iterable[Module]) -> list[str]:
    """Public names whose docstring begins with a question."""
    return [
        f"{module.name}:{name}" if name else module.name
        for module in modules
        for name, node in public_names(module)
        if QUESTION.match(ast.get_docstring(node) or "")
    ]


def unwanted_in_code(module: Module) -> list[str]:
    """The unwanted words in a module's docstrings and comments, with their lines."""
    return [
        f"{module.name}:{line} {found}: {instead}"
        for first, text in texts(module)
        for line, found, instead in unwanted(first, text)
    ]


def unwanted_in_page(page: Path, text: str) -> list[str]:
    """The unwanted words of a page outside its code, with their lines."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", lambda code: re.sub(r"[^\n]", " ", code[0]), text, flags=re.DOTALL)
    if page.name in QUOTING:
        prose = re.sub(r"^\|.*$", "", prose, flags=re.MULTILINE)
    return [f"{page.name}:{line} {found}: {instead}" for line, found, instead in unwanted(1, prose)]


def unwanted(first: int, text: str) -> Iterator[tuple[int, str, str]]:
    """Each unwanted word of a text that begins on a line: its line, itself, and what to write."""
    for pattern, instead in PATTERNS.items():
        for found in pattern.finditer(text):
            yield first + text.count("\n", 0, found.start()), " ".join(found[0].split()), instead


def texts(module: Module) -> Iterator[tuple[int, str]]:
    """The comments and the strings of a module that are statements, with their first lines."""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value

"""The catalogue of all error codes that Headwater returns or prints, read from the sources, so that it is complete.

Each class of the tree in base/errors.py, and each subclass elsewhere, has a code; a raise may name a finer one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from headwater.web.errors import STATUSES

_OPERATORS = (
    "headwater.base.settings",
    "headwater.installation",
    "headwater.server",
    "headwater.transfer",
    "headwater.cli",
    "headwater.client",
)
"""Modules whose errors never reach a request."""


ADVICE = {
    "CHECKSUM_MISMATCH": "The bytes changed in transit, or the sum belongs to other bytes: compare, and send again.",
    "CHUNK_LENGTH": "Send chunk_size bytes, or for the last chunk the rest: 'expected_bytes' is the number.",
    "CHUNKS_MISSING": "Send the file again with the bytes of the chunks that POST /api/v1/uploads/check names.",
    "DISK_FULL": "Delete something, or free space on the server's disk; then send the request again.",
    "ORG_AMBIGUOUS": "Name the organisation that you mean with ?org_id=.",
    "TUS_VERSION": "Send 'Tus-Resumable: 1.0.0'.",
}
"""Hints for finer codes, where the hint of their class would be wrong."""


class ErrorEntry(NamedTuple):
    """One code: its HTTP status (0 for the command line only), its title, its meaning, and a hint."""

    code: str
    status: int
    title: str
    meaning: str
    hint: str


class _Kind(NamedTuple):
    """An error class in the sources: its own code, title and hint, or None where it inherits them."""

    module: str
    name: str
    parent: str
    code: str | None
    title: str | None
    hint: str | None
    meaning: str


@cache
def entries() -> tuple[ErrorEntry, ...]:
    """Returns all codes: first those of HTTP answers, by status, then those of the command line."""
    trees = [(name, ast.parse(text)) for name, text in _sources(resources.files("headwater"), "headwater")]
    kinds: dict[str, _Kind] = {}
    for module, tree in trees:
        for kind in _kinds(module, tree):
            kinds.setdefault(kind.name, kind)
    known = {name: kind for name, kind in kinds.items() if _lineage(kinds, name)[-1] == "HeadwaterError"}
    found: dict[str, ErrorEntry] = {}
    for name in known:
        entry = _entry(known, name)
        found.setdefault(entry.code, entry)
    for _, tree in trees:
        for base, code, example in _specific_codes(tree, known):
            general = _entry(known, base)
            found.setdefault(code, general._replace(code=code, meaning=example or general.meaning))
    advised = (entry._replace(hint=ADVICE.get(entry.code, entry.hint)) for entry in found.values())
    return tuple(sorted(advised, key=lambda entry: (entry.status or 999, entry.code)))


def _sources(folder: Traversable, package: str) -> Iterator[tuple[str, str]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _sources(item, f"{package}.{item.name}")
        elif item.name.endswith(".py"):
            yield f"{package}.{item.name[:-3]}", item.read_text("utf-8")


def _kinds(module: str, tree: ast.Module) -> Iterator[_Kind]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.bases and isinstance(node.bases[0], ast.Name):
            words = dict(_class_texts(node))
            sentence = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
            yield _Kind(
                module, node.name, node.bases[0].id, words.get("code"), words.get("title"), words.get("hint"), sentence
            )


def _class_texts(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        value = getattr(statement, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield target.id, value.value


def _lineage(kinds: dict[str, _Kind], name: str) -> list[str]:
    """Returns a class and its parents among the known classes, the nearest first."""
    line = [name]
    while line[-1] in kinds and kinds[line[-1]].parent in kinds:
        line.append(kinds[line[-1]].parent)
    return line


def _entry(kinds: dict[str, _Kind], name: str) -> ErrorEntry:
    line = [kinds[ancestor] for ancestor in _lineage(kinds, name)]
    statuses = {kind.__name__: status for kind, status in STATUSES.items()}
    status = next((statuses[kind.name] for kind in line if kind.name in statuses), 500)
    return ErrorEntry(
        code=next(kind.code for kind in line if kind.code),
        status=0 if line[0].module.startswith(_OPERATORS) else status,
        title=next(kind.title for kind in line if kind.title),
        meaning=line[0].meaning,
        hint=next(kind.hint for kind in line if kind.hint),
    )


def _specific_codes(tree: ast.Module, kinds: dict[str, _Kind]) -> Iterator[tuple[str, str, str]]:
    """Yields the codes that single raises name: the class, the code, and the message of the raise."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        base = node.func.id if isinstance(node.func, ast.Name) else ""
        for keyword in node.keywords:
            if keyword.arg == "code" and base in kinds and isinstance(keyword.value, ast.Constant):
                yield base, str(keyword.value.value), _sentence(node.args[0]) if node.args else ""


def _sentence(node: ast.expr) -> str:
    """Returns the text of a message, with … for each value that is inserted at run time."""
    if isinstance(node, ast.Constant):
        text = str(node.value)
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    else:
        return ""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…")) else ".")

"""A regular expression as positions: one for each character that it reads, and the positions that may come next.

Source: Glushkov's construction, over the syntax tree of Python's own parser.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from re import _constants as op
from re import _parser as parser
from typing import Any

UNBOUNDED = 1000
"""A repeat with a larger limit counts as one without a limit."""

_COPIES = 2
"""A repeat with a smaller limit is written out this many times: enough to see two ways through it."""

_ALWAYS = [chr(code) for code in range(256)] + [
    "\u017f",
    "\u212a",
    "\u212b",
    "\u0301",
    "\u2028",
    "\ufeff",
    "\U0001f600",
]
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S", op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


@dataclass
class Positions:
    """The positions of one pattern; ``reads`` has the characters of each, by number.

    ``next`` counts the ways from one position to another without reading: two ways are two readings of one text.
    ``keeps`` are positions whose innermost loop never gives a character back. ``looks`` are the bodies of
    lookarounds that contain a loop; each with True when a loop stands before it.
    """

    reads: list[frozenset[str]] = field(default_factory=list)
    next: Counter[tuple[int, int]] = field(default_factory=Counter)
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    keeps: set[int] = field(default_factory=set)
    looks: list[tuple[Any, bool]] = field(default_factory=list)
    anchored_start: bool = False
    anchored_end: bool = False


@dataclass(frozen=True)
class _Part:
    """A part of a pattern: the ways to read nothing, and the positions that it begins and ends with."""

    empty: int
    first: tuple[int, ...]
    last: tuple[int, ...]


_NOTHING = _Part(1, (), ())


class _Builder:
    def __init__(self, flags: int, characters: list[str]) -> None:
        self.found = Positions()
        self._flags = flags
        self._characters = characters
        self._looped = False

    def sequence(self, items: Iterable[Any], *, keeps: bool) -> _Part:
        whole = _NOTHING
        for item in items:
            whole = self._joined(whole, self._part(item, keeps=keeps))
        return whole

    def _joined(self, left: _Part, right: _Part) -> _Part:
        self.found.next.update((end, start) for end in left.last for start in right.first)
        return _Part(
            left.empty * right.empty,
            left.first + right.first * min(left.empty, _COPIES),
            right.last + left.last * min(right.empty, _COPIES),
        )

    def _part(self, item: Any, *, keeps: bool) -> _Part:
        code, value = item
        if code in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return self._position(item, keeps=keeps)
        if code is op.BRANCH:
            parts = [self.sequence(branch, keeps=keeps) for branch in value[1]]
            firsts = tuple(one for part in parts for one in part.first)
            return _Part(sum(p.empty for p in parts), firsts, tuple(one for part in parts for one in part.last))
        if code is op.SUBPATTERN:
            return self.sequence(value[3], keeps=keeps)
        if code is op.ATOMIC_GROUP:
            return self.sequence(value, keeps=True)
        if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeat(*value, keeps=keeps if value[1] == 1 else code is op.POSSESSIVE_REPEAT)
        if code in (op.ASSERT, op.ASSERT_NOT):
            if any(True for _ in _loops(value[1])):
                self.found.looks.append((value[1], self._looped))
            return _NOTHING
        if code is op.AT:
            return _NOTHING
        raise ValueError(f"the rule does not know {code}: write the pattern without it")

    def _repeat(self, least: int, most: int, body: Any, *, keeps: bool) -> _Part:
        whole = _NOTHING
        self._looped = self._looped or int(most) > UNBOUNDED
        for _ in range(min(int(least), _COPIES)):
            whole = self._joined(whole, self.sequence(body, keeps=keeps))
        if int(most) <= UNBOUNDED:
            for _ in range(min(int(most) - int(least), _COPIES)):
                part = self.sequence(body, keeps=keeps)
                whole = self._joined(whole, _Part(1 + part.empty, part.first, part.last))
            return whole
        part = self.sequence(body, keeps=keeps)
        self.found.next.update((end, start) for end in part.last for start in part.first)
        return self._joined(whole, _Part(1 + part.empty, part.first, part.last))

    def _position(self, item: Any, *, keeps: bool) -> _Part:
        number = len(self.found.reads)
        self.found.reads.append(frozenset(c for c in self._characters if reads(item, c, self._flags)))
        if keeps:
            self.found.keeps.add(number)
        return _Part(0, (number,), (number,))


def positions(pattern: str | bytes, flags: int = 0) -> Positions:
    """The positions of a pattern. Raises: ValueError (a form that the rule does not know)."""
    tree = parser.parse(pattern, flags)
    return _built(tree, tree.state.flags)


def of_body(body: Any, flags: int = 0) -> Positions:
    """The positions of a part of a syntax tree, such as the body of a lookaround."""
    return _built(body, flags)


def _built(tree: Any, flags: int) -> Positions:
    builder = _Builder(flags, _ALWAYS + sorted(_literals(tree) - set(_ALWAYS)))
    whole = builder.sequence(tree, keeps=False)
    found = builder.found
    found.first, found.last = list(whole.first), list(whole.last)
    items = list(tree)
    starts = {op.AT_BEGINNING_STRING} | (set() if flags & re.MULTILINE else {op.AT_BEGINNING})
    ends = {op.AT_END_STRING} | (set() if flags & re.MULTILINE else {op.AT_END})
    found.anchored_start = bool(items) and items[0][0] is op.AT and items[0][1] in starts
    found.anchored_end = bool(items) and items[-1][0] is op.AT and items[-1][1] in ends
    return found


def reads(item: Any, character: str, flags: int) -> bool:
    """True when a node of the syntax tree reads a character."""
    code, value = item
    if code is op.ANY:
        return character != "\n" or bool(flags & re.DOTALL)
    forms = {character, character.lower(), character.upper()} if flags & re.IGNORECASE else {character}
    if code is op.LITERAL:
        return any(form == chr(value) for form in forms)
    if code is op.NOT_LITERAL:
        return all(form != chr(value) for form in forms)
    negated = value[0][0] is op.NEGATE
    return any(_in_set(one, form, flags) for one in value[negated:] for form in forms) != negated


def _in_set(one: Any, character: str, flags: int) -> bool:
    code, value = one
    if code is op.LITERAL:
        return character == chr(value)
    if code is op.RANGE:
        return bool(value[0] <= ord(character[0]) <= value[1]) and len(character) == 1
    return re.match(_CATEGORIES[value], character, flags & re.ASCII) is not None


def _literals(tree: Any) -> set[str]:
    found: set[str] = set()
    for code, value in _nodes(tree):
        if code in (op.LITERAL, op.NOT_LITERAL):
            found.add(chr(value))
        elif code is op.RANGE:
            found |= {chr(value[0]), chr(value[1])}
    return found


def _loops(tree: Any) -> Iterator[Any]:
    repeats = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
    return (node for node in _nodes(tree) if node[0] in repeats and int(node[1][1]) > UNBOUNDED)


def _nodes(tree: Any) -> Iterator[Any]:
    """Every node of a syntax tree: a node is a code with its value."""
    pending = [tree]
    while pending:
        one = pending.pop()
        if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], type(op.LITERAL)):
            yield one
            pending.append(one[1])
        elif isinstance(one, list | tuple | parser.SubPattern):
            pending.extend(one)

"""Patterns whose time grows faster than the text: two loops that can share the same characters.

A search that fails tries every way to share a text among the loops that read it. The time stays linear when no text
can be read from loop p to loop p, from p to q, and from q to q alike, and when no loop reads a text in two ways.
Source: Weideman and others, "Analyzing matching time behavior of backtracking regular expression matchers" (2016).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Literal

from tests.rules.patterns.positions import Positions, of_body, positions

Use = Literal["search", "match", "fullmatch"]
_START = -1
"""The position of a search before its match: it reads any character."""


def fault(pattern: str | bytes, flags: int = 0, use: Use = "search") -> str | None:
    """A sentence about the first way in which a pattern backtracks, or None."""
    found = positions(pattern, flags)
    searches = use == "search" and not found.anchored_start
    must_end = use == "fullmatch" or found.anchored_end
    for body, looped in found.looks:
        # After a loop, or in a search, it is tried at each character, so a loop in it is as costly as in a search.
        if its := _fault(of_body(body, flags), searches=searches or looped, must_end=True):
            return f"a lookaround: {its}"
    return _fault(found, searches=searches, must_end=must_end)


def _fault(found: Positions, *, searches: bool, must_end: bool) -> str | None:
    graph = _graph(found, searches=searches)
    loops = _loops(graph)
    for (left, right), ways in found.next.items():
        if ways > 1 and left not in found.keeps and right in loops.get(left, ()):
            return f"a loop reads {_shown(found, right)} in two ways"
    fails = _may_fail(found, graph, must_end=must_end)
    for one in loops:
        for other in loops:
            if one == other or one in found.keeps or other not in fails:
                continue
            if _share(found, graph, loops, one, other):
                if one == _START:
                    return f"a search begins anew at each character of a run of {_shown(found, other)}"
                return f"two loops share {_shown(found, one)} and {_shown(found, other)}"
    return None


def _graph(found: Positions, *, searches: bool) -> dict[int, set[int]]:
    graph: dict[int, set[int]] = defaultdict(set)
    for left, right in found.next:
        graph[left].add(right)
    if searches:
        graph[_START] = {_START, *found.first}
    return graph


def _loops(graph: Mapping[int, Collection[int]]) -> dict[int, set[int]]:
    """The positions that lie in a loop, each with all positions of that loop."""
    reach = {one: _reached(graph, one) for one in graph}
    loops = {one: {other for other in reach[one] if one in reach.get(other, ())} for one in graph}
    return {one: others for one, others in loops.items() if one in others}


def _reached(graph: Mapping[int, Collection[int]], start: int) -> set[int]:
    seen: set[int] = set()
    pending = list(graph.get(start, ()))
    while pending:
        one = pending.pop()
        if one not in seen:
            seen.add(one)
            pending.extend(graph.get(one, ()))
    return seen


def _may_fail(found: Positions, graph: Mapping[int, Collection[int]], *, must_end: bool) -> set[int]:
    """The positions after which the rest of the pattern may not fit; a search that succeeds tries nothing else."""
    if must_end:
        return set(graph)
    return set(graph) - set(found.last)


def _share(
    found: Positions, graph: Mapping[int, Collection[int]], loops: Mapping[int, set[int]], one: int, other: int
) -> bool:
    """True when one text leads from one to one, from one to other, and from other to other."""
    if other not in _reached(graph, one):
        return False
    everything = frozenset[str]().union(*found.reads) if found.reads else frozenset[str]()

    def reads(position: int) -> frozenset[str]:
        return everything if position == _START else found.reads[position]

    seen = {(one, one, other)}
    pending = [(one, one, other)]
    while pending:
        a, b, c = pending.pop()
        for next_a in graph.get(a, ()):
            if next_a not in loops[one]:
                continue
            for next_c in graph.get(c, ()):
                if next_c not in loops[other] or not (common := reads(next_a) & reads(next_c)):
                    continue
                for next_b in graph.get(b, ()):
                    if not common & reads(next_b):
                        continue
                    state = (next_a, next_b, next_c)
                    if state == (one, other, other):
                        return True
                    if state not in seen:
                        seen.add(state)
                        pending.append(state)
    return False


def _shown(found: Positions, position: int) -> str:
    characters = sorted(found.reads[position])
    return repr("".join(characters[:6])) + ("…" if len(characters) > 6 else "")

"""Finds the route of a path: one tree for all contracts; literal segments win over ``{names}``."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from headwater.base.errors import HeadwaterError, Malformed, MethodNotAllowed, NotFound
from headwater.web.contract import Contract, Route, SocketRoute


class Match(NamedTuple):
    """A route with its contract, and the values of its ``{names}``."""

    contract: Contract
    route: Route
    params: dict[str, str]


class SocketMatch(NamedTuple):
    """A socket route with its contract, and the values of its ``{names}``."""

    contract: Contract
    route: SocketRoute
    params: dict[str, str]


class _Node:
    """One place in the tree of segments."""

    __slots__ = ("children", "methods", "name", "socket", "wild")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.wild: _Node | None = None
        self.name = ""
        self.methods: dict[str, tuple[Contract, Route, tuple[str, ...]]] = {}
        self.socket: tuple[Contract, SocketRoute, tuple[str, ...]] | None = None


class Router:
    """All routes of all contracts under all their prefixes; built once at the start."""

    def __init__(self, contracts: tuple[Contract, ...]) -> None:
        self._root = _Node()
        self._exact: dict[tuple[str, str], Match] = {}
        self._contracts = contracts
        for contract in contracts:
            for prefix in contract.prefixes:
                for route in contract.routes:
                    self._add(contract, prefix, route)
                for socket in contract.sockets:
                    node, names = self._place(prefix + socket.path)
                    node.socket = (contract, socket, names)

    def find(self, method: str, path: str) -> Match:
        """The route for a method and a raw (still percent-encoded) path; a trailing slash does not matter.

        Raises: NotFound, MethodNotAllowed, Malformed (bad percent-encoding).
        """
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        node, values = self._walk(path)
        if node is None or not node.methods:
            raise NotFound(f"nothing is served at {path!r}", code="PATH_NOT_FOUND")
        found = node.methods.get(method)
        if found is None:
            allow = ", ".join(sorted(node.methods))
            raise MethodNotAllowed(f"{method} is not possible here; {allow} is", extra={"allow": allow})
        contract, route, names = found
        return Match(contract, route, dict(zip(names, values, strict=True)))

    def find_socket(self, path: str) -> SocketMatch:
        """The socket route for a raw path. Raises: NotFound, Malformed."""
        node, values = self._walk(path)
        if node is None or node.socket is None:
            raise NotFound(f"no socket at {path!r}", code="PATH_NOT_FOUND")
        contract, route, names = node.socket
        return SocketMatch(contract, route, dict(zip(names, values, strict=True)))

    def contract_of(self, path: str) -> Contract | None:
        """The contract whose prefix a path stands under, for the envelope of its errors."""
        best: tuple[int, Contract | None] = (0, None)
        for contract in self._contracts:
            for prefix in contract.prefixes:
                inside = path == prefix or path.startswith(prefix + "/")
                if inside and len(prefix) > best[0]:
                    best = (len(prefix), contract)
        return best[1]

    def _add(self, contract: Contract, prefix: str, route: Route) -> None:
        node, names = self._place(prefix + route.path)
        if route.method in node.methods:
            raise HeadwaterError(f"{route.method} {prefix + route.path} is declared twice")
        node.methods[route.method] = (contract, route, names)
        if not names:
            for ending in ("", "/"):
                self._exact[route.method, prefix + route.path + ending] = Match(contract, route, {})

    def _place(self, path: str) -> tuple[_Node, tuple[str, ...]]:
        node, names = self._root, []
        for segment in path.strip("/").split("/"):
            if segment.startswith("{"):
                if node.wild is None:
                    node.wild = _Node()
                node = node.wild
                names.append(segment[1:-1])
            else:
                node = node.children.setdefault(segment, _Node())
        return node, tuple(names)

    def _walk(self, path: str) -> tuple[_Node | None, list[str]]:
        segments = path[1:].split("/")
        if len(segments) > 1 and segments[-1] == "":
            segments.pop()
        return self._descend(self._root, segments, 0, [])

    def _descend(self, node: _Node, segments: list[str], at: int, values: list[str]) -> tuple[_Node | None, list[str]]:
        if at == len(segments):
            return node, values
        segment = segments[at]
        child = node.children.get(segment)
        if child is not None:
            found, deeper = self._descend(child, segments, at + 1, values)
            if found is not None and (found.methods or found.socket):
                return found, deeper
        if node.wild is None or segment == "":
            return None, values
        return self._descend(node.wild, segments, at + 1, [*values, _decoded(segment)])


def _decoded(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("the path is not UTF-8 when percent-decoded") from None

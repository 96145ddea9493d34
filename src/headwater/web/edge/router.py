"""Finds the route of a path in one tree for all contracts; literal segments take precedence over ``{names}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from headwater.base.errors import HeadwaterError, Malformed, MethodNotAllowed, NotFound, UpgradeRequired
from headwater.base.ids import is_acceptable
from headwater.web.contract import Contract, Route, SocketRoute

_BAD_CODING = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SHOWN_LENGTH = 200


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


class _LastSegment(NamedTuple):
    """A route whose only ``{name}`` is its last segment; it is found by the path before that segment."""

    contract: Contract
    route: Route
    names: tuple[str, ...]
    literals: Mapping[str, object]


class _Segment:
    """A node in the tree of segments."""

    __slots__ = ("children", "methods", "socket", "wild")

    def __init__(self) -> None:
        self.children: dict[str, _Segment] = {}
        self.wild: _Segment | None = None
        self.methods: dict[str, tuple[Contract, Route, tuple[str, ...]]] = {}
        self.socket: tuple[Contract, SocketRoute, tuple[str, ...]] | None = None


class Router:
    """All routes of all contracts under all their prefixes; built once at the start."""

    def __init__(self, contracts: tuple[Contract, ...]) -> None:
        self._root = _Segment()
        self._exact: dict[tuple[str, str], Match] = {}
        self._listed: dict[tuple[str, str], _LastSegment] = {}
        self._contracts = contracts
        for contract in contracts:
            for prefix in contract.prefixes:
                for route in contract.routes:
                    self._add(contract, prefix, route)
                for socket in contract.sockets:
                    node, names = self._place(prefix + socket.path)
                    node.socket = (contract, socket, names)

    def find(self, method: str, path: str) -> Match:
        """Returns the route for a method and a raw (percent-encoded) path; a trailing slash is ignored.

        Raises: NotFound (also for an impossible id), MethodNotAllowed, UpgradeRequired, Malformed (bad
        percent-encoding).
        """
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        parent, _, last = path.rpartition("/")
        listed = self._listed.get((method, parent))
        if listed is not None and last.isascii() and last and "%" not in last and last not in listed.literals:
            return Match(listed.contract, listed.route, _named(listed.names, [last]))
        node, values = self._walk(path)
        if node is None or not node.methods:
            if node is not None and node.socket is not None:
                raise UpgradeRequired("this path is a WebSocket: open it with an Upgrade request")
            raise _nothing_at(path)
        found = node.methods.get(method)
        if found is None:
            allow = _listed(node)
            raise MethodNotAllowed(f"{method} is not allowed here; {allow} is", extra={"allow": allow})
        contract, route, names = found
        return Match(contract, route, _named(names, values))

    def allowed(self, path: str) -> str:
        """Returns the methods of a raw path, as ``Allow`` lists them. Raises: NotFound, Malformed."""
        node, _ = self._walk(path)
        if node is None or (not node.methods and node.socket is None):
            raise _nothing_at(path)
        return _listed(node)

    def has(self, method: str, path: str) -> bool:
        """True when a raw path has a route for a method."""
        node, _ = self._walk(path)
        return node is not None and method in node.methods

    def find_socket(self, path: str) -> SocketMatch:
        """Returns the socket route for a raw path. Raises: NotFound, Malformed."""
        node, values = self._walk(path)
        if node is None or node.socket is None:
            raise _nothing_at(path)
        contract, route, names = node.socket
        return SocketMatch(contract, route, _named(names, values))

    def contract_of(self, path: str) -> Contract | None:
        """Returns the contract with the longest prefix of a path, for the envelope of its errors; None without one."""
        best: tuple[int, Contract | None] = (0, None)
        for contract in self._contracts:
            for prefix in contract.prefixes:
                inside = path == prefix or path.startswith(prefix + "/")
                if inside and len(prefix) > best[0]:
                    best = (len(prefix), contract)
        return best[1]

    def _add(self, contract: Contract, prefix: str, route: Route) -> None:
        node, names = self._place(prefix + route.path)
        parent, _, last = (prefix + route.path).rpartition("/")
        # HEAD uses the route of GET, unless the GET itself changes something.
        for method in ("GET", "HEAD") if route.method == "GET" and route.head else (route.method,):
            if method in node.methods:
                raise HeadwaterError(f"{method} {prefix + route.path} is declared twice")
            node.methods[method] = (contract, route, names)
            if len(names) == 1 and last.startswith("{"):
                self._listed[method, parent] = _LastSegment(contract, route, names, self._place(parent)[0].children)
            if not names:
                for ending in ("", "/"):
                    self._exact[method, prefix + route.path + ending] = Match(contract, route, {})

    def _place(self, path: str) -> tuple[_Segment, tuple[str, ...]]:
        node, names = self._root, []
        for segment in path.strip("/").split("/"):
            if segment.startswith("{"):
                if node.wild is None:
                    node.wild = _Segment()
                node = node.wild
                names.append(segment[1:-1])
            else:
                node = node.children.setdefault(segment, _Segment())
        return node, tuple(names)

    def _walk(self, path: str) -> tuple[_Segment | None, list[str]]:
        segments = path[1:].split("/")
        if len(segments) > 1 and segments[-1] == "":
            segments.pop()
        return self._descend(self._root, segments, 0, [])

    def _descend(
        self, node: _Segment, segments: list[str], at: int, values: list[str]
    ) -> tuple[_Segment | None, list[str]]:
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


def _named(names: tuple[str, ...], values: list[str]) -> dict[str, str]:
    """Returns the path's values by name. Raises: NotFound for an impossible id, as for any unknown one."""
    for value in values:
        if not is_acceptable(value):
            raise NotFound("the path contains an id that no resource can have")
    return dict(zip(names, values, strict=True))


def _listed(node: _Segment) -> str:
    """Returns the methods of a path as Allow lists them; a socket is opened with GET."""
    return ", ".join(sorted({*node.methods, "OPTIONS", *(["GET"] if node.socket else ())}))


def _nothing_at(path: str) -> NotFound:
    return NotFound(f"nothing is served at {path[:_SHOWN_LENGTH]!r}", code="PATH_NOT_FOUND")


def _decoded(segment: str) -> str:
    """Returns a segment without its percent-encoding; raw bytes are read as UTF-8 too."""
    if "%" not in segment and segment.isascii():
        return segment
    if _BAD_CODING.search(segment):
        raise Malformed("the path has a percent sign without two hexadecimal digits")
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the path is not UTF-8 when percent-decoded") from None

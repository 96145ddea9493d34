"""The parts of a door: a contract, its routes with their access rules and shapes, and its WebSockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from headwater.base.errors import HeadwaterError
from headwater.web.access_rule import AccessRule
from headwater.web.call import Call
from headwater.web.errors import PROBLEM_TYPE, Problem
from headwater.web.reply import Reply
from headwater.web.sockets import Socket

Handler = Callable[[Call], Awaitable[Reply]]
SocketHandler = Callable[[Socket], Awaitable[None]]
_READING_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
Envelope = Callable[[HeadwaterError, int, str], Reply]
"""Converts an error, its HTTP status and the request id to the contract's own error answer."""


@dataclass(frozen=True)
class Param:
    """A parameter of a route for the API description; the door itself reads and checks it."""

    name: str
    sentence: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    place: str = "query"


@dataclass(frozen=True)
class Route:
    """One operation. ``path`` is relative to the contract's prefix; ``{name}`` is a variable segment.

    ``body`` and ``answer`` are the shapes (msgspec types) of the request and of the reply; ``example`` and
    ``answer_example`` are the contract's own. ``raw`` leaves the request body unread for the handler to stream.
    ``body_limit`` names the setting that limits the body. ``head`` is False where a GET changes something, so
    that HEAD, which must change nothing, is refused. ``also`` lists further success statuses (204 and 304 have no
    body, the others the same one); ``errors`` adds statuses to those that follow from the other fields. ``media`` is
    the media type of the answer, ``takes`` that of a raw body. ``keyed`` is False for a POST that does not accept an
    Idempotency-Key, ``tagged`` for a route about one resource that has no ETag. ``counted`` is False for a probe,
    which is answered whatever other callers do: it takes no place and spends no rate. ``changes`` states that a GET
    changes something, or that a POST only reads.
    """

    method: str
    path: str
    handler: Handler
    access: AccessRule
    summary: str
    body: Any = None
    answer: Any = None
    status: int = 200
    params: tuple[Param, ...] = ()
    example: Any = None
    answer_example: Any = None
    raw: bool = False
    body_limit: str = "body_bytes"
    errors: tuple[int, ...] = ()
    source: str = ""
    head: bool = True
    also: tuple[int, ...] = ()
    media: str = "application/json"
    keyed: bool = True
    takes: str = "application/octet-stream"
    tagged: bool = True
    counted: bool = True
    changes: bool | None = None

    def __post_init__(self) -> None:
        """Refuses a route that a reading scope would admit to a change. Raises: ValueError."""
        if self.access.scope and self.access.write != self.changes_something:
            needed = "its writing scope" if self.changes_something else "its reading scope alone"
            raise ValueError(f"{self.method} {self.path} must need {needed}")

    @property
    def changes_something(self) -> bool:
        """True where the route changes something: unless stated, every method but GET, HEAD and OPTIONS."""
        return self.method not in _READING_METHODS if self.changes is None else self.changes


@dataclass(frozen=True)
class SocketRoute:
    """One WebSocket; its handler accepts, serves and closes it. ``query_token`` also accepts ``?token=``."""

    path: str
    handler: SocketHandler
    access: AccessRule
    summary: str
    query_token: bool = False


@dataclass(frozen=True)
class Contract:
    """A door: its name, its path prefixes (the first is documented), its routes and its WebSockets.

    ``error_shape`` and ``error_media`` describe the errors that the envelope returns.
    """

    name: str
    title: str
    prefixes: tuple[str, ...]
    routes: tuple[Route, ...]
    envelope: Envelope
    sockets: tuple[SocketRoute, ...] = ()
    source: str = ""
    error_shape: Any = Problem
    error_media: str = PROBLEM_TYPE

"""What a door is made of: routes with their access rule and shapes, under one contract."""

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
Envelope = Callable[[HeadwaterError, int, str], Reply]
"""Turns an error, its HTTP status and the request id into the contract's own error answer."""


@dataclass(frozen=True)
class Param:
    """A query or header parameter, for the API description; the door reads and checks it."""

    name: str
    sentence: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    place: str = "query"


@dataclass(frozen=True)
class Route:
    """One operation. ``path`` is below the contract's prefix, with ``{name}`` for a segment that varies.

    ``body`` and ``answer`` are the shapes (msgspec types) of the request and of the reply; ``example`` and
    ``answer_example`` are the contract's own. ``raw`` leaves the request body unread for the handler to stream.
    ``body_limit`` names the setting that limits the body. ``head`` is False where a GET changes something, so
    that HEAD, which promises to change nothing, is refused. ``also`` names further good statuses (204 and 304
    have no body, the others the same); ``errors`` adds statuses to those that follow from the rest. ``media`` is
    the answer's type, ``takes`` that of a raw body. ``keyed`` is False for a POST that takes no Idempotency-Key,
    ``tagged`` for a route about one resource that has no ETag.
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
    """A door: its name, where it stands (the first prefix is the one that is documented) and what it serves.

    ``error_shape`` and ``error_media`` tell what the envelope makes of an error.
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

"""Who may use a route: the access rule that every route declares."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.identity.roles import Role


@dataclass(frozen=True)
class AccessRule:
    """Who may use a route. Every route has one; the server does not start without it.

    ``scope`` is needed on the token (its ``:read`` half is enough unless ``write``); ``least`` is the lowest
    role; ``public`` lets callers without a token in where ``public_access`` does; ``open`` asks nobody.
    """

    scope: str = ""
    write: bool = False
    least: Role = Role.PEER_MENTOR
    public: bool = False
    open: bool = False

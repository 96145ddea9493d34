"""The access rule that every route declares."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.identity.roles import Role


@dataclass(frozen=True)
class AccessRule:
    """The permissions that a route requires. Every route has a rule; the server does not start without it.

    ``scope`` is the scope that the token needs; its ``:read`` variant is enough unless ``write``. ``least`` is the
    lowest role. ``public`` admits callers without a token where ``public_access`` does. ``open`` admits every caller.
    """

    scope: str = ""
    write: bool = False
    least: Role = Role.PEER_MENTOR
    public: bool = False
    open: bool = False

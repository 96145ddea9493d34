"""Roles, in order, and scopes, with their read-only variants: one model for the vocabularies of five contracts."""

from __future__ import annotations

from enum import IntEnum

SCOPES = ("sync", "contacts", "cache", "terminology", "files", "admin")
"""The scopes of tokens; each also exists with ``:read``, for reading only."""


class Role(IntEnum):
    """The role of a user in the organisation; a higher role includes the lower ones."""

    PEER_MENTOR = 1
    COORDINATOR = 2
    ORG_ADMIN = 3
    GLOBAL_ADMIN = 4

    @property
    def wire(self) -> str:
        """The name of the role in answers and commands."""
        return self.name.lower()


def role_of(name: str) -> Role | None:
    """Returns the role with this wire name, or None."""
    return next((role for role in Role if role.wire == name), None)


def known_scope(scope: str) -> bool:
    """True for a scope that exists, with or without ``:read``."""
    return scope.removesuffix(":read") in SCOPES


def allows(scopes: frozenset[str], scope: str, *, write: bool) -> bool:
    """True when the scopes include this one, for writing or only for reading."""
    return scope in scopes or (not write and scope + ":read" in scopes)

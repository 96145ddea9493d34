"""The caller of a request: organisation, user, role, scopes."""

from __future__ import annotations

from typing import NamedTuple

from headwater.identity.roles import Role

DEFAULT_ORGANISATION = "default"
"""The organisation that the first start creates, and to which callers without a token belong."""


class Principal(NamedTuple):
    """The caller of one request; ``token_id`` is empty for a caller without a token.

    ``feed`` is the number of the organisation's feed, which never changes; 0 where it was not looked up.
    """

    token_id: str
    user_id: str
    organisation: str
    role: Role
    scopes: frozenset[str]
    expires_us: int | None = None
    feed: int = 0

    @property
    def anonymous(self) -> bool:
        """True for a caller without a token, whom ``public_access`` admits."""
        return not self.token_id

    @property
    def sees_all(self) -> bool:
        """True for a global admin, to whom the rows of every organisation are visible."""
        return self.role is Role.GLOBAL_ADMIN and not self.anonymous

    def sees(self, organisation: str) -> bool:
        """True when this organisation's rows are visible to the caller."""
        return organisation == self.organisation or self.sees_all


ANONYMOUS = Principal("", "anonymous", DEFAULT_ORGANISATION, Role.COORDINATOR, frozenset(("contacts", "cache")))
"""The caller without a token, where ``public_access`` admits one."""

"""The organisations that a request may access, determined before its transaction begins."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import NotFound
from headwater.identity import organisations
from headwater.identity.principal import Principal
from headwater.store.database import Transaction


class Scope(NamedTuple):
    """The organisations that a request may access: one, or all.

    ``organisation`` is the one in whose feed it writes; ``known_feed`` is the number of that feed, 0 where it must
    be looked up.
    """

    organisation: str
    reaches_all: bool = False
    known_feed: int = 0

    @classmethod
    def of(cls, principal: Principal) -> Scope:
        """Returns the widest scope of a caller: its own organisation, or all for a global admin."""
        return cls(principal.organisation, principal.sees_all, principal.feed)

    def narrow(self, organisation: str) -> Scope:
        """Returns the scope of one organisation within this one. Raises: NotFound (outside this scope)."""
        if not self.reaches(organisation):
            raise NotFound(f"no organisation {organisation!r}")
        return Scope(organisation, known_feed=self.known_feed if organisation == self.organisation else 0)

    def reaches(self, organisation: str) -> bool:
        """True when the organisation's rows are within this scope."""
        return self.reaches_all or organisation == self.organisation

    def feed(self, tx: Transaction) -> int:
        """Returns the number of the feed in which the request writes. Raises: NotFound (no such organisation)."""
        return self.known_feed or organisations.feed_of(tx, self.organisation)

    def filter(self, tx: Transaction) -> str | None:
        """Returns the organisation to limit a list to; None for all. Raises: NotFound (no such organisation)."""
        if self.reaches_all:
            return None
        self.feed(tx)
        return self.organisation

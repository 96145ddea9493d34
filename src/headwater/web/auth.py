"""Finds the caller of a request and holds it against the route's access rule; deny by default."""

from __future__ import annotations

from headwater.base.clock import SECOND_US, Clock
from headwater.base.errors import Forbidden, Unauthenticated
from headwater.base.settings.table import Settings
from headwater.identity import short_tokens, tokens
from headwater.identity.principal import ANONYMOUS, Principal
from headwater.identity.roles import allows
from headwater.store.database import Database, Transaction
from headwater.web.access_rule import AccessRule
from headwater.web.http.hosts import same_site

_IDENTITY = "SELECT value FROM counters WHERE feed = 0 AND name = 'identity'"
_MAX_CACHED = 10_000
_MAX_KNOWN_BYTES = 128
"""The same token in a header padded with spaces is not remembered: it would let one caller fill the memory."""
_FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via")


class Authenticator:
    """Knows callers by their credentials; a change of any token empties what it remembers, at once."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, jwt_key: bytes) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._jwt_key = jwt_key
        self._known: dict[bytes, Principal] = {}
        self._seen: int | None = -1
        self._lets_public_in = settings.answers_without_token

    def known(self, headers: dict[bytes, bytes], access: AccessRule) -> Principal | None:
        """As ``caller``, when the credentials came before and nothing changed since; else None. Raises: Forbidden."""
        credentials = headers.get(b"authorization")
        if credentials is None or access.open:
            return None
        found = self._remembered(credentials)
        if found is None or (found.expires_us is not None and found.expires_us <= self._clock()):
            return None
        permit(found, access)
        return found

    async def caller(self, headers: dict[bytes, bytes], access: AccessRule) -> Principal:
        """The caller, allowed to use a route with this access rule.

        Raises: Unauthenticated, Forbidden.
        """
        credentials = headers.get(b"authorization")
        if credentials is None:
            if access.open or (access.public and self._public(headers)):
                return ANONYMOUS
            raise Unauthenticated("this needs a token: send 'Authorization: Bearer TOKEN'")
        if access.open:
            return ANONYMOUS
        principal = await self.principal(credentials)
        permit(principal, access)
        return principal

    async def principal(self, credentials: bytes) -> Principal:
        """The caller behind an Authorization header. Raises: Unauthenticated."""
        known = self._remembered(credentials)
        if known is not None and (known.expires_us is None or known.expires_us > self._clock()):
            return known
        scheme, _, text = credentials.decode("latin-1").strip().partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise Unauthenticated("the Authorization header must be 'Bearer TOKEN'")
        if text.count(".") == 2:
            return await self.principal_of_jwt(text)
        if not tokens.well_formed(text):
            raise Unauthenticated("the token is not one of this server's")
        found = await self._database.read(lambda tx: tokens.principal_of_hash(tx, tokens.digest(text), self._clock()))
        if found is None:
            raise Unauthenticated("the token is unknown, revoked or expired")
        if self._database.embedded and len(credentials) <= _MAX_KNOWN_BYTES:
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[credentials] = found
        return found

    async def principal_of_jwt(self, text: str) -> Principal:
        """The caller behind a short-lived JWT, as long as its token is good. Raises: Unauthenticated."""
        token_id = short_tokens.token_id_of(self._jwt_key, text, self._clock() // SECOND_US)
        return await self.still_good(token_id)

    async def anew(self, principal: Principal, headers: dict[bytes, bytes]) -> Principal:
        """A caller that was let in before, as it is now. Raises: Unauthenticated when its token ended."""
        found = self._remembered(headers.get(b"authorization", b""))
        if found is not None and (found.expires_us is None or found.expires_us > self._clock()):
            return found
        return await self.still_good(principal.token_id)

    async def still_good(self, token_id: str) -> Principal:
        """The caller behind a token id, read anew. Raises: Unauthenticated when the token ended."""
        found = await self._database.read(lambda tx: _by_id(tx, token_id, self._clock()))
        if found is None:
            raise Unauthenticated("the token was revoked or has expired")
        return found

    def mint_jwt(self, principal: Principal, at_seconds: int) -> tuple[str, int]:
        """A caller's JWT from an instant, and that of its end (seconds UTC since 1970). Raises: Unauthenticated."""
        if principal.anonymous:
            raise Unauthenticated("a JWT is made from a token: send one")
        lifetime_seconds = self._settings.access.jwt_lifetime_seconds
        text = short_tokens.mint(self._jwt_key, principal.token_id, at_seconds, lifetime_seconds)
        return text, at_seconds + lifetime_seconds

    def _public(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a caller without a token is let in.

        Never a page of another site that somebody's browser shows, and on a loopback bind never one that a proxy on
        this machine passes on.
        """
        if not same_site(headers, self._settings.server.public_url):
            return False
        if self._settings.access.public_access == "on":
            return True
        return self._lets_public_in and not any(name in headers for name in _FORWARDED)

    def _remembered(self, credentials: bytes) -> Principal | None:
        if not self._database.embedded:
            return None
        row = self._database.committed_row(_IDENTITY)
        seen = row[0] if row else 0
        if seen != self._seen:
            self._known.clear()
            self._seen = seen
        return self._known.get(credentials)


def permit(principal: Principal, access: AccessRule) -> None:
    """Hold a caller against an access rule. Raises: Forbidden naming what is missing."""
    if access.scope and not allows(principal.scopes, access.scope, write=access.write):
        raise Forbidden(f"the token lacks the scope {access.scope!r}", extra={"missing": access.scope})
    if principal.role < access.least:
        raise Forbidden(f"this needs the role {access.least.wire!r}; the token's is {principal.role.wire!r}")


def _by_id(tx: Transaction, token_id: str, now_us: int) -> Principal | None:
    return tokens.principal_of_id(tx, token_id, now_us)

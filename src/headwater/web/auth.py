"""Authenticates the caller of a request and checks the route's access rule; denies by default."""

from __future__ import annotations

from headwater.base.clock import SECOND_US, Clock, ExpiryClock
from headwater.base.errors import Forbidden, Unauthenticated
from headwater.base.settings.table import Settings
from headwater.identity import short_tokens, tokens
from headwater.identity.principal import ANONYMOUS, Principal
from headwater.identity.roles import allows
from headwater.store.database import Database, Transaction
from headwater.web.access_rule import AccessRule
from headwater.web.http.hosts import is_forwarded, is_loopback_host, same_site
from headwater.web.http.peer import Peer

_IDENTITY = "SELECT value FROM counters WHERE feed = 0 AND name = 'identity'"
_MAX_CACHED = 10_000
_MAX_KNOWN_BYTES = 128
"""Longer credentials are not cached: a token padded with spaces in many ways would fill the cache."""


class Authenticator:
    """Authenticates callers and caches them by their credentials; a change of any token empties the cache at once."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, jwt_key: bytes) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._expiry = ExpiryClock(clock)
        self._jwt_key = jwt_key
        self._cached: dict[bytes, Principal] = {}
        self._seen: int | None = -1
        self._admits_public = settings.answers_without_token

    def cached(self, headers: dict[bytes, bytes], access: AccessRule) -> Principal | None:
        """Returns the same as ``caller`` for cached credentials, without waiting; else None. Raises: Forbidden."""
        credentials = headers.get(b"authorization")
        if credentials is None or access.open:
            return None
        found = self._from_cache(credentials)
        if found is None or (found.expires_us is not None and found.expires_us <= self._expiry()):
            return None
        permit(found, access)
        return found

    async def caller(self, headers: dict[bytes, bytes], access: AccessRule, peer: Peer | None = None) -> Principal:
        """Returns the caller, who may use a route with this access rule.

        ``peer`` is the other end of the connection; a caller without a token and without a peer is not admitted.
        Raises: Unauthenticated, Forbidden.
        """
        credentials = headers.get(b"authorization")
        if credentials is None:
            if access.open or (access.public and await self._public(headers, peer)):
                return ANONYMOUS
            raise Unauthenticated("this needs a token: send 'Authorization: Bearer TOKEN'")
        if access.open:
            return ANONYMOUS
        principal = await self.principal(credentials)
        permit(principal, access)
        return principal

    async def principal(self, credentials: bytes) -> Principal:
        """Returns the caller of an Authorization header. Raises: Unauthenticated."""
        cached = self._from_cache(credentials)
        if cached is not None and (cached.expires_us is None or cached.expires_us > self._expiry()):
            return cached
        scheme, _, text = credentials.decode("latin-1").strip().partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise Unauthenticated("the Authorization header must be 'Bearer TOKEN'")
        if text.count(".") == 2:
            return await self.principal_of_jwt(text)
        if not tokens.well_formed(text):
            raise Unauthenticated("the token is not one of this server's")
        found = await self._database.read(lambda tx: tokens.principal_of_hash(tx, tokens.digest(text), self._expiry()))
        if found is None:
            raise Unauthenticated("the token is unknown, revoked or expired")
        if self._database.embedded and len(credentials) <= _MAX_KNOWN_BYTES:
            if len(self._cached) >= _MAX_CACHED:
                self._cached.clear()
            self._cached[credentials] = found
        return found

    async def principal_of_jwt(self, text: str) -> Principal:
        """Returns the caller of a short-lived JWT, while its token is valid; it ends with the JWT.

        Raises: Unauthenticated.
        """
        found = short_tokens.represented(self._jwt_key, text, self._clock() // SECOND_US)
        if found.expires_us <= self._expiry():
            raise Unauthenticated("the JWT has expired")
        return _until(await self.principal_of_token(found.token_id), found.expires_us)

    async def refreshed(self, principal: Principal, headers: dict[bytes, bytes]) -> Principal:
        """Returns an earlier caller with its present role and scopes.

        Raises: Unauthenticated when its token ended, or the JWT that it sent.
        """
        if principal.expires_us is not None and principal.expires_us <= self._expiry():
            raise Unauthenticated("the token has expired")
        found = self._from_cache(headers.get(b"authorization", b""))
        if found is not None and (found.expires_us is None or found.expires_us > self._expiry()):
            return found
        return _until(await self.principal_of_token(principal.token_id), principal.expires_us)

    async def principal_of_token(self, token_id: str) -> Principal:
        """Returns the caller of a token id from the database. Raises: Unauthenticated when the token ended."""
        found = await self._database.read(lambda tx: _by_id(tx, token_id, self._expiry()))
        if found is None:
            raise Unauthenticated("the token was revoked or has expired")
        return found

    def mint_jwt(self, principal: Principal, at_seconds: int) -> tuple[str, int]:
        """Returns a JWT for a caller, and its expiry (seconds UTC since 1970). Raises: Unauthenticated."""
        if principal.anonymous:
            raise Unauthenticated("a JWT is issued for a token: send one")
        lifetime_seconds = self._settings.access.jwt_lifetime_seconds
        text = short_tokens.mint(self._jwt_key, principal.token_id, at_seconds, lifetime_seconds)
        return text, at_seconds + lifetime_seconds

    async def _public(self, headers: dict[bytes, bytes], peer: Peer | None) -> bool:
        """True when a caller without a token is admitted.

        Requests from pages of other sites are never admitted. With ``loopback`` a person of this machine is: the
        request names a loopback host, over a loopback address, from a person's account, and through no proxy.
        """
        if not same_site(headers, self._settings.server.public_url):
            return False
        if self._settings.access.public_access == "on":
            return True
        if not self._admits_public or is_forwarded(headers) or not is_loopback_host(headers.get(b"host")):
            return False
        return peer is not None and await peer.is_person()

    def _from_cache(self, credentials: bytes) -> Principal | None:
        if not self._database.embedded:
            return None
        row = self._database.committed_row(_IDENTITY)
        seen = row[0] if row else 0
        if seen != self._seen:
            self._cached.clear()
            self._seen = seen
        return self._cached.get(credentials)


def permit(principal: Principal, access: AccessRule) -> None:
    """Checks a caller against an access rule. Raises: Forbidden naming the missing scope or role."""
    if access.scope and not allows(principal.scopes, access.scope, write=access.write):
        raise Forbidden(f"the token lacks the scope {access.scope!r}", extra={"missing": access.scope})
    if principal.role < access.least:
        raise Forbidden(f"this needs the role {access.least.wire!r}; the token's is {principal.role.wire!r}")


def _until(principal: Principal, ends_us: int | None) -> Principal:
    """The caller, whose credentials expire at the earlier of two times."""
    if ends_us is None or (principal.expires_us is not None and principal.expires_us <= ends_us):
        return principal
    return principal._replace(expires_us=ends_us)


def _by_id(tx: Transaction, token_id: str, now_us: int) -> Principal | None:
    return tokens.principal_of_id(tx, token_id, now_us)

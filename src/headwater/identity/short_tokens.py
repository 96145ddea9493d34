"""Short-lived JWTs minted from a token, for clients that cannot send a header. Source: RFC 8725.

The algorithm, the key id, the issuer and the audience are fixed. A JWT has the permissions of its token, and is
valid no longer than the token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jwt

from headwater.base.clock import SECOND_US
from headwater.base.errors import Unauthenticated

ISSUER = "headwater"
AUDIENCE = "headwater"
LEEWAY_SECONDS = 60
"""The time by which the clock of the server that issued a JWT may be ahead."""

_ALGORITHM = "HS256"
_KEY_ID = "1"
_TYPE = "hw+jwt"


class RepresentedToken(NamedTuple):
    """The token that a JWT represents, and when the JWT expires, in microseconds UTC since 1970."""

    token_id: str
    expires_us: int


def mint(key: bytes, token_id: str, now_seconds: int, lifetime_seconds: int) -> str:
    """Returns a JWT that represents a token until ``now + lifetime``."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": token_id,
        "iat": now_seconds,
        "exp": now_seconds + lifetime_seconds,
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"typ": _TYPE, "kid": _KEY_ID})


def represented(key: bytes, text: str, now_seconds: int) -> RepresentedToken:
    """Returns the token that a JWT represents.

    Raises: Unauthenticated (forged, of another kind, expired, issued in the future).
    """
    try:
        header = jwt.get_unverified_header(text)
        if header.get("kid") != _KEY_ID or header.get("typ") != _TYPE:
            raise jwt.InvalidTokenError("not a JWT of this server")
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=[_ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
        )
        if not isinstance(claims["exp"], int) or claims["exp"] <= now_seconds:
            raise jwt.ExpiredSignatureError("expired")
        if not isinstance(claims["iat"], int) or claims["iat"] > now_seconds + LEEWAY_SECONDS:
            # The clock was set back: until it has caught up, the JWT would be valid longer than it says.
            raise jwt.ImmatureSignatureError("issued in the future")
        return RepresentedToken(str(claims["sub"]), claims["exp"] * SECOND_US)
    except jwt.PyJWTError:
        raise Unauthenticated("the JWT is forged, expired, or not one of this server's") from None

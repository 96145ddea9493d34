"""The organisations that a request reaches, from its token and its query; ``?org_id=`` names one of them."""

from __future__ import annotations

from headwater.identity.scope import Scope
from headwater.web.call import Call


def scope_of(call: Call) -> Scope:
    """The scope of a request: the caller's own, narrowed to the organisation that ``?org_id=`` names.

    Raises: NotFound (another tenant's), Malformed (an unreadable query).
    """
    scope = Scope.of(call.principal)
    named = call.query.get("org_id")
    return scope if named is None else scope.narrow(named)

"""As whom a command of the operator acts where the rules ask who it is: a global admin, who may manage every share."""

from __future__ import annotations

from headwater.base.errors import NotFound
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.identity import tokens
from headwater.identity.principal import DEFAULT_ORGANISATION, Principal
from headwater.identity.roles import Role
from headwater.store.database import Transaction

TOKEN_ID = "command line"  # noqa: S105 - no secret: what stands where a caller's token id would
"""In place of a token's id: without one a caller would be anonymous."""


def operator(tx: Transaction, organisation: str = DEFAULT_ORGANISATION, user_id: str | None = None) -> Principal:
    """A global admin in this organisation: the user that is named, else the oldest global admin's.

    That is the user of the first start's admin token. Raises: NotFound (no such user there).
    """
    found = tokens.read_all(tx)
    admins = [token.user_id for token in found if token.role == Role.GLOBAL_ADMIN.wire]
    if user_id is None:
        user_id = admins[0] if admins else "operator"
    elif user_id not in admins and all(
        (token.user_id, token.organisation) != (user_id, organisation) for token in found
    ):
        raise NotFound(f"no user {user_id!r} in organisation {organisation!r}; 'headwater token list' shows users")
    return Principal(TOKEN_ID, user_id, organisation, Role.GLOBAL_ADMIN, frozenset(("files",)))


def share(tx: Transaction, share_id: str) -> ShareRow:
    """The share with this id, whosever it is. Raises: NotFound."""
    try:
        return access.require(tx, operator(tx), share_id, Access.MANAGE)
    except NotFound as failure:
        hint = "'headwater share list' shows those of this installation, --data or --database names another"
        raise NotFound(f"{failure.detail}; {hint}") from None

"""The principal of an operator's command: a global admin, who may manage every share."""

from __future__ import annotations

from headwater.base.errors import NotFound
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.identity import tokens
from headwater.identity.principal import DEFAULT_ORGANISATION, Principal
from headwater.identity.roles import Role
from headwater.store.database import Transaction

TOKEN_ID = "command line"  # noqa: S105 - no secret: it takes the place of a token's id
"""The token id of an operator's command: a principal without one would be anonymous."""


def operator(tx: Transaction, organisation: str = DEFAULT_ORGANISATION, user_id: str | None = None) -> Principal:
    """A global admin in this organisation: the named user, else the oldest global admin.

    The oldest is the user of the first start's admin token. Raises: NotFound (no such user in the organisation).
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
    """The share with this id, of any owner. Raises: NotFound."""
    try:
        return access.require(tx, operator(tx), share_id, Access.MANAGE)
    except NotFound as failure:
        hint = "'headwater share list' shows those of this installation, --data or --database names another"
        raise NotFound(f"{failure.detail}; {hint}") from None

"""The caller of a request and its device, read once for every door of this contract.

A device belongs to its user: an id that is not of one of the caller's own devices never gets into a change, because its
owner would take the change for its own and pass over it.
"""

from __future__ import annotations

from headwater.contracts.files.devices import rules as device_rules
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.tree.nodes import Actor
from headwater.web.call import Call

DEVICE_HEADER = b"x-device-id"
"""Names the device that changes something, so that it knows its own changes again."""

_MAX_CHARACTERS = 128


def device_of(call: Call, *, first: str | None = None, last: str | None = None) -> str:
    """The id of the acting device as the caller sent it, cut to 128 characters and not checked; empty when unknown.

    A route that also reads it elsewhere passes that as ``first`` (before the header) or ``last`` (after it).
    """
    return (first or call.header(DEVICE_HEADER) or last or "")[:_MAX_CHARACTERS]


def actor_of(tx: Transaction, principal: Principal, device_id: str) -> Actor:
    """The author of a change: the caller, from this device if it is the caller's own, else from none."""
    return Actor(principal.user_id, device_rules.own_id(tx, principal, device_id))

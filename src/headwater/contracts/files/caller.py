"""The caller of a request and its device, read once for every door of this contract."""

from __future__ import annotations

from headwater.store.tree.nodes import Actor
from headwater.web.call import Call

DEVICE_HEADER = b"x-device-id"
"""Names the device that changes something, so that it knows its own changes again."""

_MAX_CHARACTERS = 128


def device_of(call: Call, *, first: str | None = None, last: str | None = None) -> str:
    """The client's id of the acting device, cut to 128 characters; empty when unknown.

    A route that also reads it elsewhere passes that as ``first`` (before the header) or ``last`` (after it).
    """
    device_id = (first or call.header(DEVICE_HEADER) or last or "")[:_MAX_CHARACTERS]
    call.note_device("files", device_id)
    return device_id


def actor_of(call: Call, *, last: str | None = None) -> Actor:
    """The author of a change: the caller, from its device."""
    return Actor(call.principal.user_id, device_of(call, last=last))

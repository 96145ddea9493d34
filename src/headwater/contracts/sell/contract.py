"""The sell contract: Zendesk Sell's Sync API. Source: sell contract."""

from __future__ import annotations

from headwater.contracts.sell import shapes
from headwater.contracts.sell.door import DEVICE_HEADER, SellDoor, envelope
from headwater.feed.kinds import RecordKind
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route
from headwater.web.services import Services

_SYNC = AccessRule("sync", write=True)
_DEVICE = Param(DEVICE_HEADER, "The device's id; it must not change between sessions.",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}, required=True,
                place="header")  # fmt: skip


def build(services: Services) -> Contract:
    """The sell door of one server."""
    door = SellDoor(services)
    routes = (
        Route("POST", "/sync/start", door.start, _SYNC, "Start a sync session", answer=shapes.SessionEnvelope,
              status=201, also=(204,), params=(_DEVICE,), answer_example=shapes.SESSION_EXAMPLE),
        Route("GET", "/sync/{session_id}/queues/{queue}", door.drain, _SYNC, "Get data from a queue",
              answer=shapes.QueuePage, params=(_DEVICE,), answer_example=shapes.PAGE_EXAMPLE, also=(204,),
              head=False, changes=True),
        Route("POST", "/sync/ack", door.ack, _SYNC, "Acknowledge received data", body=shapes.AckRequest, status=202,
              params=(_DEVICE,), example=shapes.ACK_EXAMPLE),
    )  # fmt: skip
    return Contract(
        "sell", "Zendesk Sell Sync", ("/v2",), routes, envelope, source="sell contract",
        error_shape=shapes.Errors, error_media="application/json",
    )  # fmt: skip


BUILDERS = (build,)
KINDS: tuple[RecordKind, ...] = ()

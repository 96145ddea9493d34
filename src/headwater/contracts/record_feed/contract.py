"""The record feed's routes: pull, push, conflicts, nudges. Source: readings, section 8."""

from __future__ import annotations

from headwater.contracts.record_feed import shapes
from headwater.contracts.record_feed.door import RecordFeedDoor
from headwater.feed.kinds import RecordKind
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route, SocketRoute
from headwater.web.errors import problem
from headwater.web.services import Services

_READ = AccessRule("sync")
_WRITE = AccessRule("sync", write=True)
_ORG = Param("org_id", "The organisation, for a global admin.")
_DEVICE = Param(
    "X-Device-Id", "The device that reads; it is listed with its lag, and the cursor that it sends is its ack.",
    {"type": "string", "minLength": 1, "maxLength": 128}, place="header",
)  # fmt: skip
_PAGE = (
    Param("page", "Page number, from 1.", {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 1}),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
)


def build(services: Services) -> Contract:
    """The record feed's door of one server."""
    door = RecordFeedDoor(services)
    limits = services.settings.feed
    routes = (
        Route("GET", "", door.changes, _READ, "Read the feed", answer=shapes.FeedAnswer,
              answer_example=shapes.FEED_EXAMPLE, params=(
                  _ORG,
                  Param("cursor", "Where to go on; leave it out to get the present state first."),
                  Param("limit", "Changes on a page.",
                        {"type": "integer", "minimum": 1, "maximum": limits.page_changes, "default": 1000}),
                  Param("kinds", "Only these kinds, separated by commas; at most 20."),
                  Param("wait", "Seconds to wait for something new.",
                        {"type": "integer", "minimum": 0, "maximum": limits.wait_seconds_max, "default": 0}),
                  _DEVICE,
              )),
        Route("POST", "/push", door.push, _WRITE, "Push edits made offline", body=shapes.Push,
              answer=shapes.PushAnswer, params=(_ORG,), example=shapes.PUSH_EXAMPLE,
              answer_example=shapes.PUSH_ANSWER_EXAMPLE),
        Route("GET", "/conflicts", door.conflicts, _READ, "List conflicts", answer=shapes.ConflictList,
              params=(_ORG, *_PAGE, Param("include_resolved", "Also decided ones.", {"type": "boolean"}))),
        Route("POST", "/conflicts/{id}/resolve", door.resolve, _WRITE, "Resolve a conflict", body=shapes.Resolution,
              answer=shapes.ConflictRecord, params=(_ORG,), example={"take": "server"}),
    )  # fmt: skip
    sockets = (SocketRoute("/ws", door.socket, _READ, "Nudges when the feed moves", query_token=True),)
    return Contract("record-feed", "Record feed", ("/api/v1/feed",), routes, problem, sockets)


BUILDERS = (build,)
KINDS: tuple[RecordKind, ...] = ()

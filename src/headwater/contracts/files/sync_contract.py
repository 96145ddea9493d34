"""The routes of changes, cursors, apply and conflicts. Source: files contract."""

from __future__ import annotations

from headwater.contracts.files.apply import shapes
from headwater.contracts.files.apply.door import ApplyDoor
from headwater.contracts.files.apply.inputs import Strategy
from headwater.contracts.files.changes.door import ChangesDoor
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route
from headwater.web.errors import problem
from headwater.web.services import Services

_READ = AccessRule("files")
_WRITE = AccessRule("files", write=True)
_ANSWERS = [strategy.value for strategy in Strategy if strategy is not Strategy.MANUAL]
_PREFIXES = ("/api/v1/sync",)
_SHARE = Param("share_id", "The share.", required=True)
_DEVICE = Param("device_id", "The device, which must be registered.", required=True)


def build_changes(services: Services) -> Contract:
    """The door of one server where a device reads changes and tells where it stands; reading tokens may."""
    changes = ChangesDoor(services)
    limits = services.settings.feed
    routes = (
        Route("GET", "/changes", changes.changes, _READ, "Fetch changes since a cursor", answer=shapes.ChangesAnswer,
              answer_example=shapes.CHANGES_EXAMPLE, errors=(400, 404), params=(
                  Param("cursor", "Where to go on; `0` gives the whole tree first, none begins now."),
                  Param("share_id", "Only this share; without it every share that you may read."),
                  Param("limit", "Changes on a page.",
                        {"type": "integer", "minimum": 1, "maximum": limits.page_changes, "default": 1000}),
                  Param("wait", "Seconds to wait for something new.",
                        {"type": "integer", "minimum": 0, "maximum": limits.wait_seconds_max, "default": 0}),
              )),
        Route("GET", "/status", changes.status, _READ, "Current cursor position and sync state",
              answer=shapes.SyncStatus, answer_example=shapes.STATUS_EXAMPLE, params=(_SHARE, _DEVICE),
              errors=(404,), head=False),
        Route("POST", "/cursor", changes.cursor, _READ, "Advance the cursor", answer=shapes.CursorSet,
              errors=(400, 404), params=(_SHARE, _DEVICE, Param("position", "A cursor or a position.", required=True))),
    )  # fmt: skip
    return Contract("files-changes", "File sync: changes", _PREFIXES, routes, problem, source="files contract")


def build(services: Services) -> Contract:
    """The door of one server where a device applies changes and conflicts are settled."""
    applying = ApplyDoor(services)
    routes = (
        Route("POST", "/apply", applying.apply, _WRITE, "Apply changes of a device", body=shapes.Apply,
              answer=shapes.ApplyAnswer, example=shapes.APPLY_EXAMPLE, answer_example=shapes.APPLY_ANSWER_EXAMPLE,
              errors=(404, 409)),
        Route("GET", "/conflicts", applying.conflicts, _READ, "List conflicts", answer=list[shapes.Conflict],
              errors=(404,), params=(
                  Param("device_id", "Only this device's."), Param("share_id", "Only this share's."),
                  Param("include_resolved", "Also resolved ones.", {"type": "boolean", "default": False}),
                  Param("limit", "Most conflicts in the answer.",
                        {"type": "integer", "minimum": 1, "maximum": 5000, "default": 1000}),
              )),
        Route("POST", "/conflicts/{conflict_id}/resolve", applying.resolve, _WRITE, "Resolve a conflict",
              answer=shapes.Conflict, answer_example=shapes.CONFLICT_EXAMPLE, errors=(400, 404, 409), params=(
                  Param("resolution", "How.", {"type": "string", "enum": _ANSWERS}, required=True),
              )),
    )  # fmt: skip
    return Contract("files-sync", "File sync", _PREFIXES, routes, problem, source="files contract")

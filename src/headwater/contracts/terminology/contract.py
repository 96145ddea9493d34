"""The terminology contract and its sibling for the labels themselves, each under one name.

Source: terminology contract; readings, section 5.6.
"""

from __future__ import annotations

from headwater.contracts.terminology import shapes
from headwater.contracts.terminology.door import SyncDoor
from headwater.contracts.terminology.labels_door import LabelsDoor
from headwater.feed.kinds import RecordKind
from headwater.identity.roles import Role
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route
from headwater.web.errors import problem
from headwater.web.services import Services

_SCOPE = "terminology"
_SYNC_PREFIX = "/api/v1/terminology-sync"
_LABELS_PREFIX = "/api/v1/terminology"
_ONE = "/{organization_id}"
_ORG = Param("org_id", "Narrow to one organisation that you may see.")
_PAGE = (
    Param("page", "Page number, from 1.", {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 1}),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
)


def build(services: Services) -> Contract:
    """The terminology-sync door of one server."""
    door = SyncDoor(services)
    longest_seconds = services.settings.feed.wait_seconds_max
    wait = {"type": "integer", "minimum": 0, "maximum": longest_seconds, "default": 0}
    coordinator = AccessRule(_SCOPE, least=Role.COORDINATOR)
    coordinator_writes = AccessRule(_SCOPE, write=True, least=Role.COORDINATOR)
    org_admin = AccessRule(_SCOPE, least=Role.ORG_ADMIN)
    org_admin_writes = AccessRule(_SCOPE, write=True, least=Role.ORG_ADMIN)
    global_admin_writes = AccessRule(_SCOPE, write=True, least=Role.GLOBAL_ADMIN)
    routes = (
        Route("GET", "", door.list, org_admin, "List sync state", answer=shapes.SyncStateList, params=(*_PAGE, _ORG),
              answer_example=shapes.LIST_EXAMPLE),
        Route("GET", _ONE, door.get, coordinator, "Fetch an organisation's sync state", answer=shapes.SyncStateDetails,
              answer_example=shapes.DETAILS_EXAMPLE),
        Route("POST", "", door.create, org_admin_writes, "Track an organisation", body=shapes.SyncRecordFields,
              answer=shapes.CreatedSyncRecord, status=201, example=shapes.CREATE_EXAMPLE,
              answer_example=shapes.CREATED_EXAMPLE, errors=(404, 409)),
        Route("PUT", _ONE, door.update, org_admin_writes, "Change the time to live, or reset the last sync",
              body=shapes.SyncRecordChange, answer=shapes.ChangedSyncRecord, example=shapes.CHANGE_EXAMPLE,
              answer_example=shapes.CHANGED_EXAMPLE),
        Route("DELETE", _ONE, door.remove, global_admin_writes, "Stop tracking an organisation",
              answer=shapes.Removed, answer_example=shapes.REMOVED_EXAMPLE),
        Route("POST", _ONE + "/sync-if-stale", door.sync_if_stale, coordinator_writes, "Sync unless fresh",
              answer=shapes.SyncIfStale, answer_example=shapes.SYNC_IF_STALE_EXAMPLE, errors=(502,)),
        Route("POST", _ONE + "/force-sync", door.force_sync, org_admin_writes, "Sync at once",
              answer=shapes.ForcedSync, answer_example=shapes.FORCED_EXAMPLE, errors=(502,)),
        Route("GET", _ONE + "/stale", door.stale, coordinator, "Are the labels stale?", answer=shapes.Staleness,
              params=(Param("wait", "Seconds to wait until they are.", wait),), answer_example=shapes.STALE_EXAMPLE),
    )  # fmt: skip
    prefixes = (_SYNC_PREFIX, _SYNC_PREFIX + _SYNC_PREFIX)
    return Contract("terminology", "Terminology Sync Service", prefixes, routes, problem, source="terminology contract")


def build_labels(services: Services) -> Contract:
    """The door of the labels themselves, which the contract leaves out."""
    door = LabelsDoor(services)
    read = AccessRule(_SCOPE)
    org_admin_writes = AccessRule(_SCOPE, write=True, least=Role.ORG_ADMIN)
    global_admin = AccessRule(_SCOPE, least=Role.GLOBAL_ADMIN)
    global_admin_writes = AccessRule(_SCOPE, write=True, least=Role.GLOBAL_ADMIN)
    routes = (
        Route("GET", "", door.list, read, "List organisations with labels", answer=shapes.LabelSummaryList,
              params=(*_PAGE, _ORG)),
        Route("GET", _ONE, door.get, read, "Fetch an organisation's labels", answer=shapes.LabelSet),
        Route("POST", "", door.create, org_admin_writes, "Keep an organisation's labels here", body=shapes.LabelsBody,
              answer=shapes.CreatedLabels, status=201, example=shapes.LABELS_EXAMPLE, errors=(404, 409)),
        Route("PUT", _ONE, door.update, org_admin_writes, "Change labels", body=shapes.LabelsChangeBody,
              answer=shapes.ChangedLabels, example=shapes.LABELS_CHANGE_EXAMPLE, errors=(409,)),
        Route("DELETE", _ONE, door.remove, global_admin_writes, "Drop an organisation's labels",
              answer=shapes.Removed, errors=(409,)),
        Route("GET", _ONE + "/source", door.source, global_admin, "Where do the labels come from?",
              answer=shapes.SourceShown),
        Route("PUT", _ONE + "/source", door.name_source, global_admin_writes, "Name where the labels come from",
              body=shapes.SourceFields, answer=shapes.SourceShown, example=shapes.SOURCE_EXAMPLE, errors=(409,)),
    )  # fmt: skip
    prefixes = (_LABELS_PREFIX, _LABELS_PREFIX + _LABELS_PREFIX)
    return Contract("terminology-labels", "Terminology", prefixes, routes, problem)


BUILDERS = (build, build_labels)
KINDS: tuple[RecordKind, ...] = ()

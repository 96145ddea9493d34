"""Every route of the files contract and of what it leaves to its sibling pages. Source: files contract; readings 7."""

from __future__ import annotations

from headwater.contracts.files.apply import shapes as apply_shapes
from headwater.contracts.files.apply.door import ApplyDoor
from headwater.contracts.files.apply.inputs import Strategy
from headwater.contracts.files.changes import shapes as change_shapes
from headwater.contracts.files.changes.door import ChangesDoor
from headwater.contracts.files.content import FRAMES_MEDIA
from headwater.contracts.files.devices import shapes as device_shapes
from headwater.contracts.files.devices.door import DeviceDoor
from headwater.contracts.files.downloads import shapes as download_shapes
from headwater.contracts.files.downloads.door import DownloadDoor
from headwater.contracts.files.packed import shapes as packed_shapes
from headwater.contracts.files.packed.door import PackedDoor
from headwater.contracts.files.retention import shapes as retention_shapes
from headwater.contracts.files.retention.door import RetentionDoor
from headwater.contracts.files.shares import shapes as share_shapes
from headwater.contracts.files.shares.door import ShareDoor
from headwater.contracts.files.tree import shapes as tree_shapes
from headwater.contracts.files.tree.door import TreeDoor
from headwater.contracts.files.uploads import shapes as upload_shapes
from headwater.contracts.files.uploads.door import UploadDoor
from headwater.feed.kinds import RecordKind
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route, SocketRoute
from headwater.web.errors import problem
from headwater.web.services import Services

_READ = AccessRule("files")
_WRITE = AccessRule("files", write=True)
_UPLOAD = "/{upload_id}"
_PACKED = (
    Param("share_id", "The share.", required=True),
    Param("stage", "`true` stages the versions and makes no files.", {"type": "boolean", "default": False}),
    Param("device_id", "The device that uploads."),
)
_TUS = (
    Param("Tus-Resumable", "The version of tus.", {"type": "string", "enum": ["1.0.0"]}, required=True, place="header"),
    Param("Upload-Offset", "The offset of the first byte in this request.", {"type": "integer", "minimum": 0,
          "maximum": 2**62}, required=True,
          place="header"),
)  # fmt: skip
_VERSION = Param("version", "A version's number or id; without it the current one.")
_NODE = "/{share_id}/nodes/{node_id}"
_PAGE = (
    Param("cursor", "The cursor of the page before."),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
)
_ANSWERS = [strategy.value for strategy in Strategy if strategy is not Strategy.MANUAL]
_PREFIXES = ("/api/v1/sync",)
_SHARE = Param("share_id", "The share.", required=True)
_DEVICE = Param("device_id", "The device, which must be registered.", required=True)


def build_shares(services: Services) -> Contract:
    """The share door of one server."""
    door, tree, retention = ShareDoor(), TreeDoor(services), RetentionDoor(services)
    routes = (
        Route("GET", "", door.list, _READ, "List shares", answer=share_shapes.ShareList),
        Route("POST", "", door.create, _WRITE, "Create a share", body=share_shapes.ShareFields,
              answer=share_shapes.ShareAnswer,
              status=201, example=share_shapes.SHARE_EXAMPLE),
        Route("GET", "/{share_id}", door.get, _READ, "Fetch a share", answer=share_shapes.ShareAnswer),
        Route("PATCH", "/{share_id}", door.change, _WRITE, "Change a share", body=share_shapes.SharePatch,
              answer=share_shapes.ShareAnswer, example=share_shapes.SHARE_EXAMPLE),
        Route("DELETE", "/{share_id}", door.delete, _WRITE, "Delete a share", status=204),
        Route("GET", "/{share_id}/members", door.members, _READ, "List members", answer=share_shapes.Members),
        Route("PUT", "/{share_id}/members", door.set_members, _WRITE, "Replace the members", body=share_shapes.Members,
              answer=share_shapes.Members, example=share_shapes.MEMBERS_EXAMPLE),
        Route("GET", "/{share_id}/children", tree.children, _READ, "List a folder", answer=tree_shapes.NodePage,
              params=(*_PAGE, Param("folder_id", "The folder."), Param("path", "The folder's path."))),
        Route("GET", "/{share_id}/trash", tree.trash, _READ, "List the trash", answer=tree_shapes.NodePage,
              params=_PAGE),
        Route("DELETE", "/{share_id}/trash", retention.empty, _WRITE, "Empty the trash",
              answer=retention_shapes.EmptiedTrash, tagged=False, params=(
                  Param("older_than_seconds", "Only what has been in the trash for longer.",
                        {"type": "integer", "minimum": 0, "maximum": retention_shapes.YEARS_SECONDS, "default": 0}),
              )),
        Route("DELETE", "/{share_id}/trash/{node_id}", retention.remove, _WRITE, "Remove one thing from the trash",
              answer=retention_shapes.EmptiedTrash, errors=(409,), tagged=False),
        Route("POST", "/{share_id}/versions/prune", retention.prune, _WRITE, "Remove old versions",
              body=retention_shapes.PruneFields, answer=retention_shapes.PrunedHistory,
              example=retention_shapes.PRUNE_EXAMPLE),
        Route("POST", "/{share_id}/folders", tree.create_folder, _WRITE, "Create a folder",
              body=tree_shapes.FolderFields,
              answer=tree_shapes.NodeAnswer, status=201, example=tree_shapes.FOLDER_EXAMPLE, errors=(409,)),
        Route("GET", "/{share_id}/node", tree.node_at, _READ, "Find a file or folder by its path",
              answer=tree_shapes.NodeAnswer, params=(Param("path", "Its path.", required=True),)),
        Route("GET", _NODE, tree.node, _READ, "Fetch a file or folder", answer=tree_shapes.NodeAnswer),
        Route("PATCH", _NODE, tree.place, _WRITE, "Rename or move a file or folder", body=tree_shapes.Placement,
              answer=tree_shapes.NodeAnswer, example=tree_shapes.PLACEMENT_EXAMPLE, errors=(409, 413, 507)),
        Route("DELETE", _NODE, tree.remove, _WRITE, "Put a file or folder into the trash",
              answer=tree_shapes.NodeAnswer),
        Route("POST", _NODE + "/restore", tree.restore, _WRITE, "Restore from the trash", body=tree_shapes.Placement,
              answer=tree_shapes.NodeAnswer, example=tree_shapes.PLACEMENT_EXAMPLE, errors=(409,)),
        Route("GET", _NODE + "/versions", tree.versions, _READ, "List versions", answer=tree_shapes.VersionPage,
              params=(Param("before", "Only lower numbers.", {"type": "integer", "minimum": 1}), _PAGE[1])),
        Route("POST", _NODE + "/versions/{version_id}/restore", tree.restore_version, _WRITE, "Restore a version",
              answer=tree_shapes.NodeAnswer, errors=(409, 507)),
    )  # fmt: skip
    return Contract("files-shares", "Shares", ("/api/v1/shares",), routes, problem, source="readings, section 7")


def build_devices(services: Services) -> Contract:
    """The device door of one server."""
    door = DeviceDoor(services)
    routes = (
        Route("GET", "/devices", door.list, _READ, "List your devices", answer=list[device_shapes.FileDevice]),
        Route("POST", "/devices", door.register, _WRITE, "Register a device", body=device_shapes.DeviceFields,
              answer=device_shapes.FileDevice, status=201, also=(200,), errors=(409,),
              example=device_shapes.REGISTER_EXAMPLE, answer_example=device_shapes.DEVICE_EXAMPLE),
        Route("PATCH", "/devices/{device_id}", door.change, _WRITE, "Change a device", body=device_shapes.DevicePatch,
              answer=device_shapes.FileDevice, example={"device_name": "old laptop"}, tagged=False),
        Route("DELETE", "/devices/{device_id}", door.remove, _WRITE, "Remove a device", status=204,
              tagged=False),
        Route("POST", "/devices/{device_id}/heartbeat", door.heartbeat, _WRITE, "Record device activity", status=204),
        Route("GET", "/devices/{device_id}/preferences", door.preferences, _READ, "List sync preferences",
              answer=device_shapes.Preferences, answer_example=device_shapes.PREFERENCES_EXAMPLE),
        Route("PUT", "/devices/{device_id}/preferences", door.set_preferences, _WRITE, "Set several preferences",
              body=device_shapes.PreferenceList, answer=device_shapes.Preferences,
              example=device_shapes.PREFERENCES_EXAMPLE),
        Route("PUT", "/devices/{device_id}/preferences/{share_id}", door.set_preference, _WRITE, "Set a preference",
              body=device_shapes.PreferenceFields, answer=device_shapes.Preference,
              example=device_shapes.PREFERENCE_EXAMPLE, tagged=False),
    )  # fmt: skip
    summary = "Sync nudges for a device, once it sent its subscribe frame"
    sockets = (SocketRoute("/ws/{device_id}", door.socket, _READ, summary, query_token=True),)
    return Contract(
        "files-devices", "Devices of file sync", ("/api/v1/sync",), routes, problem, sockets, source="files contract"
    )


def build_uploads(services: Services) -> Contract:
    """The upload door of one server."""
    door = UploadDoor(services)
    packed = PackedDoor(services)
    part_params = (
        Param("chunk", "Its number, from 0.", {"type": "integer", "minimum": 0}, place="path"),
        Param("blake3", "The BLAKE3 of the chunk, in hexadecimal, to be compared."),
    )
    routes = (
        Route("OPTIONS", "", door.options, AccessRule(open=True), "Say what of tus is spoken", status=204),
        Route("POST", "", door.begin, _WRITE, "Begin an upload", body=upload_shapes.UploadFields,
              answer=upload_shapes.UploadAnswer,
              status=201, example=upload_shapes.UPLOAD_EXAMPLE, raw=True, errors=(404, 409, 413, 507)),
        Route("POST", "/check", door.check, _WRITE, "Ask which chunks to send", body=upload_shapes.CheckFields,
              answer=upload_shapes.CheckAnswer, example=upload_shapes.CHECK_EXAMPLE, errors=(404,), keyed=False),
        Route("POST", "/packed", packed.upload, _WRITE, "Upload many files in one stream",
              answer=packed_shapes.PackedAnswer,
              params=_PACKED, raw=True, errors=(404, 413, 507), takes=FRAMES_MEDIA.decode()),
        Route("GET", _UPLOAD, door.progress, _READ, "Look how far an upload is", answer=upload_shapes.UploadProgress,
              errors=(410,), tagged=False),
        Route("PATCH", _UPLOAD, door.patch, _WRITE, "Send the next bytes (tus)", status=204, raw=True,
              params=_TUS, errors=(409, 410, 412, 413, 507), takes="application/offset+octet-stream",
              tagged=False),
        Route("DELETE", _UPLOAD, door.remove, _WRITE, "Give an upload up", status=204, errors=(410,),
              tagged=False),
        Route("PUT", _UPLOAD + "/chunks/{chunk}", door.put_part, _WRITE, "Send a chunk",
              answer=upload_shapes.PartAnswer,
              params=part_params, raw=True, errors=(409, 410, 507), tagged=False),
        Route("POST", _UPLOAD + "/complete", door.complete, _WRITE, "Complete an upload",
              answer=upload_shapes.StagedAnswer,
              errors=(409, 410)),
    )  # fmt: skip
    return Contract("files-uploads", "Uploads", ("/api/v1/uploads",), routes, problem, source="readings, section 7")


def build_batches(services: Services) -> Contract:
    """The door of batch downloads of one server."""
    door = DownloadDoor(services)
    routes = (
        Route("POST", "/batch", door.batch, _READ, "Download many files in one stream", changes=False,
              body=download_shapes.BatchFields,
              example=download_shapes.BATCH_EXAMPLE, media=FRAMES_MEDIA.decode(), errors=(404, 413), keyed=False),
    )  # fmt: skip
    return Contract(
        "files-batches", "Batch downloads", ("/api/v1/downloads",), routes, problem, source="readings, section 7"
    )


def build_downloads(services: Services) -> Contract:
    """The download door of one server, as the files contract has it."""
    door = DownloadDoor(services)
    params = (
        _VERSION,
        Param("range_start", "First byte, from 0.", {"type": "integer", "minimum": 0}),
        Param("range_end", "Last byte, included.", {"type": "integer", "minimum": 0}),
        Param("checksum", "`sha256` computes the checksum if none is stored."),
    )
    routes = (
        Route("GET", "/download/{file_id}", door.download, _READ, "Download a file, or a conflict's bytes",
              params=params, also=(206, 304), errors=(416,), media="application/octet-stream"),
        Route("GET", "/download/{file_id}/chunks", door.manifest, _READ, "List the chunks of a version",
              answer=download_shapes.Manifest, params=(_VERSION,)),
    )  # fmt: skip
    return Contract("files-downloads", "Downloads", ("/api/v1/sync",), routes, problem, source="files contract")


def build_changes(services: Services) -> Contract:
    """The door through which a device reads changes and reports its position; a ``:read`` token suffices."""
    changes = ChangesDoor(services)
    limits = services.settings.feed
    routes = (
        Route("GET", "/changes", changes.changes, _READ, "Fetch changes since a cursor",
              answer=change_shapes.ChangesAnswer,
              answer_example=change_shapes.CHANGES_EXAMPLE, errors=(400, 404), params=(
                  Param("cursor", "The cursor to continue from; `0` sends the whole tree first; without one,"
                        " reading begins now."),
                  Param("share_id", "Only this share; without it every share that you may read."),
                  Param("limit", "Changes on a page.",
                        {"type": "integer", "minimum": 1, "maximum": limits.page_changes, "default": 1000}),
                  Param("wait", "Seconds to wait for something new.",
                        {"type": "integer", "minimum": 0, "maximum": limits.wait_seconds_max, "default": 0}),
              )),
        Route("GET", "/status", changes.status, _READ, "Current cursor position and sync state",
              answer=change_shapes.SyncStatus, answer_example=change_shapes.STATUS_EXAMPLE, params=(_SHARE, _DEVICE),
              errors=(404,), head=False),
        Route("POST", "/cursor", changes.cursor, _WRITE, "Advance the cursor", answer=change_shapes.CursorSet,
              errors=(400, 404), params=(_SHARE, _DEVICE, Param("position", "A cursor or a position.", required=True))),
    )  # fmt: skip
    return Contract("files-changes", "File sync: changes", _PREFIXES, routes, problem, source="files contract")


def build_apply(services: Services) -> Contract:
    """The door of one server where a device applies changes and conflicts are settled."""
    applying = ApplyDoor(services)
    routes = (
        Route("POST", "/apply", applying.apply, _WRITE, "Apply changes of a device", body=apply_shapes.Apply,
              answer=apply_shapes.ApplyAnswer, example=apply_shapes.APPLY_EXAMPLE,
              answer_example=apply_shapes.APPLY_ANSWER_EXAMPLE,
              errors=(404, 409)),
        Route("GET", "/conflicts", applying.conflicts, _READ, "List conflicts", answer=list[apply_shapes.FileConflict],
              errors=(404,), params=(
                  Param("device_id", "Only this device's."), Param("share_id", "Only this share's."),
                  Param("include_resolved", "Also resolved ones.", {"type": "boolean", "default": False}),
                  Param("limit", "Most conflicts in the answer.",
                        {"type": "integer", "minimum": 1, "maximum": 5000, "default": 1000}),
              )),
        Route("POST", "/conflicts/{conflict_id}/resolve", applying.resolve, _WRITE, "Resolve a conflict",
              answer=apply_shapes.FileConflict, answer_example=apply_shapes.CONFLICT_EXAMPLE, errors=(400, 404, 409),
              params=(
                  Param("resolution", "How.", {"type": "string", "enum": _ANSWERS}, required=True),
              )),
    )  # fmt: skip
    return Contract("files-sync", "File sync", _PREFIXES, routes, problem, source="files contract")


BUILDERS = (
    build_batches,
    build_devices,
    build_downloads,
    build_uploads,
    build_shares,
    build_changes,
    build_apply,
)
"""The doors of this contract, in the order in which the API's description lists them."""
KINDS: tuple[RecordKind, ...] = ()

"""The routes of content: uploads, downloads. Source: files contract; readings, section 7, "Content", "Download"."""

from __future__ import annotations

import asyncio

from headwater.contracts.files.downloads.door import DownloadDoor
from headwater.contracts.files.packed.door import MEDIA, PackedDoor
from headwater.contracts.files.uploads import shapes
from headwater.contracts.files.uploads.door import UploadDoor
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route
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
    Param("Upload-Offset", "Where the bytes go on.", {"type": "integer", "minimum": 0, "maximum": 2**62}, required=True,
          place="header"),
)  # fmt: skip
_VERSION = Param("version", "A version's number or id; without it the current one.")


def build_uploads(services: Services) -> Contract:
    """The upload door of one server."""
    gate = asyncio.Semaphore(services.settings.files.uploads_at_once)
    door = UploadDoor(services, gate)
    packed = PackedDoor(services, gate)
    part_params = (
        Param("chunk", "Its number, from 0.", {"type": "integer", "minimum": 0}, place="path"),
        Param("blake3", "The BLAKE3 of the chunk, in hexadecimal, to be compared."),
    )
    routes = (
        Route("OPTIONS", "", door.options, AccessRule(open=True), "Say what of tus is spoken", status=204),
        Route("POST", "", door.begin, _WRITE, "Begin an upload", body=shapes.UploadFields, answer=shapes.UploadAnswer,
              status=201, example=shapes.UPLOAD_EXAMPLE, raw=True, errors=(404, 409, 413, 507)),
        Route("POST", "/check", door.check, _WRITE, "Ask which chunks to send", body=shapes.CheckFields,
              answer=shapes.CheckAnswer, example=shapes.CHECK_EXAMPLE, errors=(404,), keyed=False),
        Route("POST", "/packed", packed.upload, _WRITE, "Upload many files in one stream", answer=shapes.PackedAnswer,
              params=_PACKED, raw=True, errors=(404, 413, 507), takes=MEDIA.decode()),
        Route("GET", _UPLOAD, door.progress, _READ, "Look how far an upload is", answer=shapes.UploadProgress,
              errors=(410,), tagged=False),
        Route("PATCH", _UPLOAD, door.patch, _WRITE, "Send the next bytes (tus)", status=204, raw=True,
              params=_TUS, errors=(409, 410, 412, 413, 507), takes="application/offset+octet-stream",
              tagged=False),
        Route("DELETE", _UPLOAD, door.remove, _WRITE, "Give an upload up", status=204, errors=(410,),
              tagged=False),
        Route("PUT", _UPLOAD + "/chunks/{chunk}", door.put_part, _WRITE, "Send a chunk", answer=shapes.PartAnswer,
              params=part_params, raw=True, errors=(409, 410, 507), tagged=False),
        Route("POST", _UPLOAD + "/complete", door.complete, _WRITE, "Complete an upload", answer=shapes.StagedAnswer,
              errors=(409, 410)),
    )  # fmt: skip
    return Contract("files-uploads", "Uploads", ("/api/v1/uploads",), routes, problem, source="readings, section 7")


def build_batches(services: Services) -> Contract:
    """The door of batch downloads of one server."""
    door = PackedDoor(services, asyncio.Semaphore(services.settings.files.uploads_at_once))
    routes = (
        Route("POST", "/batch", door.download, _READ, "Download many files in one stream", body=shapes.BatchFields,
              example=shapes.BATCH_EXAMPLE, media=MEDIA.decode(), errors=(404, 413), keyed=False),
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
        Param("checksum", "`sha256` works out the checksum if nobody gave it."),
    )
    routes = (
        Route("GET", "/download/{file_id}", door.download, _READ, "Download a file, or a conflict's bytes",
              params=params, also=(206, 304), errors=(416,), media="application/octet-stream"),
        Route("GET", "/download/{file_id}/chunks", door.manifest, _READ, "List the chunks of a version",
              answer=shapes.Manifest, params=(_VERSION,)),
    )  # fmt: skip
    return Contract("files-downloads", "Downloads", ("/api/v1/sync",), routes, problem, source="files contract")

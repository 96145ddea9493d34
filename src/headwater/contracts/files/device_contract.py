"""The routes of devices, preferences and the socket. Source: files contract."""

from __future__ import annotations

from headwater.contracts.files.devices import shapes
from headwater.contracts.files.devices.door import DeviceDoor
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Route, SocketRoute
from headwater.web.errors import problem
from headwater.web.services import Services

_READ = AccessRule("files")


def build(services: Services) -> Contract:
    """The device door of one server."""
    door = DeviceDoor(services)
    routes = (
        Route("GET", "/devices", door.list, _READ, "List your devices", answer=list[shapes.Device]),
        Route("POST", "/devices", door.register, _READ, "Register a device", body=shapes.DeviceFields,
              answer=shapes.Device, status=201, also=(200,), errors=(409,),
              example=shapes.REGISTER_EXAMPLE, answer_example=shapes.DEVICE_EXAMPLE),
        Route("PATCH", "/devices/{device_id}", door.change, _READ, "Change a device", body=shapes.DevicePatch,
              answer=shapes.Device, example={"device_name": "old laptop"}, tagged=False),
        Route("DELETE", "/devices/{device_id}", door.remove, _READ, "Remove a device", status=204,
              tagged=False),
        Route("POST", "/devices/{device_id}/heartbeat", door.heartbeat, _READ, "Record device activity", status=204),
        Route("GET", "/devices/{device_id}/preferences", door.preferences, _READ, "List sync preferences",
              answer=shapes.Preferences, answer_example=shapes.PREFERENCES_EXAMPLE),
        Route("PUT", "/devices/{device_id}/preferences", door.set_preferences, _READ, "Set several preferences",
              body=shapes.PreferenceList, answer=shapes.Preferences, example=shapes.PREFERENCES_EXAMPLE),
        Route("PUT", "/devices/{device_id}/preferences/{share_id}", door.set_preference, _READ, "Set a preference",
              body=shapes.PreferenceFields, answer=shapes.Preference, example=shapes.PREFERENCE_EXAMPLE, tagged=False),
    )  # fmt: skip
    summary = "Sync nudges for a device, once it sent its subscribe frame"
    sockets = (SocketRoute("/ws/{device_id}", door.socket, _READ, summary, query_token=True),)
    return Contract(
        "files-devices", "Devices of file sync", ("/api/v1/sync",), routes, problem, sockets, source="files contract"
    )

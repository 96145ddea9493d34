"""Requests and replies about devices and their preferences. Source: files contract, "Devices", "Sync preferences"."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Id = Annotated[str, Meta(min_length=1, max_length=128)]
DeviceName = Annotated[str, Meta(min_length=1, max_length=200)]
SemVer = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$",
        extra={"form": "a version like 1.2.3"},
    ),
]
FolderPaths = Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=10_000)]


class DeviceFields(msgspec.Struct, gc=False, kw_only=True):
    """A device to register."""

    device_id: Id
    platform: Literal["windows", "macos", "linux", "ios", "android", "web", "cli"]
    device_name: DeviceName | None = None
    client_version: SemVer = "0.0.0"


class DevicePatch(msgspec.Struct, gc=False, kw_only=True):
    """The fields of a device that may change; an absent one stays."""

    device_name: DeviceName | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class FileDevice(msgspec.Struct, gc=False):
    """A device of the caller."""

    id: str
    device_id: str
    device_name: str
    platform: str
    client_version: str
    is_active: bool
    last_seen_at: str
    created_at: str


class PreferenceFields(msgspec.Struct, gc=False, kw_only=True):
    """The fields of a preference that may change; an absent one stays."""

    sync_enabled: bool | UnsetType = UNSET
    selected_folders: FolderPaths | UnsetType = UNSET
    excluded_folders: FolderPaths | UnsetType = UNSET


class NamedPreference(PreferenceFields, gc=False, kw_only=True):
    """The preference of a device for the share that it names."""

    share_id: Id


class PreferenceList(msgspec.Struct, gc=False):
    """Preferences to set at once: all or none."""

    preferences: Annotated[list[NamedPreference], Meta(max_length=1000)]


class Preference(msgspec.Struct, gc=False):
    """The preference of a device for one share; no selected folder means all of them."""

    share_id: str
    sync_enabled: bool
    selected_folders: list[str]
    excluded_folders: list[str]


class Preferences(msgspec.Struct, gc=False):
    """All preferences of a device."""

    preferences: list[Preference]


read_device = msgspec.json.Decoder(DeviceFields)
read_patch = msgspec.json.Decoder(DevicePatch)
read_preference = msgspec.json.Decoder(PreferenceFields)
read_preferences = msgspec.json.Decoder(PreferenceList)
read_folders = msgspec.json.Decoder(list[str])

REGISTER_EXAMPLE: dict[str, Any] = {
    "device_id": "0b6f7b7e-0d2c-4f0e-9d6b-3f1f0a7c1c11",
    "device_name": "laptop",
    "platform": "linux",
    "client_version": "1.0.0",
}
DEVICE_EXAMPLE: dict[str, Any] = {
    "id": "dev_1",
    **REGISTER_EXAMPLE,
    "is_active": True,
    "last_seen_at": "2026-01-02T03:04:05Z",
    "created_at": "2026-01-02T03:04:05Z",
}
PREFERENCE_EXAMPLE: dict[str, Any] = {
    "sync_enabled": True,
    "selected_folders": ["/Docs"],
    "excluded_folders": ["/Docs/old"],
}
PREFERENCES_EXAMPLE: dict[str, Any] = {"preferences": [{"share_id": "shr_1", **PREFERENCE_EXAMPLE}]}

"""The decisions about devices and their preferences: the owner of a device, and its folders of each share.

Source: files contract, "Devices" and "Sync preferences"; readings "Devices".
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import UNSET

from headwater.base.clock import SECOND_US
from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.base.ids import is_acceptable, random_id
from headwater.base.wire import encode, format_seconds
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.devices.preferences import stored_folders
from headwater.contracts.files.devices.shapes import (
    DeviceFields,
    DevicePatch,
    FileDevice,
    NamedPreference,
    Preference,
    PreferenceFields,
    read_folders,
)
from headwater.contracts.files.names import NamePolicy
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.log import feeds

HEARTBEAT_US = 10 * SECOND_US
"""A device that was seen less than this ago is not written anew."""

_COLUMNS = "id, device_id, device_name, platform, client_version, is_active, last_seen_us, created_us, user_id"


class DeviceRow(NamedTuple):
    """A registered device; times in microseconds UTC since 1970."""

    id: str
    device_id: str
    device_name: str
    platform: str
    client_version: str
    is_active: int
    last_seen_us: int
    created_us: int
    user_id: str

    def shown(self) -> FileDevice:
        """The device as it goes out."""
        return FileDevice(
            self.id,
            self.device_id,
            self.device_name,
            self.platform,
            self.client_version,
            bool(self.is_active),
            format_seconds(self.last_seen_us),
            format_seconds(self.created_us),
        )


def of_caller(tx: Transaction, principal: Principal) -> list[DeviceRow]:
    """The caller's devices, by the time of their registration."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM devices WHERE organisation = ? AND door = 'files' AND user_id = ?"
        " ORDER BY created_us, device_id",
        principal.organisation,
        principal.user_id,
    )
    return [DeviceRow(*row) for row in rows]


def find(tx: Transaction, principal: Principal, device_id: str) -> DeviceRow:
    """The caller's device with this id, the client's own or ours. Raises: NotFound (unknown, removed, another's)."""
    for column in ("device_id", "id"):
        row = tx.row(
            f"SELECT {_COLUMNS} FROM devices WHERE organisation = ? AND door = 'files' AND {column} = ?",
            principal.organisation,
            device_id,
        )
        if row is not None and row[8] == principal.user_id:
            return DeviceRow(*row)
    raise NotFound(f"no device {device_id!r}")


def own_id(tx: Transaction, principal: Principal, device_id: str) -> str:
    """The client's id of this device if the caller registered it, else empty: a change then names no device.

    Under another user's id the change would pass for an echo there, and that device would ignore it.
    """
    try:
        return find(tx, principal, device_id).device_id if device_id else ""
    except NotFound:
        return ""


def register(tx: Transaction, principal: Principal, fields: DeviceFields) -> tuple[DeviceRow, bool]:
    """Registers a device, or renews what is stored of it; True when it is new.

    Raises: StateConflict (the id belongs to another user), Invalid.
    """
    if not is_acceptable(fields.device_id):
        raise Invalid.of("device_id", "incorrect_value", "must have 1-128 printable characters")
    owner = tx.value(
        "SELECT user_id FROM devices WHERE organisation = ? AND door = 'files' AND device_id = ?",
        principal.organisation,
        fields.device_id,
    )
    if owner is not None and owner != principal.user_id:
        raise StateConflict("a device with this id is registered by another user")
    name = fields.device_name or fields.device_id
    tx.run(
        "INSERT INTO devices (organisation, door, device_id, id, user_id, device_name, platform, client_version,"
        " is_active, last_seen_us, created_us) VALUES (?, 'files', ?, ?, ?, ?, ?, ?, 1, ?, ?)"
        " ON CONFLICT (organisation, door, device_id) DO UPDATE SET device_name = excluded.device_name,"
        " platform = excluded.platform, client_version = excluded.client_version, is_active = 1,"
        " last_seen_us = excluded.last_seen_us",
        principal.organisation, fields.device_id, random_id("dev", 16), principal.user_id, name, fields.platform,
        fields.client_version, tx.now_us, tx.now_us,
    )  # fmt: skip
    return find(tx, principal, fields.device_id), owner is None


def change(tx: Transaction, principal: Principal, device_id: str, patch: DevicePatch) -> DeviceRow:
    """Renames a device, or changes its activity. Raises: NotFound."""
    device = find(tx, principal, device_id)
    name = device.device_name if patch.device_name is UNSET else patch.device_name
    active = device.is_active if patch.is_active is UNSET else int(patch.is_active)
    if (name, active) != (device.device_name, device.is_active):
        tx.run("UPDATE devices SET device_name = ?, is_active = ? WHERE id = ?", name, active, device.id)
    return device._replace(device_name=name, is_active=active)


def remove(tx: Transaction, principal: Principal, device_id: str) -> DeviceRow:
    """Removes a device and its preferences; its positions stay, and move no more. Raises: NotFound."""
    device = find(tx, principal, device_id)
    tx.frees_room()
    tx.run("DELETE FROM sync_preferences WHERE device = ?", device.id)
    tx.run("DELETE FROM devices WHERE id = ?", device.id)
    # Its sockets, which may be open at another process, look whether it still exists.
    tx.notify(feeds.ACCESS)
    return device


def was_seen_lately(device: DeviceRow, now_us: int) -> bool:
    """True when a heartbeat need not be written."""
    return 0 <= now_us - device.last_seen_us < HEARTBEAT_US


def heartbeat(tx: Transaction, device: DeviceRow) -> None:
    """Notes that a device was seen."""
    tx.run("UPDATE devices SET last_seen_us = ? WHERE id = ?", tx.now_us, device.id)


def preferences(tx: Transaction, principal: Principal, device: DeviceRow) -> list[Preference]:
    """A device's preferences in the shares that its user may still read, by share."""
    rows = tx.rows(
        "SELECT s.id, p.sync_enabled, p.selected, p.excluded FROM sync_preferences p JOIN shares s ON s.feed = p.feed"
        " WHERE p.device = ? ORDER BY s.id",
        device.id,
    )
    readable = {row.id for row in access.readable(tx, principal)}
    return [_preference(*row) for row in rows if row[0] in readable]


def set_preference(
    tx: Transaction, principal: Principal, device: DeviceRow, share_id: str, fields: PreferenceFields
) -> Preference:
    """Changes what a device wants of a share; nothing on the server is deleted by it.

    Raises: NotFound (share), Invalid (a folder that no share can hold).
    """
    share = access.require(tx, principal, share_id, Access.READ)
    row = tx.row(
        "SELECT sync_enabled, selected, excluded FROM sync_preferences WHERE device = ? AND feed = ?",
        device.id,
        share.feed,
    )
    now = _preference(share.id, *(row or (1, b"[]", b"[]")))
    policy = policy_of(share)
    if fields.sync_enabled is not UNSET:
        now.sync_enabled = fields.sync_enabled
    if fields.selected_folders is not UNSET:
        now.selected_folders = list(stored_folders(fields.selected_folders, policy, field="selected_folders"))
    if fields.excluded_folders is not UNSET:
        now.excluded_folders = list(stored_folders(fields.excluded_folders, policy, field="excluded_folders"))
    tx.run(
        "INSERT INTO sync_preferences (device, feed, sync_enabled, selected, excluded, updated_us)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (device, feed) DO UPDATE SET sync_enabled = excluded.sync_enabled,"
        " selected = excluded.selected, excluded = excluded.excluded, updated_us = excluded.updated_us",
        device.id, share.feed, int(now.sync_enabled), encode(now.selected_folders), encode(now.excluded_folders),
        tx.now_us,
    )  # fmt: skip
    return now


def set_preferences(
    tx: Transaction, principal: Principal, device: DeviceRow, wanted: list[NamedPreference]
) -> list[Preference]:
    """Changes several preferences, all or none. Raises: as ``set_preference``."""
    return [set_preference(tx, principal, device, fields.share_id, fields) for fields in wanted]


def policy_of(share: ShareRow) -> NamePolicy:
    """The rules by which a share compares and limits names."""
    return NamePolicy(case_sensitive=bool(share.case_sensitive), portable=bool(share.portable))


def _preference(share_id: str, sync_enabled: int, selected: bytes, excluded: bytes) -> Preference:
    folders = (read_folders.decode(bytes(text)) for text in (selected, excluded))
    return Preference(share_id, bool(sync_enabled), *folders)

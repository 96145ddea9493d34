"""The devices of every door: their registration, their positions in feeds, and their deactivation."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import DeviceOfAnother, NotFound, StateConflict
from headwater.base.ids import random_id
from headwater.feed.sightings import CallingDevice
from headwater.store.database import Transaction
from headwater.store.log import lost

_SELECT = (
    "SELECT d.id, d.organisation, d.door, d.device_id, d.user_id, d.device_name, d.platform, d.is_active,"
    " d.last_seen_us, d.created_us, f.name, p.position, c.value,"
    f" {lost.SKIPPED.format(feed='p.feed', position='p.position')}"
    " FROM devices d"
    " LEFT JOIN device_positions p ON p.device = d.id"
    " LEFT JOIN feeds f ON f.feed = p.feed"
    " LEFT JOIN counters c ON c.feed = p.feed AND c.name = 'head'"
)


class DeviceLag(NamedTuple):
    """A device and its position in one feed; ``feed`` is None before its first report. Times in microseconds UTC."""

    id: str
    organisation: str
    door: str
    device_id: str
    user_id: str
    device_name: str
    platform: str
    is_active: bool
    last_seen_us: int
    created_us: int
    feed: str | None
    position: int | None
    head: int | None
    skipped: int = 0
    """Positions up to the head that a restore skipped."""

    @property
    def lag(self) -> int | None:
        """The distance from the device's position to the feed's head; None when the position is unknown."""
        return None if self.position is None else (self.head or 0) - self.position - self.skipped


def require_own(tx: Transaction, device: CallingDevice) -> bool:
    """Refuses a device of another user; returns True when the device is registered and active, so needs no claim.

    A device passes to the next user that names it once an operator deactivated it, or when its user has no valid
    token any more: so an app keeps its device where each new token has a new user. Raises: DeviceOfAnother.
    """
    row = tx.row(
        "SELECT user_id, is_active FROM devices WHERE organisation = ? AND door = ? AND device_id = ?", *device[:3]
    )
    if row is None or not row[1]:
        return False
    if row[0] == device.user_id:
        return True
    valid = "SELECT 1 FROM tokens WHERE user_id = ? AND revoked_us IS NULL AND (expires_us IS NULL OR expires_us > ?)"
    if tx.row(valid, row[0], tx.now_us) is not None:
        raise DeviceOfAnother(f"the device {device.device_id!r} belongs to another user")
    return False


def claim(tx: Transaction, device: CallingDevice) -> None:
    """Registers a device at its first request, for doors without registration; later updates its last-seen time.

    Raises: DeviceOfAnother.
    """
    require_own(tx, device)
    organisation, door, device_id, user_id = device
    tx.run(
        "INSERT INTO devices (organisation, door, device_id, id, user_id, device_name, platform, client_version,"
        " is_active, last_seen_us, created_us) VALUES (?, ?, ?, ?, ?, ?, '', '', 1, ?, ?)"
        " ON CONFLICT (organisation, door, device_id)"
        " DO UPDATE SET user_id = excluded.user_id, last_seen_us = excluded.last_seen_us, is_active = 1,"
        " deactivated_us = NULL",
        organisation, door, device_id, random_id("dev", 16), user_id, device_id, tx.now_us, tx.now_us,
    )  # fmt: skip


def read_all(tx: Transaction, organisation: str | None = None, *, inactive: bool = True) -> list[DeviceLag]:
    """Returns every device of one organisation, or of all, with a row for each feed that it follows."""
    parts, params = [], []
    if organisation is not None:
        parts.append("d.organisation = ?")
        params.append(organisation)
    if not inactive:
        parts.append("d.is_active = 1")
    where = " WHERE " + " AND ".join(parts) if parts else ""
    rows = tx.rows(f"{_SELECT}{where} ORDER BY d.organisation, d.door, d.device_id, f.name", *params)
    return [_device_lag(row) for row in rows]


def deactivate(tx: Transaction, id: str) -> list[DeviceLag]:
    """Deactivates a device, so that compaction no longer waits for it; returns its rows, one for each feed.

    ``id`` may also be the client's own id of the device, when it is unique. The next request of the device activates
    it again, and gives it to the user of that request; it starts again from the beginning when its cursor has expired
    meanwhile.
    Raises: NotFound, StateConflict (several devices have this id).
    """
    found = tx.rows("SELECT id FROM devices WHERE id = ? OR device_id = ? ORDER BY id = ? DESC, id", id, id, id)
    ids = [str(row[0]) for row in found]
    if not ids:
        raise NotFound(f"no device {id!r}; 'headwater device list' shows them")
    if ids[0] != id and len(ids) > 1:
        raise StateConflict(f"{len(ids)} devices are called {id!r}: name one by its id: {', '.join(ids)}")
    id = ids[0]
    tx.run("UPDATE devices SET is_active = 0, deactivated_us = ? WHERE id = ?", tx.now_us, id)
    return [_device_lag(row) for row in tx.rows(f"{_SELECT} WHERE d.id = ? ORDER BY f.name", id)]


def _device_lag(row: tuple[object, ...]) -> DeviceLag:
    return DeviceLag(*row)._replace(is_active=bool(row[7]))  # type: ignore[arg-type]

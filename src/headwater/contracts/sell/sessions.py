"""Live sessions, in memory: the positions that a session still has to deliver. Losing one loses nothing.

An item that was delivered and not acked returns in the device's next session, so a restart costs a device one
answer of 204 and a new start.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import NamedTuple

from pyroaring import BitMap64

from headwater.base.errors import NotFound, TooManyRequests

_NONCE_CHARACTERS = 24
_MAC_CHARACTERS = 24
_SPARE_AFTER_SECONDS = 60.0


class DeviceKey(NamedTuple):
    """A device: its organisation's feed, its own id and its user."""

    feed: int
    device_id: str
    user_id: str = ""


@dataclass
class Live:
    """A session that is being drained."""

    id: str
    device: DeviceKey
    positions: BitMap64
    head: int
    used_seconds: float

    def take(self, count: int) -> list[int]:
        """The next positions, at most ``count``; they are handed out once."""
        taken: list[int] = list(self.positions[:count])
        if taken:
            self.positions.remove_range(taken[0], taken[-1] + 1)
        return taken


class Sessions:
    """All live sessions: one a device, at most so many an account (an organisation).

    One that is not drained to its end stays in memory until its device returns or its account needs the place.
    """

    def __init__(self, key: bytes, per_account: int, idle_seconds: int) -> None:
        self._mac = hmac.new(key, b"sell session", digestmod="sha256")
        self._per_account = per_account
        self._idle_seconds = idle_seconds
        self._by_id: dict[str, Live] = {}
        self._by_device: dict[DeviceKey, Live] = {}
        self._accounts: dict[int, dict[str, Live]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def open(self, device: DeviceKey, positions: BitMap64, head: int, at_seconds: float) -> Live:
        """A new session of a device, in place of its older one. Raises: TooManyRequests (over the account's limit)."""
        older = self._by_device.get(device)
        if older is not None:
            self.end(older)
        self._make_room(device.feed, at_seconds)
        nonce = secrets.token_hex(_NONCE_CHARACTERS // 2)
        live = Live(nonce + self._sign(nonce, device), device, positions, head, at_seconds)
        self._by_id[live.id] = live
        self._by_device[device] = live
        self._accounts.setdefault(device.feed, {})[live.id] = live
        return live

    def find(self, id: str, device: DeviceKey, at_seconds: float) -> Live | None:
        """The live session of this device with this id; None when it ended or expired.

        Raises: NotFound for an id that was never issued to this device.
        """
        nonce, mac = id[:_NONCE_CHARACTERS], id[_NONCE_CHARACTERS:]
        if not hmac.compare_digest(mac.encode(), self._sign(nonce, device).encode()):
            raise NotFound(f"no session {id!r}")
        live = self._by_id.get(id)
        if live is None:
            return None
        if at_seconds - live.used_seconds > self._idle_seconds:
            self.end(live)
            return None
        live.used_seconds = at_seconds
        return live

    def end(self, live: Live) -> None:
        """Forgets a session; again is harmless."""
        if self._by_id.pop(live.id, None) is None:
            return
        del self._by_device[live.device]
        account = self._accounts[live.device.feed]
        del account[live.id]
        if not account:
            del self._accounts[live.device.feed]

    def _make_room(self, feed: int, at_seconds: float) -> None:
        """Ends idle sessions of a full account, the longest idle first. Raises: TooManyRequests."""
        account = self._accounts.get(feed, {})
        if len(account) < self._per_account:
            return
        oldest = min(account.values(), key=lambda live: live.used_seconds)
        idle_seconds = at_seconds - oldest.used_seconds
        if idle_seconds < _SPARE_AFTER_SECONDS:
            raise TooManyRequests(
                f"this account has {self._per_account} active sessions, none of them idle",
                retry_after_seconds=max(1, round(_SPARE_AFTER_SECONDS - idle_seconds)),
            )
        self.end(oldest)

    def _sign(self, nonce: str, device: DeviceKey) -> str:
        mac = self._mac.copy()
        mac.update(f"{nonce}\0{device.feed}\0{device.device_id}\0{device.user_id}".encode("utf-8", "surrogatepass"))
        return mac.hexdigest()[:_MAC_CHARACTERS]

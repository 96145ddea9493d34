"""Live sessions: the rows with what a session still hands out, so that any process continues it, and their ids.

An item that was handed out and not acked returns in the device's next session, so a lost page costs nothing.
Source: sell contract, "Start synchronization flow" and "Get data from queue".
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from pyroaring import BitMap64

from headwater.base.clock import SECOND_US
from headwater.base.errors import NotFound, TooManyRequests
from headwater.contracts.sell import queries
from headwater.contracts.sell.queries import SELL_TYPES
from headwater.store.database import Row, Transaction
from headwater.store.log import feeds

_NONCE_CHARACTERS = 24
_MAC_CHARACTERS = 24
_SPARE_AFTER_SECONDS = 60
_LOOKED_AT_MOST = 5_000
"""Positions that one page reads at most; where most of a queue was replaced, a page may have fewer items."""


class DeviceKey(NamedTuple):
    """A device: its organisation's feed, its own id and its user."""

    feed: int
    device_id: str
    user_id: str = ""


class SessionLimits(NamedTuple):
    """The number of live sessions of an account (an organisation), and the idle time after which one expires."""

    per_account: int
    idle_seconds: int


@dataclass(frozen=True, slots=True)
class SessionQueue:
    """The items that a session still hands out: positions, some of which may be dead, and the numbers that live there.

    ``numbers`` are by sell type. A resource has one live change, so a change of it above the session's head takes its
    number out, and what is left is counted exactly without reading the queue.
    """

    positions: BitMap64
    numbers: Mapping[str, BitMap64]

    @property
    def count(self) -> int:
        """The number of items that are left."""
        return sum(map(len, self.numbers.values()))

    def without(self, changed: Iterable[tuple[str, int]]) -> SessionQueue:
        """With these resources taken out, by sell type and number: they were handed out or replaced."""
        by_type: dict[str, list[int]] = {}
        for sell_type, number in changed:
            by_type.setdefault(sell_type, []).append(number)
        numbers = dict(self.numbers)
        for sell_type, gone in by_type.items():
            if sell_type in numbers:
                numbers[sell_type] = numbers[sell_type] - BitMap64(gone)
        return SessionQueue(self.positions, numbers)

    def after(self, position: int) -> SessionQueue:
        """With the positions up to this one taken out."""
        positions = self.positions.copy()
        positions.remove_range(0, position + 1)
        return SessionQueue(positions, self.numbers)

    def to_bytes(self) -> bytes:
        """The queue for storage; sets are in the portable roaring format."""
        sets = [self.positions, *self.numbers.values()]
        for found in sets:
            found.run_optimize()
        return msgspec.msgpack.encode([list(self.numbers), [found.serialize() for found in sets]])

    @classmethod
    def from_bytes(cls, stored: bytes) -> SessionQueue:
        """The queue that ``to_bytes`` stored."""
        types, sets = msgspec.msgpack.decode(stored, type=tuple[list[str], list[bytes]])
        positions, *numbers = map(BitMap64.deserialize, sets)
        return cls(positions, dict(zip(types, numbers, strict=True)))


class PageToShow(NamedTuple):
    """The positions of a page's items, live when they were taken, and the number of items that are left after it."""

    positions: list[int]
    left: int


class SessionIds:
    """Issues ids and knows its own: 204 is for a session that ended, 404 for an id that this device never got."""

    def __init__(self, key: bytes) -> None:
        self._mac = hmac.new(key, b"sell session", digestmod="sha256")

    def issue(self, device: DeviceKey) -> str:
        """A new id for a session of this device."""
        nonce = secrets.token_hex(_NONCE_CHARACTERS // 2)
        return nonce + self._sign(nonce, device)

    def check(self, id: str, device: DeviceKey) -> None:
        """Refuses an id that was never issued to this device. Raises: NotFound."""
        nonce, mac = id[:_NONCE_CHARACTERS], id[_NONCE_CHARACTERS:]
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), self._sign(nonce, device).encode()):
            raise NotFound(f"no session {id!r}")

    def _sign(self, nonce: str, device: DeviceKey) -> str:
        mac = self._mac.copy()
        mac.update(f"{nonce}\0{device.feed}\0{device.device_id}\0{device.user_id}".encode("utf-8", "surrogatepass"))
        return mac.hexdigest()[:_MAC_CHARACTERS]


def begin(tx: Transaction, device: DeviceKey, id: str, queue: SessionQueue, head: int, limits: SessionLimits) -> None:
    """Stores a new session of a device, in place of its older one.

    Raises: TooManyRequests (over the account's limit).
    """
    tx.run(
        "DELETE FROM sell_sessions WHERE feed = ? AND used_us < ?",
        device.feed, tx.now_us - limits.idle_seconds * SECOND_US,
    )  # fmt: skip
    _make_room(tx, device, limits)
    tx.run(
        "INSERT INTO sell_sessions (feed, device_id, id, queue, head, used_us) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (feed, device_id) DO UPDATE SET id = excluded.id, queue = excluded.queue, head = excluded.head,"
        " used_us = excluded.used_us",
        device.feed, device.device_id, id, queue.to_bytes(), head, tx.now_us,
    )  # fmt: skip


def take(tx: Transaction, device: DeviceKey, id: str, count: int, limits: SessionLimits) -> PageToShow | None:
    """Takes the next page out of a session, for one caller alone; None when it ended or expired.

    A session ends with its last page.
    """
    row = tx.row(
        "SELECT queue, head, used_us FROM sell_sessions WHERE feed = ? AND device_id = ? AND id = ?",
        device.feed, device.device_id, id,
    )  # fmt: skip
    if row is None:
        return None
    if tx.now_us - row[2] > limits.idle_seconds * SECOND_US:
        _end(tx, device)
        return None
    head = feeds.head(tx, device.feed)
    queue = _counted(tx, device.feed, SessionQueue.from_bytes(bytes(row[0])), row[1], head)
    found, upto = _next(tx, device.feed, queue.positions, count)
    queue = queue.after(upto).without((SELL_TYPES[kind], number) for _, kind, number in found)
    page = [position for position, _, _ in found]
    if not queue.count or not queue.positions:
        _end(tx, device)
        return PageToShow(page, 0)
    tx.run(
        "UPDATE sell_sessions SET queue = ?, head = ?, used_us = ? WHERE feed = ? AND device_id = ?",
        queue.to_bytes(), head, tx.now_us, device.feed, device.device_id,
    )  # fmt: skip
    return PageToShow(page, queue.count)


def _counted(tx: Transaction, feed: int, queue: SessionQueue, counted: int, head: int) -> SessionQueue:
    """The queue without the resources that changed after the position up to which it was counted."""
    if head == counted:
        return queue
    if feeds.floor(tx, feed) > counted:
        # Compaction may have dropped the tombstones that would show what died.
        return _recounted(tx, feed, queue)
    rows = tx.rows(
        "SELECT kind, number FROM changes WHERE feed = ? AND position > ? AND position <= ?", feed, counted, head
    )
    return queue.without((SELL_TYPES[kind], number) for kind, number in rows if kind in SELL_TYPES)


def _recounted(tx: Transaction, feed: int, queue: SessionQueue) -> SessionQueue:
    numbers: dict[str, BitMap64] = {sell_type: BitMap64() for sell_type in queue.numbers}
    for _, kind, number in queries.rows_at(tx, feed, list(queue.positions), "kind, number"):
        numbers[SELL_TYPES[kind]].add(number)
    return SessionQueue(queue.positions, numbers)


def _next(tx: Transaction, feed: int, positions: BitMap64, count: int) -> tuple[list[Row], int]:
    """The next live rows ``(position, kind, number)``, at most ``count``; and the position up to which it read."""
    found: list[Row] = []
    upto = at = 0
    while len(found) < count and at < min(len(positions), _LOOKED_AT_MOST):
        part = list(positions[at : at + count - len(found)])
        found += queries.rows_at(tx, feed, part, "kind, number")
        at += len(part)
        upto = part[-1]
    return found, upto


def _end(tx: Transaction, device: DeviceKey) -> None:
    tx.run("DELETE FROM sell_sessions WHERE feed = ? AND device_id = ?", device.feed, device.device_id)


def _make_room(tx: Transaction, device: DeviceKey, limits: SessionLimits) -> None:
    """Ends the longest idle session of a full account. Raises: TooManyRequests.

    One that was used in the future was not used since the clock was set right, so it is idle.
    """
    others = tx.rows(
        "SELECT used_us, device_id FROM sell_sessions WHERE feed = ? AND device_id <> ? ORDER BY used_us, device_id",
        device.feed, device.device_id,
    )  # fmt: skip
    if len(others) < limits.per_account:
        return
    used_us, device_id = others[0] if others[-1][0] - tx.now_us < _SPARE_AFTER_SECONDS * SECOND_US else others[-1]
    idle_seconds = abs(tx.now_us - used_us) // SECOND_US
    if idle_seconds < _SPARE_AFTER_SECONDS:
        raise TooManyRequests(
            f"this account has {limits.per_account} active sessions, none of them idle",
            retry_after_seconds=max(1, _SPARE_AFTER_SECONDS - idle_seconds),
        )
    _end(tx, DeviceKey(device.feed, device_id))

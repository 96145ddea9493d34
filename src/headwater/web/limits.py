"""The places that callers take, and the share of them that one caller may have.

A kind of place stands for something that is scarce: requests that are handled, bodies that arrive, uploads, answers
that are read slowly, requests that wait, sockets. A caller is a token, or an address without one. As long as others
are free, a caller may take more than an equal part; the fewer are free, the fewer it may take. So no caller ever has
all of a kind, and one that has none finds one.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import lru_cache

from headwater.base.errors import Malformed, Unavailable
from headwater.base.settings.field import MIB
from headwater.base.settings.table import Settings
from headwater.web.http.presence import Presence

_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 5
_IPV6_BLOCK = 64
_CACHED_ADDRESSES = 4096


class Places:
    """The places of one kind: how many are taken, and by which callers; used on the event loop alone.

    ``share_percent`` is the part that one caller may have while no other has any; 100 turns the share off. What is
    larger than this part counts as much as the part, so that it finds room at all.
    """

    def __init__(self, name: str, limit: int, share_percent: int) -> None:
        self.name = name
        self.limit = limit
        self.count = 0
        self._percent = share_percent
        self._most = max(1, limit * share_percent // 100)
        self._of: dict[str, int] = {}
        self._waiting: dict[str, deque[tuple[asyncio.Future[None], int]]] = {}

    def of(self, caller: str) -> int:
        """Returns the number of places that a caller has."""
        return self._of.get(caller, 0)

    def has_room(self, caller: str, size: int = 1) -> bool:
        """True when the caller may take so many more places now."""
        size = min(size, self._most)
        if self.count + size > self.limit:
            return False
        before_last = self.of(caller) + size - 1
        # At 25 percent, a caller may have a third of what is free: a quarter of all while no other has any.
        return before_last * (100 - self._percent) <= self._percent * (self.limit - self.count)

    def take(self, caller: str, size: int = 1) -> None:
        """Takes places at once. Raises: Unavailable (all are taken, or the caller has its share)."""
        if not self.has_room(caller, size):
            raise self.refusal(caller)
        self.add(caller, size)

    def add(self, caller: str, size: int = 1) -> None:
        """Counts places without a check, for work that was admitted before."""
        size = min(size, self._most)
        self.count += size
        self._of[caller] = self.of(caller) + size

    def leave(self, caller: str, size: int = 1) -> None:
        """Frees places; those who wait take them, the caller with the fewest first."""
        size = min(size, self._most)
        self.count -= size
        left = self.of(caller) - size
        if left > 0:
            self._of[caller] = left
        else:
            self._of.pop(caller, None)
        while self._waiting and self._admit_next():
            pass

    async def wait(self, caller: str, size: int = 1) -> None:
        """Takes places as soon as there is room; a cancelled wait takes none."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (granted, size)
        self._waiting.setdefault(caller, deque()).append(entry)
        try:
            await granted
        except BaseException:
            if granted.done() and not granted.cancelled():
                self.leave(caller, size)
            raise
        finally:
            self._forget(caller, entry)

    def refusal(self, caller: str) -> Unavailable:
        """Returns the error for a caller that gets no place."""
        if self.count >= self.limit or not self.of(caller):
            reason = f"the server has as many {self.name} as its limit allows"
        else:
            reason = f"this caller has its share of {self.name}; others need the rest"
        return Unavailable(reason, retry_after_seconds=_RETRY_SECONDS)

    def _admit_next(self) -> bool:
        """Gives places to one who waits; False when none of them can have any."""
        fitting = [caller for caller, line in self._waiting.items() if line and self.has_room(caller, line[0][1])]
        if not fitting:
            return False
        caller = min(fitting, key=self.of)
        granted, size = self._waiting[caller].popleft()
        if not granted.done():
            self.add(caller, size)
            granted.set_result(None)
        return True

    def _forget(self, caller: str, entry: tuple[asyncio.Future[None], int]) -> None:
        line = self._waiting.get(caller)
        if line is None:
            return
        if entry in line:
            line.remove(entry)
        if not line:
            del self._waiting[caller]


class AllPlaces:
    """The places of every kind of one server.

    ``bodies`` and ``answers`` are counted by the memory that they use: one place for each MiB begun. ``more_answers``
    are those to changes that find no room among the answers; so they are sent, and take no place of a reader.
    """

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        percent = limits.caller_share_percent
        self.gate_seconds = limits.gate_seconds
        self.requests = Places("requests in flight", limits.in_flight_requests, percent)
        self.bodies = Places("bodies arriving", limits.bodies_at_once, percent)
        self.answers = Places("answers being read", limits.answers_at_once, percent)
        self.more_answers = Places("answers being read", limits.answers_at_once, percent)
        self.waiting = Places("requests that wait", limits.waiting_requests, percent)
        self.uploads = Places("uploads", settings.files.uploads_at_once, percent)
        self.sockets = Places("open sockets", settings.sockets.limit, percent)


class Seat:
    """The place of one request: it begins in none, is handled in one of ``requests``, and stands aside in others.

    The request leaves its place while it waits for the network, a gate or news, and has it again afterwards.
    """

    __slots__ = ("_all", "_caller", "_has", "_presence")

    def __init__(self, places: AllPlaces, presence: Presence | None) -> None:
        self._all = places
        self._caller = ""
        self._has: Places | None = None
        self._presence = presence

    def try_enter(self, caller: str) -> bool:
        """Takes a place among the requests that are handled, if there is room at once."""
        if not self._all.requests.has_room(caller):
            return False
        self._caller = caller
        self._has = self._all.requests
        self._has.add(caller)
        return True

    async def enter(self, caller: str) -> None:
        """Takes a place among the requests that are handled, or waits for one. Raises: Unavailable, Malformed."""
        if self.try_enter(caller):
            return
        self._caller = caller
        await self._pass_gate(self._all.requests, 1)
        self._has = self._all.requests

    def leave(self) -> None:
        """Frees the place; idempotent."""
        if self._has is not None:
            self._has.leave(self._caller)
            self._has = None

    @contextmanager
    def waiting(self) -> Generator[None]:
        """A context in which the request waits for news. Raises: Unavailable (at once)."""
        places = self._all.waiting
        places.take(self._caller)
        with self._aside():
            try:
                yield
            finally:
                places.leave(self._caller)

    @contextmanager
    def answering(self, size_bytes: int, *, to_change: bool) -> Generator[None]:
        """A context in which the answer waits for its reader.

        ``to_change`` is True for the answer to a change, which is not lost for want of a reader's place.
        Raises: Unavailable (at once).
        """
        places, size = self._all.answers, _places_of(size_bytes)
        if to_change and not places.has_room(self._caller, size):
            places = self._all.more_answers
        places.take(self._caller, size)
        with self._aside():
            try:
                yield
            finally:
                places.leave(self._caller, size)

    @asynccontextmanager
    async def receiving(self, size_bytes: int) -> AsyncGenerator[None]:
        """A context in which a body arrives. Raises: Unavailable (after a wait), Malformed (the caller is gone)."""
        async with self._through_gate(self._all.bodies, _places_of(size_bytes)):
            yield

    @asynccontextmanager
    async def uploading(self) -> AsyncGenerator[None]:
        """A context in which a body is cut into chunks. Raises: Unavailable (after a wait), Malformed (as above)."""
        async with self._through_gate(self._all.uploads, 1):
            yield

    @asynccontextmanager
    async def _through_gate(self, places: Places, size: int) -> AsyncGenerator[None]:
        with self._aside():
            if places.has_room(self._caller, size):
                places.add(self._caller, size)
            else:
                await self._pass_gate(places, size)
            try:
                yield
            finally:
                places.leave(self._caller, size)

    @contextmanager
    def _aside(self) -> Generator[None]:
        """Frees the place of a request that is handled, inside the context; afterwards it has one without a check."""
        place, self._has = self._has, None
        if place is not None:
            place.leave(self._caller)
        try:
            yield
        finally:
            if place is not None:
                place.add(self._caller)
                self._has = place

    async def _pass_gate(self, places: Places, size: int) -> None:
        """Waits for a place; a request that waits is counted, ends after a time, and ends at once with its caller."""
        if not places.limit:
            raise places.refusal(self._caller)
        self._all.waiting.take(self._caller)
        try:
            async with asyncio.timeout(self._all.gate_seconds) as scope:
                with self._presence.ends(scope, _LOOK_SECONDS) if self._presence else nullcontext():
                    await places.wait(self._caller, size)
        except TimeoutError:
            if self._presence is not None and self._presence.is_gone():
                raise Malformed("the connection ended before the request had its turn", code="BODY_CUT_OFF") from None
            raise places.refusal(self._caller) from None
        finally:
            self._all.waiting.leave(self._caller)


@lru_cache(_CACHED_ADDRESSES)
def block_of(address: str) -> str:
    """Returns the block of addresses that counts as one caller: an IPv4 address, or the /64 of an IPv6 address.

    A /64 is what one customer has at least. Source: RFC 6177.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "address " + address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return f"address {ipaddress.ip_network((found, _IPV6_BLOCK), strict=False)}"
        found = found.ipv4_mapped
    return f"address {found}"


def _places_of(size_bytes: int) -> int:
    return max(1, -(-size_bytes // MIB))

"""Admits WebSockets, and closes them when their tokens end."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import Forbidden, HeadwaterError, NotFound, TooManyRequests, Unauthenticated
from headwater.base.log import get_log
from headwater.base.rate import Rate
from headwater.identity.principal import Principal
from headwater.web.access_rule import AccessRule
from headwater.web.auth import permit
from headwater.web.call import parse_query
from headwater.web.edge.outside import Outside
from headwater.web.edge.router import Router, SocketMatch
from headwater.web.errors import status_of
from headwater.web.http.bodies import Message, Receive
from headwater.web.http.hosts import AllowedHosts
from headwater.web.limits import AllPlaces, block_of
from headwater.web.services import Services
from headwater.web.sockets import (
    CLOSE_DONE,
    CLOSE_FAILED,
    CLOSE_FORBIDDEN,
    CLOSE_GOING,
    CLOSE_REFUSED,
    CLOSE_TOO_MANY,
    CLOSE_UNAUTHENTICATED,
    CLOSE_UNKNOWN,
    Closed,
    Send,
    Socket,
)
from headwater.web.watch import CallerWatch

log = get_log(__name__)


class Admission(NamedTuple):
    """The limits that a socket passes, and the watch over its token; the edge's own."""

    hosts: AllowedHosts
    token_rate: Rate
    address_rate: Rate
    places: AllPlaces
    watch: CallerWatch


class SocketEdge:
    """Admits sockets, has their tokens watched, and closes every socket at its end."""

    def __init__(self, services: Services, router: Router, admission: Admission, outside: Outside) -> None:
        self._services = services
        self._router = router
        self._limits = admission
        self._outside = outside

    async def serve(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves one WebSocket from its handshake to its end."""
        await receive()
        try:
            match, principal, query = await self._admit(scope)
        except HeadwaterError as failure:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": close_code(failure), "reason": failure.title})
            return
        socket = Socket(self._services, principal, match.params, query, receive, send)
        places, access = self._limits.places.sockets, match.route.access
        places.add(principal.token_id)
        try:
            with self._limits.watch.checking(lambda: self._recheck(socket, access), principal.expires_us):
                await socket.accept()
                await match.route.handler(socket)
                await socket.close(CLOSE_DONE)
        except Closed:
            return
        except HeadwaterError as failure:
            await socket.close(close_code(failure), failure.title)
        except Exception as failure:  # noqa: BLE001 - the edge of sockets
            log.failure("socket_failed", failure, contract=match.contract.name)
            await socket.close(CLOSE_FAILED)
        finally:
            places.leave(principal.token_id)
            await socket.close(CLOSE_GOING)

    async def _admit(self, scope: Message) -> tuple[SocketMatch, Principal, dict[str, str]]:
        headers = dict(scope["headers"])
        address = block_of(scope["client"][0] if scope.get("client") else "")
        limits = self._limits
        try:
            limits.hosts.check(headers.get(b"host"), sum(name == b"host" for name, _ in scope["headers"]))
            match = self._router.find_socket(scope["raw_path"].decode("latin-1"))
            query = parse_query(scope["query_string"])
            self._check_origin(headers)
            principal = await self._principal(headers, query, match)
        except HeadwaterError:
            limits.address_rate.spend(address, monotonic_seconds())
            raise
        limits.token_rate.spend(principal.token_id, monotonic_seconds())
        permit(principal, match.route.access)
        of_token = limits.places.sockets.of(principal.token_id)
        if of_token >= self._services.settings.sockets.token_limit:
            raise TooManyRequests("the token has as many open sockets as its limit allows", retry_after_seconds=30)
        if not limits.places.sockets.has_room(principal.token_id):
            raise TooManyRequests(str(limits.places.sockets.refusal(principal.token_id)), retry_after_seconds=30)
        return match, principal, query

    async def _principal(self, headers: dict[bytes, bytes], query: dict[str, str], match: SocketMatch) -> Principal:
        authenticator = self._services.authenticator
        credentials = headers.get(b"authorization")
        if credentials is not None:
            return await authenticator.principal(credentials)
        if match.route.query_token and "token" in query:
            return await authenticator.principal_of_jwt(query["token"])
        raise Unauthenticated("a socket needs an Authorization header or ?token=JWT")

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        """Refuses a socket that a page of another site opens in a user's browser. Raises: NotFound."""
        if not self._outside.admits_socket(headers):
            raise NotFound("sockets are not opened for pages of other sites")

    async def _recheck(self, socket: Socket, access: AccessRule) -> None:
        """Replaces a socket's caller with its present state; closes the socket when the token ended or lacks access."""
        try:
            principal = await self._services.authenticator.refreshed(socket.principal, {})
            permit(principal, access)
            socket.principal = principal
        except Unauthenticated:
            await socket.close(CLOSE_UNAUTHENTICATED, "the token was revoked or has expired")
        except Forbidden:
            await socket.close(CLOSE_FORBIDDEN, "the token may not use this socket any more")


def close_code(failure: HeadwaterError) -> int:
    """Returns the close code that corresponds to an error's HTTP status."""
    codes = {
        "UNAUTHENTICATED": CLOSE_UNAUTHENTICATED,
        "FORBIDDEN": CLOSE_FORBIDDEN,
        "NOT_FOUND": CLOSE_UNKNOWN,
        "PATH_NOT_FOUND": CLOSE_UNKNOWN,
        "TOO_MANY_REQUESTS": CLOSE_TOO_MANY,
    }
    return codes.get(failure.error_code, CLOSE_REFUSED if status_of(failure) < 500 else CLOSE_FAILED)

"""A contract made for one test, under ``/specimen``: what the edge does to routes of any kind."""

from __future__ import annotations

from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Handler, Route, SocketRoute
from headwater.web.edge.app import Edge
from headwater.web.edge.metrics import Metrics
from headwater.web.errors import problem
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

OPEN = AccessRule(open=True)


def route(method: str, path: str, handler: Handler, access: AccessRule = OPEN, *, raw: bool = False) -> Route:
    """A route of the specimen contract."""
    return Route(method, path, handler, access, "A specimen", raw=raw)


def specimen(server: ServerUnderTest, *routes: Route, sockets: tuple[SocketRoute, ...] = ()) -> Client:
    """A client of an edge that serves just these routes, with the server's settings, database and tokens."""
    contract = Contract("specimen", "A specimen", ("/specimen",), routes, problem, sockets)
    return Client(Edge(server.services, (contract,), Metrics()), server.loop, server.admin_token)

"""The operator's door: health, readiness, metrics, and short-lived tokens."""

from __future__ import annotations

import msgspec

from headwater.base.clock import SECOND_US
from headwater.base.errors import Forbidden, Unavailable
from headwater.base.wire import format_seconds
from headwater.web import reply
from headwater.web.access_rule import AccessRule
from headwater.web.call import Call
from headwater.web.contract import Contract, Route
from headwater.web.edge import metrics as metrics_page
from headwater.web.edge.metrics import Metrics
from headwater.web.errors import problem
from headwater.web.reply import Reply
from headwater.web.services import Services


class Health(msgspec.Struct):
    """The state of the server: ``ok`` or ``ready``."""

    status: str


class ShortToken(msgspec.Struct):
    """A JWT and the time at which it expires."""

    token: str
    expires_at: str


class OperationsDoor:
    """The handlers of paths that belong to no contract."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics

    async def healthz(self, _call: Call) -> Reply:
        """Answers from the event loop alone."""
        return reply.json(Health("ok"))

    async def readyz(self, call: Call) -> Reply:
        """Answers once the database has answered; 503 with the reason while it refuses writes."""
        await call.read(lambda tx: tx.value("SELECT 1"))
        reason = self._services.database.refusal()
        if reason is not None:
            raise Unavailable(reason, retry_after_seconds=5)
        return reply.json(Health("ready"))

    async def metrics(self, _call: Call) -> Reply:
        """Counters and gauges in Prometheus's text format."""
        return Reply(200, ((b"content-type", metrics_page.CONTENT_TYPE),), self._metrics.render())

    async def short_token(self, call: Call) -> Reply:
        """Mints a JWT that replaces the caller's token for some minutes; 201. A JWT cannot mint another one."""
        if (call.header(b"authorization") or "").count(".") == 2:
            raise Forbidden("a JWT is made from a token, not from another JWT")

        async def issued_at() -> Reply:
            return reply.json(self._services.clock() // SECOND_US)

        # An idempotency key stores only the second, never the JWT: the same second yields the same JWT again.
        at_seconds = int((await call.act_after(issued_at)).body)
        text, ends_seconds = self._services.authenticator.mint_jwt(call.principal, at_seconds)
        return reply.json(ShortToken(text, format_seconds(ends_seconds * SECOND_US)), 201)


def build(services: Services, metrics: Metrics) -> Contract:
    """The operator's door of one server."""
    door = OperationsDoor(services, metrics)
    routes = (
        Route("GET", "/healthz", door.healthz, AccessRule(open=True), "Is the process alive?", answer=Health,
              counted=False),
        Route("GET", "/readyz", door.readyz, AccessRule(open=True), "Can it serve?", answer=Health,
              counted=False),
        Route("GET", "/metrics", door.metrics, AccessRule("admin", public=True), "Prometheus metrics",
              media="text/plain"),
        Route("POST", "/api/v1/auth/jwt", door.short_token, AccessRule(), "Mint a short-lived JWT", answer=ShortToken,
              status=201),
    )  # fmt: skip
    return Contract("operations", "Operations", ("",), routes, problem)

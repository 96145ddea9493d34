"""The log lines of requests: each error has one with its request id, and so does each deletion."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from headwater.base.log import configure
from headwater.base.settings.table import LogSettings
from headwater.web.call import Call
from headwater.web.http.presence import Presence
from headwater.web.reply import Reply
from tests.support.loop import WAIT_SECONDS
from tests.support.server.serving import ServerUnderTest
from tests.support.server.specimen import route, specimen


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the default level of the log writes."""
    root, stream = logging.getLogger(), io.StringIO()
    before, handlers, level = structlog.get_config(), list(root.handlers), root.level
    configure(LogSettings(format="json"), stream)
    yield stream
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "request"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "route"),
    [
        ("GET", "/api/v1/contacts/c-99999", None, 404, "NOT_FOUND", "/api/v1/contacts/{id}"),
        ("POST", "/api/v1/contacts", {}, 422, "INVALID", "/api/v1/contacts"),
        ("PATCH", "/api/v1/contacts", {}, 405, "METHOD_NOT_ALLOWED", None),
        ("GET", "/api/v1/feed?cursor=x", None, 400, "SYNC_CURSOR_INVALID", "/api/v1/feed"),
        ("GET", "/nothing/here", None, 404, "PATH_NOT_FOUND", None),
    ],
)
def test_the_request_id_of_every_error_is_in_the_log(
    server: ServerUnderTest, log: io.StringIO, method: str, path: str, body: Any, status: int, code: str,
    route: str | None,
) -> None:  # fmt: skip
    answer = server.client.request(method, path, **({} if body is None else {"json": body}))
    assert answer.status == status
    [line] = lines(log)
    assert (line["request_id"], line["status"], line["code"]) == (answer.headers["x-request-id"], status, code)
    assert line.get("route") == route


def test_a_deletion_is_logged_with_who_deleted_what(server: ServerUnderTest, log: io.StringIO) -> None:
    _, token = server.token_row(user_name="Kari")
    text = server.token(user_id=token.user_id)
    made = server.client.post("/api/v1/contacts", json={"first_name": "Ada"}).json()["contact_id"]
    assert server.client.as_token(text).delete(f"/api/v1/contacts/{made}").status == 200
    [line] = lines(log)
    assert (line["method"], line["status"], line["resource_id"]) == ("DELETE", 200, made)
    assert (line["user_id"], line["organisation_id"]) == (token.user_id, "default")
    assert line["token_id"] not in (token.id, "")


def test_a_pushed_deletion_is_logged_with_its_device(server: ServerUnderTest, log: io.StringIO) -> None:
    change = {"client_change_id": "1", "kind": "contact", "id": "ada", "op": "put", "fields": {"first_name": "Ada"}}
    pushed = {"device_id": "phone", "changes": [change]}
    revision = server.client.post("/api/v1/feed/push", json=pushed).json()["results"][0]["revision"]
    change |= {"client_change_id": "2", "op": "delete", "base_revision": revision, "fields": {}}
    assert server.client.post("/api/v1/feed/push", json=pushed).json()["results"][0]["outcome"] == "applied"
    [line] = [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "record_deleted"]
    assert (line["kind"], line["record_id"], line["device_id"]) == ("contact", "ada", "phone")
    assert line["user_id"]
    assert line["request_id"]


@pytest.mark.parametrize(("declared", "cut"), [(b"1", 0), (b"2", 1)])
def test_an_answer_that_was_sent_whole_is_not_logged_as_cut_short(
    server: ServerUnderTest, log: io.StringIO, declared: bytes, cut: int
) -> None:
    presence = Presence(lambda: False)

    async def stream() -> AsyncIterator[bytes]:
        yield b"x"
        presence.end()  # the caller closes its connection
        await asyncio.sleep(WAIT_SECONDS)

    async def handler(_call: Call) -> Reply:
        return Reply(200, ((b"content-length", declared),), stream=stream())

    served = specimen(server, route("GET", "/s", handler))
    edge = served.app

    async def connected(scope: Any, receive: Any, send: Any) -> None:
        await edge({**scope, "state": {"presence": presence}}, receive, send)

    served.app = connected
    served.get("/specimen/s", may_break=True)
    assert log.getvalue().count("answer_cut_short") == cut


def test_the_lines_about_answers_that_are_cut_short_are_bounded(server: ServerUnderTest, log: io.StringIO) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError  # as when the caller does not read

    async def handler(_call: Call) -> Reply:
        return Reply(200, ((b"content-length", b"2"),), stream=stream())

    served = specimen(server, route("GET", "/s", handler))
    for _ in range(100):
        served.get("/specimen/s", may_break=True)
    assert 20 <= log.getvalue().count("answer_cut_short") < 60


def test_a_quiet_success_writes_no_line(server: ServerUnderTest, log: io.StringIO) -> None:
    assert server.client.get("/api/v1/contacts").status == 200
    assert lines(log) == []


def test_a_flood_of_errors_is_bounded_and_counted(server: ServerUnderTest, log: io.StringIO) -> None:
    for _ in range(60):
        server.client.get("/api/v1/contacts/c-99999")
    written = lines(log)
    assert 1 < len(written) < 40
    server.client.request("PATCH", "/api/v1/contacts", json={})
    assert lines(log)[-1]["left_out_count"] == 60 - len(written)

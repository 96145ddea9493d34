"""The edge: methods, heads, hosts, request ids, security headers, catch-all, large and slow answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from headwater.base.errors import Unavailable
from headwater.base.settings.table import LimitSettings, ServerSettings, Settings
from headwater.web import reply
from headwater.web.access_rule import AccessRule
from headwater.web.call import Call
from headwater.web.reply import Reply
from tests.support.server.asgi import Client
from tests.support.server.live import LiveServer
from tests.support.server.serving import ServerUnderTest
from tests.support.server.specimen import route, specimen

pytestmark = pytest.mark.sqlite_only
CONTACTS = "/api/v1/contacts"


async def fine(_call: Call) -> Reply:
    return reply.json({"fine": True})


def with_settings(server: ServerUnderTest, /, **sections: object) -> ServerUnderTest:
    """The same server with other settings; the edge made afterwards obeys them."""
    settings = msgspec.structs.replace(server.settings, **sections)
    object.__setattr__(server.services, "settings", settings)
    return server


def test_head_answers_as_get_without_the_body(client: Client) -> None:
    made = client.post(CONTACTS, json={"first_name": "Bjørn"}).headers["location"]
    got, head = client.get(made), client.request("HEAD", made)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(got.body))
    assert head.headers["etag"] == got.headers["etag"]


def test_head_of_a_streamed_answer_reads_nothing_of_the_stream(server: ServerUnderTest) -> None:
    read = []

    async def stream() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    async def handler(_call: Call) -> Reply:
        return Reply(200, ((b"content-length", b"1"),), stream=stream())

    answer = specimen(server, route("GET", "/s", handler)).request("HEAD", "/specimen/s")
    assert (answer.status, answer.body, read) == (200, b"", [])


def test_head_is_refused_where_a_get_hands_something_out(client: Client) -> None:
    answer = client.request("HEAD", "/v2/sync/s/queues/main")
    assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "GET, OPTIONS")


@pytest.mark.parametrize("method", ["TRACE", "PURGE", "POST"])
def test_a_method_that_is_not_served_gets_405_with_those_that_are(client: Client, method: str) -> None:
    answer = client.request(method, f"{CONTACTS}/c-00001")
    assert answer.problem() == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


def test_no_page_of_another_site_is_given_leave_to_read(client: Client) -> None:
    answer = client.get(CONTACTS, headers={"origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_unknown_path_gets_404_in_the_envelope_of_the_door_it_stands_under(client: Client) -> None:
    assert client.get("/nowhere").problem() == (404, "PATH_NOT_FOUND")
    assert client.get("/v2/nowhere").json()["meta"]["http_status"] == "404 Not Found"


def test_a_socket_path_asked_without_an_upgrade_gets_426(client: Client) -> None:
    answer = client.get("/api/v1/feed/ws")
    assert answer.problem() == (426, "UPGRADE_REQUIRED")
    assert answer.headers["upgrade"] == "websocket"


def test_a_callers_request_id_comes_back_in_header_and_error(client: Client) -> None:
    answer = client.get(f"{CONTACTS}/c-99999", headers={"x-request-id": "abc 1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc 1"


@pytest.mark.parametrize("given", ["", "x" * 129, "a\tb", "ø"])
def test_an_unfit_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.get(f"{CONTACTS}/c-99999", headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] != given


def test_each_request_gets_an_id_of_its_own(client: Client) -> None:
    assert client.get("/healthz").headers["x-request-id"] != client.get("/healthz").headers["x-request-id"]


def test_an_error_that_nobody_foresaw_is_a_500_that_tells_nothing(server: ServerUnderTest) -> None:
    async def broken(_call: Call) -> Reply:
        raise ZeroDivisionError("secret text")

    answer = specimen(server, route("GET", "/b", broken)).get("/specimen/b")
    assert answer.problem() == (500, "INTERNAL")
    assert "secret" not in answer.text


def test_every_answer_brings_the_security_headers(client: Client) -> None:
    for answer in (client.get(CONTACTS), client.get("/nowhere"), client.get("/v2/nowhere")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in answer.headers


def test_a_handlers_own_cache_control_holds(server: ServerUnderTest) -> None:
    async def kept(_call: Call) -> Reply:
        return reply.json({}, headers=((b"cache-control", b"max-age=60"),))

    answer = specimen(server, route("GET", "/k", kept)).get("/specimen/k")
    assert [value for name, value in answer.raw_headers if name == b"cache-control"] == [b"max-age=60"]


def test_a_server_behind_tls_says_so(server: ServerUnderTest) -> None:
    with_settings(server, server=ServerSettings(public_url="https://sync.example.org"))
    answer = specimen(server, route("GET", "/f", fine)).get("/specimen/f")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8484", "[::1]:8484", "[::1]"])
def test_the_loopback_names_are_ours(client: Client, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil", None])
def test_any_other_host_is_refused(client: Client, host: str | None) -> None:
    assert client.get("/healthz", headers={"host": host}).problem() == (400, "HOST_INVALID")


def test_two_hosts_are_refused(client: Client) -> None:
    twice = [("host", "localhost"), ("host", "localhost")]
    assert client.get("/healthz", headers=twice).problem() == (400, "HOST_INVALID")


def test_the_host_of_the_public_url_and_the_allowed_hosts_are_ours(server: ServerUnderTest) -> None:
    with_settings(server, server=ServerSettings(public_url="https://sync.example.org"))
    served = specimen(server, route("GET", "/f", fine))
    assert served.get("/specimen/f", headers={"host": "sync.example.org"}).status == 200
    with_settings(server, server=ServerSettings(allowed_hosts=("other.example.org",)))
    served = specimen(server, route("GET", "/f", fine))
    assert served.get("/specimen/f", headers={"host": "other.example.org:443"}).status == 200
    assert served.get("/specimen/f", headers={"host": "localhost"}).status == 400


def test_a_head_over_its_limit_gets_431(client: Client) -> None:
    assert client.get("/healthz", headers={"x-filler": "x" * 17_000}).problem() == (431, "HEADERS_TOO_LARGE")
    assert client.get("/healthz?" + "x" * 17_000).problem() == (431, "HEADERS_TOO_LARGE")


def test_credentials_that_come_twice_are_refused(server: ServerUnderTest) -> None:
    headers = [("authorization", f"Bearer {server.admin_token}"), ("authorization", "Bearer x")]
    assert server.public.get(CONTACTS, headers=headers).problem() == (400, "MALFORMED")


def test_a_header_that_may_repeat_is_joined(client: Client) -> None:
    made = client.post(CONTACTS, json={"first_name": "Bjørn"})
    tags = [("if-none-match", made.headers["etag"]), ("if-none-match", '"other"')]
    assert client.get(made.headers["location"], headers=tags).status == 304


def test_more_requests_than_may_be_in_flight_get_503(server: ServerUnderTest) -> None:
    with_settings(server, limits=LimitSettings(in_flight_requests=2, caller_share_percent=100, gate_seconds=0))
    gate = asyncio.Event()

    async def slow(_call: Call) -> Reply:
        await gate.wait()
        return reply.json({})

    served = specimen(server, route("GET", "/slow", slow), route("GET", "/f", fine))
    waiting = [served.start("GET", "/specimen/slow") for _ in range(2)]
    refused = served.get("/specimen/f")
    assert refused.problem() == (503, "UNAVAILABLE")
    assert int(refused.headers["retry-after"]) >= 1
    server.loop.loop.call_soon_threadsafe(gate.set)
    assert [answer.result(10).status for answer in waiting] == [200, 200]
    assert served.get("/specimen/f").status == 200


def test_requests_that_wait_for_news_keep_nobody_out(server: ServerUnderTest) -> None:
    with_settings(server, limits=LimitSettings(in_flight_requests=1))
    gate = asyncio.Event()

    async def poll(call: Call) -> Reply:
        with call.counted_as_waiting():
            await gate.wait()
        return reply.json({})

    served = specimen(server, route("GET", "/poll", poll), route("GET", "/f", fine))
    waiting = [served.start("GET", "/specimen/poll") for _ in range(3)]
    assert served.get("/specimen/f").status == 200
    server.loop.loop.call_soon_threadsafe(gate.set)
    assert [answer.result(10).status for answer in waiting] == [200, 200, 200]


def test_repeats_that_wait_for_the_first_answer_keep_no_caller_out(server: ServerUnderTest) -> None:
    with_settings(server, limits=LimitSettings(in_flight_requests=2, caller_share_percent=100, gate_seconds=0))
    gate, begun = asyncio.Event(), []

    async def slow(call: Call) -> Reply:
        async def action() -> Reply:
            begun.append(1)
            await gate.wait()
            return reply.json({})

        return await call.act_after(action)

    served = specimen(server, route("POST", "/slow", slow, AccessRule()), route("GET", "/f", fine))
    repeated = [served.start("POST", "/specimen/slow", headers={"idempotency-key": "k"}) for _ in range(5)]
    edge: Any = served.app
    while edge.places.waiting.count < 4:
        server.loop.run(asyncio.sleep(0.01))
    assert served.get("/specimen/f").status == 200
    server.loop.loop.call_soon_threadsafe(gate.set)
    assert [answer.result(10).status for answer in repeated] == [200] * 5
    assert begun == [1]


def test_more_waiting_requests_than_may_be_get_503(server: ServerUnderTest) -> None:
    with_settings(server, limits=LimitSettings(waiting_requests=0))

    async def poll(call: Call) -> Reply:
        with call.counted_as_waiting():
            return reply.json({})

    assert specimen(server, route("GET", "/poll", poll)).get("/specimen/poll").problem() == (503, "UNAVAILABLE")


def test_a_large_answer_arrives_whole(server: ServerUnderTest) -> None:
    text = "x" * 1_000_000

    async def large(_call: Call) -> Reply:
        return reply.json(text)

    answer = specimen(server, route("GET", "/l", large)).get("/specimen/l")
    assert answer.json() == text
    assert answer.headers["content-length"] == str(len(answer.body))


def test_an_answer_whose_stream_breaks_is_left_unfinished(server: ServerUnderTest) -> None:
    closed = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            raise Unavailable("the disk went away")
        finally:
            closed.append(1)

    async def handler(_call: Call) -> Reply:
        return Reply(200, ((b"content-length", b"2"),), stream=stream())

    with pytest.raises(AssertionError, match="not finished"):
        specimen(server, route("GET", "/s", handler)).get("/specimen/s")
    assert closed == [1]


def test_a_caller_without_a_token_is_held_to_its_addresss_rate(server: ServerUnderTest) -> None:
    with_settings(server, limits=LimitSettings(rate_address_per_second=1, rate_address_burst=3))
    served = specimen(server, route("GET", "/f", fine)).as_token(None)
    assert [served.get("/specimen/f").status for _ in range(3)] == [200, 200, 200]
    refused = served.get("/specimen/f")
    assert refused.problem() == (429, "TOO_MANY_REQUESTS")
    assert int(refused.headers["retry-after"]) >= 1
    elsewhere = Client(served.app, served.loop, address="127.0.0.2")
    assert elsewhere.get("/specimen/f").status == 200


def test_wrong_credentials_and_unknown_paths_count_against_the_address(server: ServerUnderTest) -> None:
    with_settings(server, limits=LimitSettings(rate_address_per_second=1, rate_address_burst=2))
    served = specimen(server, route("GET", "/f", fine)).as_token("x" * 64)
    assert served.get("/specimen/nowhere").status == 404
    assert served.get("/specimen/nowhere").status == 404
    assert served.get("/specimen/nowhere").status == 429


@pytest.fixture
def settings() -> Settings:
    return Settings(limits=LimitSettings(rate_token_per_second=1, rate_token_burst=20))


def test_a_token_is_held_to_its_own_rate(server: ServerUnderTest) -> None:
    one, other = server.caller(), server.caller()
    statuses = [one.get(CONTACTS).status for _ in range(22)]
    assert statuses[:20] == [200] * 20
    assert 429 in statuses[20:]
    assert other.get(CONTACTS).status == 200


def test_a_live_server_answers_over_the_network(live_server: LiveServer) -> None:
    import urllib.request

    asked = urllib.request.Request(
        live_server.url + CONTACTS, headers={"Authorization": f"Bearer {live_server.admin_token}"}
    )
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 200

"""The parts of serving: the socket, the address, the alarm, uvicorn's settings. The whole is in tests/unit/cli."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headwater.base.errors import Fatal, Malformed, TooLarge
from headwater.base.settings.table import LimitSettings, ServerSettings, Settings
from headwater.server import serve
from headwater.server.serve import AddressUnusable, ListenAddress, StorageAlarm, address_of, bind, configuration
from tests.support.server.serving import ServerUnderTest


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8484"),
        ("192.0.2.7", "http://192.0.2.7:8484"),
        ("0.0.0.0", "http://127.0.0.1:8484"),
        ("", "http://127.0.0.1:8484"),
        ("::", "http://[::1]:8484"),
        ("::1", "http://[::1]:8484"),
        ("2001:db8::7", "http://[2001:db8::7]:8484"),
        ("sync.example.org", "http://sync.example.org:8484"),
    ],
)
def test_an_address_is_shown_as_a_caller_on_this_machine_writes_it(host: str, url: str) -> None:
    assert ListenAddress(host, 8484).url == url


class TestBind:
    @pytest.fixture
    def bound(self) -> Iterator[socket.socket]:
        with contextlib.closing(bind("127.0.0.1", 0)) as listener:
            yield listener

    def test_any_free_port_is_taken_and_known(self, bound: socket.socket) -> None:
        address = address_of(bound)
        assert address.host == "127.0.0.1"
        assert 0 < address.port < 65536

    def test_no_caller_is_let_in_before_the_start_is_done(self, bound: socket.socket) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", address_of(bound).port), timeout=5)

    def test_a_name_is_bound_as_its_address(self) -> None:
        with contextlib.closing(bind("localhost", 0)) as listener:
            assert address_of(listener).host in {"127.0.0.1", "::1"}

    def test_a_taken_port_is_named(self, bound: socket.socket) -> None:
        bound.listen()
        port = address_of(bound).port
        with pytest.raises(AddressUnusable, match=f"127.0.0.1.*{port}.*in use"):
            bind("127.0.0.1", port)

    @pytest.mark.parametrize("host", ["192.0.2.1", "a" * 300])
    def test_an_address_that_is_none_of_this_machine_is_named(self, host: str) -> None:
        with pytest.raises(AddressUnusable):
            bind(host, 0)


class LateTimer:
    """A timer that never runs out."""

    made: list[tuple[float, Any, tuple[Any, ...]]]

    def __init__(self, seconds: float, function: Any, args: tuple[Any, ...]) -> None:
        self.made.append((seconds, function, args))
        self.daemon = False

    def start(self) -> None:
        assert self.daemon, "a timer that is no daemon would keep the process from ending"


class TestAlarm:
    @pytest.fixture(autouse=True)
    def timers(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        LateTimer.made = []
        monkeypatch.setattr(threading, "Timer", LateTimer)
        return LateTimer.made

    def test_a_failure_of_the_store_ends_the_server(self) -> None:
        alarm, ended = StorageAlarm(), []
        alarm.calls(lambda: ended.append(True))
        assert (ended, alarm.failure) == ([], None)
        failure = Fatal("fsync failed")
        alarm(failure)
        assert (ended, alarm.failure) == ([True], failure)

    def test_a_failure_before_the_server_runs_ends_it_when_it_begins(self) -> None:
        alarm, ended = StorageAlarm(), []
        alarm(Fatal("fsync failed"))
        alarm.calls(lambda: ended.append(True))
        assert ended == [True]

    def test_a_server_that_does_not_end_is_cut_off_with_the_exit_code_of_a_failed_disk(self, timers: list[Any]) -> None:
        StorageAlarm()(Fatal("fsync failed"))
        (seconds, function, arguments) = timers[0]
        assert (function.__name__, arguments) == ("_exit", (serve.EXIT_FATAL,))
        assert seconds > 0


@pytest.mark.sqlite_only
class TestConfiguration:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(
            server=ServerSettings(trusted_proxies=("10.0.0.1",), keep_alive_seconds=17, shutdown_seconds=3),
            limits=LimitSettings(header_bytes=10_000),
        )

    def test_uvicorn_gets_the_limits_of_the_settings(self, server: ServerUnderTest) -> None:
        config = configuration(server.server)
        assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (17, 3)
        assert (config.proxy_headers, config.forwarded_allow_ips) == (True, ["10.0.0.1"])
        assert config.ws_max_size == server.settings.sockets.frame_bytes

    def test_uvicorn_writes_no_log_and_no_headers_of_its_own(self, server: ServerUnderTest) -> None:
        config = configuration(server.server)
        assert (config.access_log, config.server_header, config.log_config) == (False, False, None)

    @pytest.mark.parametrize(
        ("path", "failure", "status", "media"),
        [
            ("/nowhere", Malformed("no HTTP"), 400, b"application/problem+json"),
            ("/api/v1/shares", TooLarge("too large", code="HEADERS_TOO_LARGE"), 431, b"application/problem+json"),
            ("/v2/sync/start", Malformed("no HTTP"), 400, b"application/json"),
        ],
    )
    def test_bytes_that_never_reach_the_edge_get_the_envelope_of_their_door(
        self, server: ServerUnderTest, path: str, failure: Any, status: int, media: bytes
    ) -> None:
        connection: Any = configuration(server.server).http
        answer = connection.refuse(path, failure, status)
        headers = dict(answer.headers)
        assert answer.status == status
        assert headers[b"content-type"].startswith(media)
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"x-request-id"].decode() in answer.body.decode()
        assert json.loads(answer.body)


@pytest.mark.sqlite_only
def test_without_trusted_proxies_no_header_says_where_a_caller_is(server: ServerUnderTest) -> None:
    config = configuration(server.server)
    assert not config.proxy_headers

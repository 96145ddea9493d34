"""While one caller takes every place that it can get, another one works on, and the probe answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from headwater.base.settings.table import FileSettings, LimitSettings, Settings, SocketSettings
from headwater.server.socket_connection import BoundedSocketConnection
from headwater.web.edge.router import Match, Router
from headwater.web.limits import Places, Seat
from tests.support.server import edge_run
from tests.support.server.edge_run import EdgeRun
from tests.support.server.live import LiveServer

pytestmark = pytest.mark.sqlite_only

ATTACKS = 4


@pytest.fixture
def settings() -> Settings:
    limits = LimitSettings(
        in_flight_requests=16, bodies_at_once=16, answers_at_once=16, waiting_requests=64, gate_seconds=1
    )
    return Settings(limits=limits, files=FileSettings(uploads_at_once=8), sockets=SocketSettings(send_seconds=1))


def test_one_caller_that_takes_all_it_can_get_stops_no_other(live_server: LiveServer) -> None:
    with EdgeRun(live_server) as run:
        run.attack()
        assert run.findings() == []


def test_a_socket_that_floods_pings_and_reads_nothing_is_cut(live_server: LiveServer) -> None:
    with EdgeRun(live_server) as run:
        assert run.flood() < edge_run.FLOOD_BYTES


def is_found(run: EdgeRun, wanted: set[str]) -> bool:
    """True when a few attacks make one of these findings; on a busy machine the first may be too early or too late."""
    for _ in range(ATTACKS):
        run.attack()
        if wanted & {finding.partition(":")[0] for finding in run.findings()}:
            return True
    return False


def no_share(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Places, "has_room", lambda self, _caller, size=1: self.count + size <= self.limit)


def no_standing_aside(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def stays(_seat: Seat) -> Generator[None]:
        yield

    patch.setattr(Seat, "_aside", stays)
    no_share(patch)


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (no_share, {"upload", "download", "long poll", "write"}),
        (no_standing_aside, {"read"}),
    ],
)
def test_the_run_finds_a_planted_fault(
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    found: set[str],
) -> None:
    plant(monkeypatch)
    with EdgeRun(live_server) as run:
        assert is_found(run, found)


def test_the_run_finds_a_probe_that_needs_a_place(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    no_standing_aside(monkeypatch)
    find = Router.find

    def counted(self: Router, method: str, path: str) -> Match:
        found = find(self, method, path)
        return found._replace(route=replace(found.route, counted=True))

    monkeypatch.setattr(Router, "find", counted)
    with EdgeRun(live_server) as run:
        assert is_found(run, {"probe"})


def test_the_run_finds_pongs_without_flow_control(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    without = super(BoundedSocketConnection, BoundedSocketConnection).pause_writing
    monkeypatch.setattr(BoundedSocketConnection, "pause_writing", without)
    with EdgeRun(live_server) as run:
        assert run.flood() >= edge_run.FLOOD_BYTES

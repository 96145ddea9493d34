"""One side of a WebSocket by itself: what it sends, what it takes, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headwater.base.settings.table import Settings, SocketSettings
from headwater.identity.principal import ANONYMOUS
from headwater.web.services import Services
from headwater.web.sockets import CLOSE_SLOW, CLOSE_TOO_BIG, Closed, Socket

SETTINGS = Settings(sockets=SocketSettings(send_seconds=10, frame_bytes=1024))
IMPATIENT = Settings(sockets=SocketSettings(send_seconds=0, frame_bytes=1024))


class Peer:
    """The other side: what it was sent, what it says, and a failure of the network."""

    def __init__(self, *said: dict[str, Any], failure: Exception | None = None, silent: bool = False) -> None:
        self.got: list[dict[str, Any]] = []
        self.said = list(said)
        self.failure = failure
        self.silent = silent

    async def send(self, message: Any) -> None:
        if self.failure is not None:
            raise self.failure
        if self.silent and message["type"] == "websocket.send":
            await asyncio.Event().wait()
        self.got.append(message)

    async def receive(self) -> Any:
        return self.said.pop(0)


def with_peer(peer: Peer, work: Callable[[Socket], Coroutine[Any, Any, Any]], settings: Settings = SETTINGS) -> Any:
    services = cast("Services", SimpleNamespace(settings=settings))
    socket = Socket(services, ANONYMOUS, {}, {}, peer.receive, peer.send)
    return asyncio.run(work(socket))


def test_a_frame_goes_out_as_one_json_text() -> None:
    peer = Peer()

    async def work(socket: Socket) -> None:
        await socket.accept()
        await socket.send({"type": "ping", "name": "Bjørn"})

    with_peer(peer, work)
    assert peer.got == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": '{"type":"ping","name":"Bjørn"}'},
    ]


@pytest.mark.parametrize("text", ["", "{}", "x" * 1024])
def test_a_text_up_to_the_limit_is_given_on(text: str) -> None:
    assert with_peer(Peer({"type": "websocket.receive", "text": text}), lambda socket: socket.receive()) == text


@pytest.mark.parametrize(
    "message",
    [{"text": "x" * 1025}, {"bytes": b"x"}, {"text": None, "bytes": b"x"}],
    ids=["too large", "binary", "both"],
)
def test_a_frame_that_is_too_large_or_no_text_ends_the_socket(message: dict[str, Any]) -> None:
    peer = Peer({"type": "websocket.receive", **message})

    async def work(socket: Socket) -> bool:
        with pytest.raises(Closed):
            await socket.receive()
        return socket.closed

    assert with_peer(peer, work)
    assert [(message["type"], message["code"]) for message in peer.got] == [("websocket.close", CLOSE_TOO_BIG)]


def test_a_peer_that_left_is_sent_nothing_more() -> None:
    peer = Peer({"type": "websocket.disconnect", "code": 1000})

    async def work(socket: Socket) -> None:
        with pytest.raises(Closed):
            await socket.receive()
        with pytest.raises(Closed):
            await socket.send({"type": "ping"})
        await socket.close(1000)

    with_peer(peer, work)
    assert peer.got == []


@pytest.mark.parametrize("step", ["accept", "send"])
def test_a_lost_connection_is_a_closed_socket(step: str) -> None:
    async def work(socket: Socket) -> bool:
        with pytest.raises(Closed):
            await (socket.accept() if step == "accept" else socket.send({}))
        return socket.closed

    assert with_peer(Peer(failure=ConnectionResetError()), work)


def test_a_peer_that_does_not_read_in_time_is_closed_as_slow() -> None:
    peer = Peer(silent=True)

    async def work(socket: Socket) -> bool:
        with pytest.raises(Closed):
            await socket.send({"type": "ping"})
        return socket.closed

    assert with_peer(peer, work, IMPATIENT)
    assert [(message["type"], message["code"]) for message in peer.got] == [("websocket.close", CLOSE_SLOW)]


def test_a_socket_is_closed_once() -> None:
    peer = Peer()

    async def work(socket: Socket) -> None:
        await socket.close(4001, "ended")
        await socket.close(4002, "again")

    with_peer(peer, work)
    assert peer.got == [{"type": "websocket.close", "code": 4001, "reason": "ended"}]


@pytest.mark.parametrize("failure", [ConnectionResetError(), RuntimeError("already closed")])
def test_closing_a_socket_that_is_lost_raises_nothing(failure: Exception) -> None:
    async def work(socket: Socket) -> bool:
        await socket.close(1000)
        return socket.closed

    assert with_peer(Peer(failure=failure), work)

"""kill -9 aimed into requests on their way: uploads, complete, apply, packed uploads.

Each round sends one request of every kind so that a single kill strikes each at a moment of its own, from its first
byte to after its last. The server then starts again on what it left. What it acknowledged is there; what it did not is
there wholly or not at all; and the same request once more leads to the same end.
"""

from __future__ import annotations

import http.client
import random
import signal
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import pytest

from tests.support.command import RunningServer, headwater, running
from tests.support.replica import Follower
from tests.support.server.wire import Reply, Wire, packed, unpacked
from tests.support.store.databases import UNMADE

PART_BYTES = 512 * 1024
PARTS = 4
SMALL_FILES = 120
TUS = {"tus_resumable": "1.0.0"}
DIES_BEFORE_IT_ANSWERS = """
import asyncio, os, signal, sys
from headwater.cli.main import main
from headwater.web.edge.app import Edge

KINDS = int(sys.argv.pop(1))
handle = Edge.__call__
armed = []
answered = []

async def dying(edge, scope, receive, send):
    async def held(message):
        if armed and message["type"] == "http.response.start":
            answered.append(message["status"])
            if len(answered) == KINDS:
                os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.sleep(60)
        await send(message)
    await handle(edge, scope, receive, held)

Edge.__call__ = dying
signal.signal(signal.SIGUSR1, lambda *_: armed.append(True))
sys.exit(main(sys.argv[1:]))
"""
"""A server that handles so many requests after SIGUSR1 and is killed before the first of them is answered."""

Contents = dict[str, bytes]
"""Path of each file to its content."""


class Visible(NamedTuple):
    """What of a request can be seen: before it, after it, and when it was sent again and all is done."""

    before: Contents
    after: Contents
    end: Contents


@dataclass
class Shot:
    """One request, and what became of it before the kill."""

    kind: str
    visible: Visible
    send: Callable[[Wire], Reply]
    again: Callable[[Wire, Reply | None], None]
    """After the restart: judges what a client is told, and leads the same request to its end."""
    reply: Reply | None = None
    seconds: float = 0.0

    def fire(self, server: RunningServer, delay_seconds: float) -> None:
        """Send it after a while; a connection that breaks leaves it without an answer."""
        with Wire(server.url, server.admin_token) as wire:
            sleep(delay_seconds)
            began = monotonic()
            try:
                self.reply = self.send(wire)
            except (OSError, http.client.HTTPException):
                return
            self.seconds = monotonic() - began


class Round:
    """A folder of a share in which one request of each kind is made ready."""

    def __init__(self, wire: Wire, share: str, name: str) -> None:
        self.wire = wire
        self.share = share
        self.name = name

    def shots(self) -> list[Shot]:
        """One of each kind."""
        return [self._patch(), self._part(), self._complete(), self._packed(), self._apply(False), self._apply(True)]

    def _content(self, size_bytes: int, *seed: object) -> bytes:
        return random.Random(f"{self.name} {seed}").randbytes(size_bytes)

    def _patch(self) -> Shot:
        content = self._content(PARTS * PART_BYTES, "tus")
        path = f"/{self.name}/patch/file"
        begun = self.wire.send(
            "POST", f"/api/v1/uploads?share_id={self.share}", b"", **TUS, upload_length=str(len(content)),
            upload_metadata=f"path {b64encode(path.encode()).decode()}",
        )  # fmt: skip
        assert begun.status == 201, begun.body
        address = begun.headers["location"]

        def patch(wire: Wire, offset: int = 0) -> Reply:
            more = {"upload_offset": str(offset), "content_type": "application/offset+octet-stream"}
            return wire.send("PATCH", address, content[offset:], **TUS, **more)

        def again(wire: Wire, reply: Reply | None) -> None:
            offset = int(wire.send("HEAD", address, **TUS).headers["upload-offset"])
            assert reply is None or (reply.status, offset) == (204, len(content))
            assert patch(wire, offset).status == 204

        return Shot("patch", Visible({}, {path: content}, {path: content}), patch, again)

    def _session(self, kind: str) -> tuple[str, str, bytes]:
        content = self._content(PARTS * PART_BYTES, kind)
        path = f"/{self.name}/{kind}/file"
        fields = {"share_id": self.share, "path": path, "commit": True, "file_size": len(content)}
        begun = self.wire.call("POST", "/api/v1/uploads", fields | {"chunk_size": PART_BYTES})
        assert begun.status == 201, begun.body
        return f"/api/v1/uploads/{begun.json()['session_id']}", path, content

    def _part(self) -> Shot:
        address, path, content = self._session("part")

        def put(wire: Wire, number: int = 2) -> Reply:
            chunk = content[number * PART_BYTES : (number + 1) * PART_BYTES]
            return wire.send("PUT", f"{address}/chunks/{number}", chunk)

        def again(wire: Wire, reply: Reply | None) -> None:
            received = wire.get(address)["received_chunks"]
            assert received in ([], [2])
            assert reply is None or (reply.status, received) == (200, [2])
            for number in set(range(PARTS)) - set(received):
                assert put(wire, number).status == 200
            assert wire.call("POST", f"{address}/complete").json()["status"] == "created"

        return Shot("part", Visible({}, {}, {path: content}), put, again)

    def _complete(self) -> Shot:
        address, path, content = self._session("complete")
        for number in range(PARTS):
            chunk = content[number * PART_BYTES : (number + 1) * PART_BYTES]
            assert self.wire.send("PUT", f"{address}/chunks/{number}", chunk).status == 200

        def complete(wire: Wire) -> Reply:
            return wire.call("POST", f"{address}/complete")

        def again(wire: Wire, reply: Reply | None) -> None:
            progress = wire.get(address)
            assert progress["received_bytes"] == len(content)
            repeated = complete(wire)
            assert repeated.status == 200, repeated.body
            if reply is not None:
                assert progress["status"] == "complete"
                assert repeated.json()["version_id"] == reply.json()["version_id"]
            self._require_versions(wire, path, 1)

        return Shot("complete", Visible({}, {path: content}, {path: content}), complete, again)

    def _packed(self) -> Shot:
        files = {f"/{self.name}/packed/{n % 7}/{n}": self._content(n * 40, n) for n in range(SMALL_FILES)}
        stream = packed(({"path": path}, content) for path, content in files.items())

        def upload(wire: Wire) -> Reply:
            address = f"/api/v1/uploads/packed?share_id={self.share}"
            return wire.send("POST", address, stream, idempotency_key=self.name)

        def again(wire: Wire, reply: Reply | None) -> None:
            repeated = upload(wire)
            assert [result["status"] for result in repeated.json()["results"]] == ["created"] * SMALL_FILES
            assert reply is None or repeated.json() == reply.json()
            self._require_versions(wire, f"/{self.name}/packed/1/1", 1)

        return Shot("packed", Visible({}, files, files), upload, again)

    def _apply(self, atomic: bool) -> Shot:
        """Edits, renames, moves, deletions and creations, a tenth of the files each."""
        kind = "atomic" if atomic else "apply"
        folder = f"/{self.name}/{kind}"
        before = {f"{folder}/{n}": self._content(200, kind, n) for n in range(SMALL_FILES)}
        before[f"{folder}/sub/kept"] = b"kept"
        made = self._upload(before)
        fresh = [self._content(300, kind, "new", n) for n in range(SMALL_FILES)]
        staged = self._upload({f"/{n}": content for n, content in enumerate(fresh)}, "&stage=true")
        after = dict(before)
        items: list[dict[str, Any]] = []
        for n in range(SMALL_FILES):
            path, new = f"{folder}/{n}", f"{folder}/new {n}"
            item = {"resource_id": made[path][0], "base_version_id": made[path][1], "old_path": path}
            match n % 10:
                case 0 | 1 | 2:
                    item |= {"change_type": "updated", "version_id": staged[f"/{n}"][1]}
                    after[path] = fresh[n]
                case 3 | 4:
                    item |= {"change_type": "renamed", "new_path": new}
                    after[new] = after.pop(path)
                case 5 | 6:
                    item |= {"change_type": "moved", "new_path": f"{folder}/sub/{n}"}
                    after[f"{folder}/sub/{n}"] = after.pop(path)
                case 7 | 8:
                    item |= {"change_type": "deleted"}
                    del after[path]
                case _:
                    item = {"change_type": "created", "new_path": new, "version_id": staged[f"/{n}"][1]}
                    after[new] = fresh[n]
            details = {"client_change_id": f"{self.name} {kind} {n}"}
            items.append({"resource_type": "file", "metadata": details, **item})
        body = {"device_id": "laptop", "share_id": self.share, "changes": items, "atomic": atomic}

        def apply(wire: Wire) -> Reply:
            return wire.call("POST", "/api/v1/sync/apply", body)

        def again(wire: Wire, reply: Reply | None) -> None:
            repeated = apply(wire).json()
            assert [one["index"] for one in repeated["applied"]] == list(range(SMALL_FILES))
            # Not "unchanged": what was done before is told as it was told, or would have been, the first time.
            assert {one["outcome"] for one in repeated["applied"]} == {"applied"}
            assert reply is None or repeated == reply.json()
            self._require_versions(wire, f"{folder}/0", 2)

        return Shot(kind, Visible(before, after, after), apply, again)

    def _upload(self, files: Contents, more: str = "") -> dict[str, tuple[str | None, str]]:
        """File and version of each path."""
        stream = packed(({"path": path}, content) for path, content in files.items())
        answer = self.wire.send("POST", f"/api/v1/uploads/packed?share_id={self.share}{more}", stream).json()
        results = zip(files, answer["results"], strict=True)
        return {path: (result.get("resource_id"), result["version_id"]) for path, result in results}

    def _require_versions(self, wire: Wire, path: str, count: int) -> None:
        """What was done twice made nothing twice."""
        node = wire.get(f"/api/v1/shares/{self.share}/node?path={path.replace(' ', '%20')}")
        assert len(wire.get(f"/api/v1/shares/{self.share}/nodes/{node['id']}/versions")["data"]) == count


def contents(wire: Wire, share: str, folder: str) -> Contents:
    """Every file below a folder, as a new device gets them."""
    tree = Follower(wire, share).pull_all(5000).nodes.tree()
    paths = [path for path, (_, kind, _) in tree.items() if kind == "file" and path.startswith(f"{folder}/")]
    asked = {"share_id": share, "file_ids": [tree[path][0] for path in paths]}
    found: Contents = {}
    for head, content in unpacked(wire.call("POST", "/api/v1/downloads/batch", asked).body):
        assert "error" not in head
        found[paths[head["index"]]] = content
    assert len(found) == len(paths)
    return found


def below(found: Contents, folder: str) -> Contents:
    return {path: content for path, content in found.items() if path.startswith(f"{folder}/")}


def fire(server: RunningServer, shots: list[Shot], delays: list[float], kill_after: float | None = None) -> None:
    """Send every request after its delay, and kill the server in the midst of them."""
    threads = [
        threading.Thread(target=shot.fire, args=(server, delay)) for shot, delay in zip(shots, delays, strict=True)
    ]
    for thread in threads:
        thread.start()
    if kill_after is not None:
        sleep(kill_after)
        server.process.kill()
    for thread in threads:
        thread.join()


def make_share(wire: Wire) -> str:
    assert wire.call("POST", "/api/v1/sync/devices", {"device_id": "laptop", "platform": "linux"}).status == 201
    return str(wire.call("POST", "/api/v1/shares", {"name": "Documents"}).json()["id"])


def judge(wire: Wire, round_: Round, shots: list[Shot]) -> dict[str, str]:
    """What the kill left of each request: acknowledged, done or absent. Each is sent once more."""
    fates: dict[str, str] = {}
    found = contents(wire, round_.share, f"/{round_.name}")
    for shot in shots:
        seen = below(found, f"/{round_.name}/{shot.kind}")
        assert seen in (shot.visible.before, shot.visible.after), f"{shot.kind} is there by halves"
        done = seen == shot.visible.after
        assert done or shot.reply is None, f"{shot.kind} was acknowledged and is not there"
        shot.again(wire, shot.reply)
        fates[shot.kind] = "acknowledged" if shot.reply else "done" if done else "absent"
    found = contents(wire, round_.share, f"/{round_.name}")
    for shot in shots:
        assert below(found, f"/{round_.name}/{shot.kind}") == shot.visible.end
    return fates


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The folder of a server, and the options that name its database."""
    with UNMADE[request.param](tmp_path) as address:
        yield tmp_path / "data", ("--database", address) if request.param == "postgres" else ()


@pytest.mark.slow
def test_a_kill_at_any_moment_of_a_request_leaves_it_whole_or_absent(place: tuple[Path, tuple[str, ...]]) -> None:
    data, more = place
    rounds = 1 if more else 4
    dice = random.Random()
    with ExitStack() as stack:
        server = stack.enter_context(running(data, *more))
        with Wire(server.url, server.admin_token) as wire:
            share = make_share(wire)
            watcher = Follower(wire, share).pull_all()
            # The first round is not struck: it tells how long each request takes when all come at once.
            round_ = Round(wire, share, "round0")
            shots = round_.shots()
            fire(server, shots, [0.0] * len(shots))
            assert set(judge(wire, round_, shots).values()) == {"acknowledged"}
            seconds = [shot.seconds for shot in shots]
        moments = [dice.sample(range(rounds), rounds) for _ in shots]
        for number in range(rounds):
            with Wire(server.url, server.admin_token) as wire:
                round_ = Round(wire, share, f"round{number + 1}")
                shots = round_.shots()
                # Each request is struck in another part of its time in each round, the last part after its end.
                struck = [
                    1.2 * whole * (order[number] + dice.random()) / rounds
                    for whole, order in zip(seconds, moments, strict=True)
                ]
                fire(server, shots, [max(struck) - before for before in struck], max(struck))
            server = stack.enter_context(running(data, *more))
            with Wire(server.url, server.admin_token) as wire:
                round_.wire = watcher.wire = wire
                judge(wire, round_, shots)
                assert watcher.pull_all().nodes.tree() == Follower(wire, share).pull_all().nodes.tree()
        assert headwater("verify", "--data", data, *more).returncode == 0


@pytest.mark.slow
def test_a_kill_between_the_commit_and_the_answer_is_made_good_by_the_same_request(
    place: tuple[Path, tuple[str, ...]],
) -> None:
    data, more = place
    with running(data, *more, program=("-c", DIES_BEFORE_IT_ANSWERS, "6")) as server:
        with Wire(server.url, server.admin_token) as wire:
            round_ = Round(wire, make_share(wire), "round")
            shots = round_.shots()
        server.process.send_signal(signal.SIGUSR1)
        fire(server, shots, [0.0] * len(shots))
        assert server.process.wait(60) == -signal.SIGKILL
    with running(data, *more) as server, Wire(server.url, server.admin_token) as wire:
        round_.wire = wire
        assert judge(wire, round_, shots) == {shot.kind: "done" for shot in shots}
    assert headwater("verify", "--data", data, *more).returncode == 0

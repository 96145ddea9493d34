"""A server that is killed has lost nothing that it acknowledged and shows nothing half; memory stays flat."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.command import RunningServer, headwater, running
from tests.support.content import KIB, MIB, content_of

PART = 64 * KIB


def ask(
    server: RunningServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, Any]:
    """Status, body and headers of one request over a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Authorization": f"Bearer {server.admin_token}", **named})
    answer = connection.getresponse()
    with contextlib.closing(connection):
        return answer.status, answer.read(), answer.headers


def make_share(server: RunningServer) -> str:
    return str(server.call("POST", "/api/v1/shares", {"name": "Documents"})["id"])


@pytest.mark.slow
def test_chunks_that_were_acknowledged_before_a_kill_are_there_after_it(tmp_path: Path) -> None:
    content = content_of(40 * PART)
    acknowledged: set[int] = set()
    with running(tmp_path / "state") as server:
        fields = {"share_id": make_share(server), "file_size": len(content), "chunk_size": PART, "path": "/a/b"}
        session = server.call("POST", "/api/v1/uploads", {**fields, "commit": True})["session_id"]

        def send() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                for number in range(40):
                    body = content[number * PART : (number + 1) * PART]
                    if ask(server, "PUT", f"/api/v1/uploads/{session}/chunks/{number}", body)[0] == 200:
                        acknowledged.add(number)
                        enough.set() if number == 8 else None

        enough = threading.Event()
        sending = threading.Thread(target=send)
        sending.start()
        assert enough.wait(60)
        server.stop(signal.SIGKILL)
        sending.join()
    with running(tmp_path / "state") as server:
        progress = server.call("GET", f"/api/v1/uploads/{session}")
        there = set(progress["received_chunks"])
        assert acknowledged <= there
        assert server.call("GET", f"/api/v1/shares/{fields['share_id']}/children")["data"] == []
        for number in sorted(set(range(40)) - there):
            ask(server, "PUT", f"/api/v1/uploads/{session}/chunks/{number}", content[number * PART :][:PART])
        done = server.call("POST", f"/api/v1/uploads/{session}/complete")
        assert ask(server, "GET", f"/api/v1/sync/download/{done['resource_id']}")[1] == content
    assert headwater("verify", "--data", tmp_path / "state").returncode == 0


@pytest.mark.slow
def test_a_kill_among_packed_uploads_leaves_each_whole_or_absent(tmp_path: Path) -> None:
    answered: list[str] = []
    with running(tmp_path / "state") as server:
        share = make_share(server)

        def send() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                for number in range(1000):
                    parts = []
                    for file in range(20):
                        body = content_of(500, number * 100 + file)
                        head = {"path": f"/{number}/{file}", "size": len(body)}
                        parts.append(json.dumps(head).encode() + b"\n" + body)
                    status, _, _ = ask(server, "POST", f"/api/v1/uploads/packed?share_id={share}", b"".join(parts))
                    assert status == 200
                    answered.append(str(number))
                    if number == 5:
                        enough.set()

        enough = threading.Event()
        sending = threading.Thread(target=send)
        sending.start()
        assert enough.wait(60)
        server.stop(signal.SIGKILL)
        sending.join()
    with running(tmp_path / "state") as server:
        folders = server.call("GET", f"/api/v1/shares/{share}/children?limit=1000")["data"]
        names = {folder["name"] for folder in folders}
        assert set(answered) <= names
        assert len(names) <= len(answered) + 1
        for folder in folders:
            paths = [f"/{folder['name']}/{file}" for file in range(20)]
            body = json.dumps({"share_id": share, "paths": paths}).encode()
            stream = ask(server, "POST", "/api/v1/downloads/batch", body)[1]
            for file in range(20):
                assert content_of(500, int(folder["name"]) * 100 + file) in stream
    assert headwater("verify", "--data", tmp_path / "state").returncode == 0
    assert headwater("gc", "--data", tmp_path / "state", "--set", "files.gc_grace_seconds=60").returncode == 0


@pytest.mark.slow
def test_a_file_of_64_mib_goes_up_and_down_in_memory_that_does_not_grow_with_it(tmp_path: Path) -> None:
    content = content_of(64 * MIB)
    with running(tmp_path / "state") as server:
        share = make_share(server)

        def upload(body: bytes, name: str) -> str:
            tus = {"tus_resumable": "1.0.0", "content_type": "application/offset+octet-stream"}
            status, _, headers = ask(
                server, "POST", f"/api/v1/uploads?share_id={share}", body, upload_length=str(len(body)),
                upload_metadata="filename " + name, **tus,
            )  # fmt: skip
            assert status == 201
            return str(headers["x-resource-id"])

        small = upload(content[: 16 * MIB], "c21hbGw=")
        assert len(ask(server, "GET", f"/api/v1/sync/download/{small}")[1]) == 16 * MIB
        before = _peak_kib(server)
        large = upload(content, "bGFyZ2U=")
        assert ask(server, "GET", f"/api/v1/sync/download/{large}")[1] == content
        assert _peak_kib(server) - before < 24 * KIB


def _peak_kib(server: RunningServer) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))

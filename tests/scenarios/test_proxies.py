"""The settings that deploy/proxies gives for each proxy, run with the real proxy before a real server.

A proxy that is not installed is left out. ``HEADWATER_TEST_WAIT_SECONDS=60`` holds the long polls for as long as they
may last; the suite holds them for two seconds.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

import pytest
from tusclient.client import TusClient
from websockets.sync.client import connect

from headwater.base.settings.table import ServerSettings, Settings
from tests.support.server.live import LiveServer

pytestmark = [pytest.mark.sqlite_only, pytest.mark.slow]

FOLDER = Path(__file__).parents[2] / "deploy" / "proxies"
WAIT_SECONDS = int(os.environ.get("HEADWATER_TEST_WAIT_SECONDS", "2"))
START_SECONDS = 20.0
PREFIX = "/headwater"


class Proxy(NamedTuple):
    """A proxy's settings on free ports: its file, what is changed in it, and how it is started."""

    file: str
    changes: Callable[[int, int, Path], list[tuple[str, str]]]
    command: Callable[[Path, Path], list[str]]


def of_nginx(port: int, server: int, folder: Path) -> list[tuple[str, str]]:
    temporary = "".join(
        f" {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return [
        ("http {", f"http {{ access_log off;{temporary}"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("127.0.0.1:8484", f"127.0.0.1:{server}"),
    ]


PROXIES = {
    "nginx": Proxy(
        "nginx.conf",
        of_nginx,
        lambda file, folder: [
            "nginx", "-p", str(folder), "-c", str(file), "-e", str(folder / "errors"),
            "-g", f"daemon off; master_process off; pid {folder}/pid;",
        ],
    ),
    "haproxy": Proxy(
        "haproxy.cfg",
        lambda port, server, _: [("bind :80 ", f"bind 127.0.0.1:{port} "), ("127.0.0.1:8484", f"127.0.0.1:{server}")],
        lambda file, _: ["haproxy", "-db", "-f", str(file)],
    ),
    "caddy": Proxy(
        "Caddyfile",
        lambda port, server, _: [
            ("http://sync.example.org {", f"{{\n\tadmin off\n}}\nhttp://127.0.0.1:{port} {{"),
            ("127.0.0.1:8484", f"127.0.0.1:{server}"),
        ],
        lambda file, _: ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"],
    ),
}  # fmt: skip


class Way(NamedTuple):
    """A way to the server: through a proxy's port, below a prefix or not."""

    port: int
    prefix: str
    token: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by name in lower case, and body."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS + 60)
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        content = None if body is None else json.dumps(body).encode()
        with contextlib.closing(link):
            link.request(method, path, content, {**sent, "Content-Type": "application/json", **headers})
            answer = link.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.fixture
def settings() -> Settings:
    return Settings(server=ServerSettings(trusted_proxies=("127.0.0.1",)))


@pytest.fixture(params=[*PROXIES])
def port(request: pytest.FixtureRequest, live_server: LiveServer, tmp_path: Path) -> Iterator[int]:
    name = request.param
    if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") is None:
        pytest.skip(f"{name} is not installed")
    with running(PROXIES[name], live_server.port, tmp_path) as found:
        yield found


@pytest.fixture(params=["", PREFIX], ids=["bare", "prefix"])
def way(request: pytest.FixtureRequest, port: int, live_server: LiveServer) -> Way:
    return Way(port, request.param, live_server.admin_token)


@contextmanager
def running(proxy: Proxy, server: int, tmp_path: Path) -> Iterator[int]:
    """The proxy with its own settings on a free port, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path / "proxy"
    folder.mkdir()
    text = (FOLDER / proxy.file).read_text()
    for old, new in proxy.changes(port, server, folder):
        assert old in text
        text = text.replace(old, new)
    file = folder / proxy.file
    file.write_text(text)
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    environment = {**os.environ, "PATH": path, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "out").open("wb") as out:
        started = subprocess.Popen(proxy.command(file, folder), env=environment, stdout=out, stderr=out, cwd=folder)
    try:
        wait_until_ready(port, started, folder / "out")
        yield port
    finally:
        started.terminate()
        started.wait(20)


def wait_until_ready(port: int, started: subprocess.Popen[bytes], out: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert started.poll() is None, out.read_text()
        try:
            if Way(port, "", "").ask("GET", "/readyz")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(out.read_text())


def test_the_page_shows_the_files_as_they_are() -> None:
    page = (FOLDER.parents[1] / "docs" / "proxies.md").read_text()
    files = [path for path in sorted(FOLDER.iterdir()) if path.is_file()]
    assert len(files) == 4
    assert [path.name for path in files if path.read_text().rstrip("\n") not in page] == []


def test_a_contact_is_created_and_its_links_lead_back(way: Way) -> None:
    path = f"{way.prefix}/api/v1/contacts"
    status, headers, _ = way.ask("POST", path, {"first_name": "Ada"})
    place = urljoin(path, headers["location"])
    assert (status, place) == (201, f"{path}/c-00001")
    status, _, body = way.ask("GET", place)
    assert (status, json.loads(body)["first_name"]) == (200, "Ada")
    link = way.ask("GET", path)[1]["link"]
    assert {urljoin(path, target) for target in re.findall(r"<([^?]+)\?", link)} == {path}
    assert json.loads(way.ask("GET", f"{path}/none")[2])["type"] == f"{way.prefix}/docs/errors#NOT_FOUND"


def test_no_caller_through_a_proxy_is_taken_for_this_machine(way: Way) -> None:
    bare = way._replace(token="")
    assert bare.ask("GET", f"{way.prefix}/api/v1/contacts")[0] == 401
    for _ in range(5):
        # Caddy may break off an answer that comes before it has sent the whole body.
        with contextlib.suppress(http.client.IncompleteRead):
            assert bare.ask("POST", f"{way.prefix}/api/v1/contacts", {"first_name": "x"})[0] == 401
            return
    raise AssertionError("no refusal came through")


def test_the_pages_of_the_api_find_their_style(way: Way) -> None:
    status, _, page = way.ask("GET", f"{way.prefix}/docs")
    style = re.search(rb'rel="stylesheet" href="([^"]+)"', page)
    assert status == 200
    assert style is not None
    assert way.ask("GET", f"{way.prefix}/{style[1].decode().removeprefix('./')}")[0] == 200


def test_a_published_client_of_tus_uploads_in_pieces(way: Way) -> None:
    share = json.loads(way.ask("POST", f"{way.prefix}/api/v1/shares", {"name": "Oslo"})[2])["id"]
    content = os.urandom(7_000_000)
    url = f"http://127.0.0.1:{way.port}{way.prefix}/api/v1/uploads"
    client = TusClient(url, headers={"Authorization": f"Bearer {way.token}"})
    uploader = client.uploader(
        file_stream=io.BytesIO(content), chunk_size=3_000_000, metadata={"share_id": share, "path": "/a.bin"}
    )
    uploader.upload()
    assert uploader.offset == len(content)
    listed = json.loads(way.ask("GET", f"{way.prefix}/api/v1/shares/{share}/node?path=/a.bin")[2])
    status, _, got = way.ask("GET", f"{way.prefix}/api/v1/sync/download/{listed['id']}")
    assert (status, got == content) == (200, True)


def test_what_arrived_of_an_upload_that_breaks_off_is_not_left_at_the_proxy(way: Way) -> None:
    share = json.loads(way.ask("POST", f"{way.prefix}/api/v1/shares", {"name": "Oslo"})[2])["id"]
    metadata = "share_id " + base64.b64encode(share.encode()).decode()
    path, tus = f"{way.prefix}/api/v1/uploads", {"Tus-Resumable": "1.0.0"}
    begun = way.ask("POST", path, **tus, **{"Upload-Length": "8000000", "Upload-Metadata": metadata})
    place = urljoin(path, begun[1]["location"])
    head = (
        f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1:{way.port}\r\nAuthorization: Bearer {way.token}\r\n"
        "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
        "Content-Length: 8000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", way.port)) as broken:
        broken.sendall(head.encode() + os.urandom(3_000_000))
        time.sleep(0.5)
    until, offset = time.monotonic() + START_SECONDS, 0
    while not offset and time.monotonic() < until:
        offset = int(way.ask("HEAD", place, **tus)[1].get("upload-offset", 0))
    assert 0 < offset <= 3_000_000


def test_a_long_poll_lasts_as_long_as_it_may(way: Way) -> None:
    path = f"{way.prefix}/api/v1/feed"
    cursor = json.loads(way.ask("GET", path)[2])["cursor"]
    began = time.monotonic()
    status, _, body = way.ask("GET", f"{path}?cursor={cursor}&wait={WAIT_SECONDS}")
    assert (status, json.loads(body)["changes"]) == (200, [])
    assert time.monotonic() - began >= WAIT_SECONDS - 0.5


def test_a_socket_is_opened_and_nudged(way: Way) -> None:
    url = f"ws://127.0.0.1:{way.port}{way.prefix}/api/v1/feed/ws"
    with connect(url, additional_headers={"Authorization": f"Bearer {way.token}"}) as opened:
        way.ask("POST", f"{way.prefix}/api/v1/contacts", {"first_name": "Ada"})
        head = 0
        while not head:
            head = json.loads(opened.recv(timeout=30)).get("head", 0)
        assert head > 0

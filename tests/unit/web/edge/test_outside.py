"""The server behind proxies, for probes, and for pages of other origins: every door alike."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from headwater.base.settings.table import ServerSettings, Settings
from headwater.web.edge.outside import is_probe, method_of
from tests.support.server.asgi import Client
from tests.support.server.doors import Door, doors
from tests.support.server.serving import ServerUnderTest

pytestmark = pytest.mark.sqlite_only

APP = "https://app.example.no"
OPEN_TO_APP = Settings(server=ServerSettings(allowed_origins=(APP,)))
BELOW = Settings(server=ServerSettings(public_url="https://a.example/hw"))
TUS = {"tus-resumable": "1.0.0"}
BYTES = {**TUS, "content-type": "application/offset+octet-stream", "upload-offset": "0"}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    found: Settings = getattr(request, "param", Settings())
    return found


def begun(client: Client, size: int = 4) -> str:
    share = client.post("/api/v1/shares", json={"name": "Oslo"}).json()["id"]
    pairs = {"share_id": share, "path": "/a.bin"}
    metadata = ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in pairs.items())
    made = client.post("/api/v1/uploads", headers={**TUS, "upload-length": str(size), "upload-metadata": metadata})
    return made.headers["location"]


@pytest.mark.parametrize("door", doors(), ids=lambda door: door.name)
def test_options_is_204_with_the_methods_of_every_route(server: ServerUnderTest, door: Door) -> None:
    answer = server.public.request("OPTIONS", door.path.replace("{", "").replace("}", ""))
    assert answer.status == 204
    assert {door.route.method, "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_options_of_a_socket_is_204_and_of_nothing_404(client: Client) -> None:
    assert client.request("OPTIONS", "/api/v1/feed/ws").headers["allow"] == "GET, OPTIONS"
    assert client.request("OPTIONS", "/nowhere").problem() == (404, "PATH_NOT_FOUND")


@pytest.mark.parametrize("settings", [OPEN_TO_APP], indirect=True)
@pytest.mark.parametrize("door", doors(), ids=lambda door: door.name)
def test_a_preflight_of_every_route_names_its_methods(server: ServerUnderTest, door: Door) -> None:
    asks = {"origin": APP, "access-control-request-method": door.route.method}
    path = door.path.replace("{", "").replace("}", "")
    answer = server.public.request("OPTIONS", path, headers=asks)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, APP)
    assert door.route.method in answer.headers["access-control-allow-methods"].split(", ")
    assert "access-control-max-age" in answer.headers
    foreign = server.public.request("OPTIONS", path, headers={**asks, "origin": "https://evil.example"})
    assert not [name for name in foreign.headers if name.startswith("access-control")]


@pytest.mark.parametrize("settings", [OPEN_TO_APP], indirect=True)
@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/api/v1/contacts", True, 200), ("GET", "/api/v1/contacts", False, 401),
        ("GET", "/v2/sync/x/queues/main", True, 422), ("GET", "/api/v1/shares/none", True, 404),
        ("GET", "/nowhere", True, 404), ("PUT", "/api/v1/contacts", True, 405), ("POST", "/api/v1/contacts", True, 400),
        ("GET", "/healthz", False, 200),
    ],
)  # fmt: skip
def test_a_page_of_an_allowed_origin_reads_answers_and_errors(
    client: Client, method: str, path: str, token: bool, status: int
) -> None:
    caller = client if token else client.as_token(None)
    answer = caller.request(method, path, headers={"origin": APP})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, APP)
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("settings", [OPEN_TO_APP], indirect=True)
def test_an_allowed_origin_needs_a_token_all_the_same(server: ServerUnderTest) -> None:
    refused = server.public.post("/api/v1/contacts", json={"first_name": "x"}, headers={"origin": APP})
    assert refused.status == 401
    assert server.client.post("/api/v1/contacts", json={"first_name": "x"}, headers={"origin": APP}).status == 201


@pytest.mark.parametrize("settings", [OPEN_TO_APP], indirect=True)
def test_a_page_of_an_allowed_origin_opens_a_socket_and_no_other_does(client: Client) -> None:
    with client.socket("/api/v1/feed/ws", headers={"origin": APP}) as socket:
        assert not socket.closed
    assert client.socket("/api/v1/feed/ws", headers={"origin": "https://evil.example"}).close_code == 4404


@pytest.mark.parametrize("settings", [BELOW], indirect=True)
def test_links_lead_back_through_the_public_path_and_the_prefix_may_be_left_in(server: ServerUnderTest) -> None:
    place = begun(server.client)
    assert place.startswith("/hw/api/v1/uploads/")
    for prefix in ("/hw", ""):
        path = prefix + place.removeprefix("/hw")
        assert server.client.request("HEAD", path, headers=TUS).headers["upload-offset"] == "0"
    server.client.post("/api/v1/contacts", json={"first_name": "a"})
    assert "</hw/api/v1/contacts?page=1" in server.client.get("/hw/api/v1/contacts").headers["link"]
    assert server.client.get("/hw/api/v1/contacts/none").json()["type"] == "/hw/docs/errors#NOT_FOUND"
    assert server.client.get("/").json()["documentation"] == "/hw/docs"
    device = {"x-basecrm-device-uuid": "device-1"}
    session: Any = server.client.post("/v2/sync/start", headers=device)
    if session.status == 201:
        link = session.json()["data"]["queues"][0]["meta"]["links"]["self"]
        assert link.startswith("https://a.example/hw/v2/sync/")
    with server.client.socket("/hw/api/v1/feed/ws") as socket:
        assert not socket.closed


def test_behind_a_proxy_that_names_no_prefix_links_are_relative(client: Client) -> None:
    made = client.post("/api/v1/contacts", json={"first_name": "a"}, headers={"x-forwarded-host": "a.example"})
    assert made.headers["location"] == "contacts/c-00001"
    doubled = "/api/v1/contacts/api/v1/contacts"
    made = client.post(doubled, json={"first_name": "a"}, headers={"x-forwarded-host": "a.example"})
    assert made.headers["location"] == "../../c-00002"


def test_a_post_of_tus_may_stand_for_a_patch_or_a_delete(client: Client) -> None:
    place = begun(client)
    over = {**BYTES, "x-http-method-override": "PATCH"}
    sent = client.post(place, content=b"data", headers=over)
    assert (sent.status, sent.headers["upload-offset"]) == (204, "4")
    other = begun(client)
    assert client.post(other, headers={**TUS, "x-http-method-override": "DELETE"}).status == 204
    assert client.request("HEAD", other, headers=TUS).status == 404


def test_an_override_is_ignored_but_for_an_upload(client: Client) -> None:
    share = client.post("/api/v1/shares", json={"name": "S"}).json()["id"]
    for path in (f"/api/v1/shares/{share}", "/api/v1/uploads", "/api/v1/sync/devices/laptop"):
        assert client.post(path, headers={**TUS, "x-http-method-override": "DELETE"}).status in (405, 415, 422, 400)
    assert client.get(f"/api/v1/shares/{share}").status == 200


def test_the_override_is_for_posts_of_tus_alone() -> None:
    override, tus = {b"x-http-method-override": b"PATCH"}, {b"tus-resumable": b"1.0.0"}
    assert method_of("POST", "/api/v1/uploads/x", override | tus) == "PATCH"
    assert method_of("POST", "/api/v1/uploads/x", override) == method_of("POST", "/api/v1/uploads/x", tus) == "POST"
    assert method_of("GET", "/api/v1/uploads/x", override | tus) == "GET"
    for odd in (b"GET", b"PUT", b"patch", b"", b"PATCH, DELETE"):
        assert method_of("POST", "/api/v1/uploads/x", {b"x-http-method-override": odd} | tus) == "POST"


@pytest.mark.parametrize(
    ("version", "path", "probe"),
    [
        ("1.0", b"/healthz", True), ("1.0", b"/readyz", True), ("1.0", b"/readyz/", True), ("1.1", b"/healthz", False),
        ("1.0", b"/docs", False), ("1.0", b"/api/v1/contacts", False),
    ],
)  # fmt: skip
def test_a_probe_is_a_request_of_http_1_0_for_health(version: str, path: bytes, probe: bool) -> None:
    assert is_probe({"http_version": version, "raw_path": path}) is probe

"""Who comes in: tokens, JWTs, their end, and callers without any; and what first use may create."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from headwater.base.settings.table import LOOPBACK_NAMES, AccessSettings, ServerSettings, Settings
from headwater.identity import meta
from headwater.store.database import Transaction
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"
CACHE = "/api/v1/cache/sync"
BODY = {"first_name": "Bjørn"}
LOOPBACK = Settings()
REACHABLE = Settings(server=ServerSettings(host="0.0.0.0", allowed_hosts=("localhost", "127.0.0.1")))
REACHABLE_ON = Settings(server=REACHABLE.server, access=AccessSettings(public_access="on"))
OFF = Settings(access=AccessSettings(public_access="off"))
BEHIND_A_PROXY = Settings(
    server=ServerSettings(public_url="https://contacts.example", allowed_hosts=("contacts.example", *LOOPBACK_NAMES))
)
BEHIND_AN_ADDRESS = Settings(
    server=ServerSettings(trusted_proxies=("10.0.0.1",), allowed_hosts=("contacts.example", *LOOPBACK_NAMES))
)
NAMED = Settings(server=ServerSettings(allowed_hosts=("contacts.example", *LOOPBACK_NAMES)))
REACHABLE_OPEN = Settings(server=REACHABLE.server, access=AccessSettings(provisioning="open"))
CLOSED = Settings(access=AccessSettings(provisioning="closed"))


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    found: Settings = getattr(request, "param", LOOPBACK)
    return found


@pytest.mark.sqlite_only
@pytest.mark.parametrize("settings", [LOOPBACK, REACHABLE_ON], indirect=True, ids=["loopback", "on"])
def test_a_public_door_answers_without_a_token(server: ServerUnderTest) -> None:
    assert server.public.post(CONTACTS, json=BODY).status == 201
    assert server.public.get(CONTACTS).json()["pagination"]["total"] == 1
    assert server.public.get(CACHE).status == 200


@pytest.mark.sqlite_only
@pytest.mark.parametrize("settings", [REACHABLE, OFF], indirect=True, ids=["reachable", "off"])
def test_a_public_door_needs_a_token_elsewhere(server: ServerUnderTest) -> None:
    for path in (CONTACTS, CACHE, "/metrics"):
        answer = server.public.get(path)
        assert answer.problem() == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == 'Bearer realm="headwater"'
    assert server.client.get(CONTACTS).status == 200


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "header",
    [
        "x-forwarded-for",
        "forwarded",
        "via",
        "x-real-ip",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-forwarded-prefix",
        "cf-connecting-ip",
        "cf-ray",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "x-envoy-external-address",
        "x-original-forwarded-for",
        "x-original-url",
        "x-amzn-trace-id",
        "x-azure-clientip",
        "x-appengine-user-ip",
        "tailscale-user-login",
        "cdn-loop",
    ],
)
def test_what_a_proxy_passes_on_is_not_taken_for_loopback(client: Client, header: str) -> None:
    assert client.as_token(None).get(CONTACTS, headers={header: "1.2.3.4"}).status == 401
    assert client.get(CONTACTS, headers={header: "1.2.3.4"}).status == 200


@pytest.mark.sqlite_only
@pytest.mark.parametrize("settings", [BEHIND_A_PROXY, BEHIND_AN_ADDRESS], indirect=True, ids=["public_url", "trusted"])
def test_a_server_that_knows_of_its_proxy_answers_no_caller_without_a_token(server: ServerUnderTest) -> None:
    for host in ("localhost", "127.0.0.1:8484", "contacts.example"):
        assert server.public.get(CONTACTS, headers={"host": host}).status == 401
        assert server.public.post(CONTACTS, json=BODY, headers={"host": host}).status == 401
        assert server.client.get(CONTACTS, headers={"host": host}).status == 200


@pytest.mark.sqlite_only
@pytest.mark.parametrize("settings", [NAMED], indirect=True)
def test_only_a_loopback_name_is_this_machine(server: ServerUnderTest) -> None:
    for host, status in (("contacts.example", 401), ("localhost:80", 200), ("127.0.0.1", 200), ("[::1]:8484", 200)):
        assert server.public.get(CONTACTS, headers={"host": host}).status == status


@pytest.mark.sqlite_only
@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "", "unix"])
def test_a_peer_elsewhere_is_not_this_machine(server: ServerUnderTest, address: str) -> None:
    far = Client(server.edge, server.loop, None, address=address)
    assert far.get(CONTACTS).status == 401


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "127.0.0.1:8484"},
        {"origin": "ftp://127.0.0.1:8484"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("settings", [LOOPBACK, REACHABLE_ON], indirect=True, ids=["loopback", "on"])
def test_a_page_of_another_site_is_not_let_in_without_a_token(client: Client, headers: dict[str, str]) -> None:
    plain = {"content-type": "text/plain", **headers}
    assert client.as_token(None).post(CONTACTS, content=b'{"first_name":"x"}', headers=plain).status == 401
    assert client.get(CONTACTS).json()["pagination"]["total"] == 0


@pytest.mark.sqlite_only
def test_our_own_pages_are_let_in_as_others_without_a_token_are(client: Client) -> None:
    own = {"origin": "http://127.0.0.1:8484", "sec-fetch-site": "same-origin"}
    assert client.as_token(None).get(CONTACTS, headers=own).status == 200
    assert client.as_token(None).get(CONTACTS, headers={"sec-fetch-site": "none"}).status == 200


@pytest.mark.sqlite_only
@pytest.mark.parametrize("path", ["/v2/sync/start", "/api/v1/feed", "/api/v1/shares"])
def test_other_doors_never_answer_without_a_token(client: Client, path: str) -> None:
    method = "POST" if path.endswith("start") else "GET"
    assert client.as_token(None).request(method, path).problem()[0] == 401


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "credentials",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer " + "x" * 64, "Bearer hwt_", "Bearer a.b.c", "Bearer ø"],
)
def test_credentials_that_are_none_of_ours_are_401_even_on_a_public_door(client: Client, credentials: str) -> None:
    assert client.get(CONTACTS, headers={"authorization": credentials}).problem() == (401, "UNAUTHENTICATED")


@pytest.mark.sqlite_only
def test_a_token_with_one_changed_character_is_unknown(server: ServerUnderTest) -> None:
    token = server.admin_token
    for place in (4, 30, 63):
        other = "A" if token[place] != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        assert server.client.as_token(changed).get(CONTACTS).status == 401


@pytest.mark.sqlite_only
def test_the_schemes_name_is_read_in_any_case(server: ServerUnderTest) -> None:
    asked = {"authorization": f"bearer  {server.admin_token}"}
    assert server.public.get(CONTACTS, headers=asked).status == 200


def test_a_revoked_token_ends_at_once(server: ServerUnderTest) -> None:
    text, row = server.token_row()
    caller = server.client.as_token(text)
    assert caller.get(CONTACTS).status == 200
    short = caller.post("/api/v1/auth/jwt").json()["token"]
    server.revoke(row.id)
    assert caller.get(CONTACTS).status == 401
    assert server.client.as_token(short).get(CONTACTS).status == 401


def test_a_token_ends_when_it_expires(server: ServerUnderTest) -> None:
    caller = server.caller(expires_us=server.clock() + 60_000_000)
    assert caller.get(CONTACTS).status == 200
    server.clock.advance(59)
    assert caller.get(CONTACTS).status == 200
    server.clock.advance(1)
    assert caller.get(CONTACTS).status == 401


def test_a_jwt_stands_for_its_token_for_a_quarter_of_an_hour(server: ServerUnderTest) -> None:
    made = server.caller("org_b", "coordinator").post("/api/v1/auth/jwt")
    assert made.status == 201
    assert made.json()["expires_at"] == "2026-03-26T11:40:00Z"
    short = server.client.as_token(made.json()["token"])
    assert short.post(CONTACTS, json=BODY).status == 201
    assert server.client.get(CONTACTS + "?org_id=org_b").json()["pagination"]["total"] == 1
    server.clock.advance(899)
    assert short.get(CONTACTS).status == 200
    server.clock.advance(1)
    assert short.get(CONTACTS).status == 401


@pytest.mark.sqlite_only
def test_a_jwt_made_again_with_its_key_is_the_same_and_is_never_stored(server: ServerUnderTest) -> None:
    key = {"idempotency-key": "k-1"}
    first = server.client.post("/api/v1/auth/jwt", headers=key)
    server.clock.advance(5)
    assert server.client.post("/api/v1/auth/jwt", headers=key).body == first.body
    assert server.client.post("/api/v1/auth/jwt").body != first.body
    (kept,) = server.database.read_now(lambda tx: tx.rows("SELECT answer FROM answers"))
    assert b"token" not in bytes(kept[0])


def test_a_jwt_makes_no_further_jwt(server: ServerUnderTest) -> None:
    short = server.client.as_token(server.client.post("/api/v1/auth/jwt").json()["token"])
    assert short.post("/api/v1/auth/jwt").problem() == (403, "FORBIDDEN")


def jwt_parts(server: ServerUnderTest) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    text = server.client.post("/api/v1/auth/jwt").json()["token"]
    key = server.database.read_now(_jwt_key)
    return key, jwt.get_unverified_header(text), jwt.decode(text, options={"verify_signature": False})


def _jwt_key(tx: Transaction) -> bytes:
    return meta.secret(tx, "jwt_key")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}),
        ({"kid": "2"}, {}),
        ({}, {"iss": "other"}),
        ({}, {"aud": "other"}),
        ({}, {"exp": None}),
        ({}, {"exp": "9999999999"}),
        ({}, {"sub": "tok_unknown"}),
        ({}, {"sub": ""}),
    ],
)
def test_a_jwt_that_differs_in_anything_is_refused(
    server: ServerUnderTest, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    key, good_header, good_claims = jwt_parts(server)
    wanted = {name: value for name, value in (good_claims | claims).items() if value is not None}
    text = jwt.encode(wanted, key, algorithm="HS256", headers=good_header | header)
    assert server.client.as_token(text).get(CONTACTS).problem() == (401, "UNAUTHENTICATED")


@pytest.mark.sqlite_only
def test_a_jwt_of_another_key_or_without_one_is_refused(server: ServerUnderTest) -> None:
    _, header, claims = jwt_parts(server)
    forged = jwt.encode(claims, b"x" * 32, algorithm="HS256", headers=header)
    unsigned = jwt.encode(claims, None, algorithm="none", headers={**header, "alg": "none"})
    for text in (forged, unsigned):
        assert server.client.as_token(text).get(CONTACTS).status == 401


@pytest.mark.sqlite_only
def test_a_reading_scope_reads_and_does_not_write(server: ServerUnderTest) -> None:
    reader = server.caller(scopes=["contacts:read"])
    assert reader.get(CONTACTS).status == 200
    assert reader.post(CONTACTS, json=BODY).problem() == (403, "FORBIDDEN")
    assert reader.get(CACHE).problem() == (403, "FORBIDDEN")


def test_an_unknown_organisation_in_a_body_is_made_where_provisioning_is_open(server: ServerUnderTest) -> None:
    assert server.client.post(CACHE, json={"org_id": "org_new", "contacts": [], "notes": []}).status == 201
    assert server.client.get(f"{CACHE}?org_id=org_new").status == 200


@pytest.mark.sqlite_only
@pytest.mark.parametrize("settings", [CLOSED, REACHABLE], indirect=True, ids=["closed", "reachable"])
def test_an_unknown_organisation_in_a_body_is_422_where_provisioning_is_closed(server: ServerUnderTest) -> None:
    answer = server.client.post(CACHE, json={"org_id": "org_new", "contacts": [], "notes": []})
    assert answer.problem() == (422, "INVALID")
    assert "org_new" in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"] == "org_id"


@pytest.mark.sqlite_only
@pytest.mark.parametrize("settings", [REACHABLE_OPEN], indirect=True)
def test_a_reachable_server_provides_where_it_is_told_to(server: ServerUnderTest) -> None:
    assert server.client.post(CACHE, json={"org_id": "org_new", "contacts": [], "notes": []}).status == 201


@pytest.mark.sqlite_only
@pytest.mark.parametrize("settings", [LOOPBACK, CLOSED], indirect=True, ids=["open", "closed"])
def test_an_unknown_organisation_in_a_query_is_404_either_way(server: ServerUnderTest) -> None:
    assert server.client.get(f"{CONTACTS}?org_id=org_new").problem() == (404, "NOT_FOUND")
    assert server.client.get(f"{CACHE}?org_id=org_new").problem() == (404, "NOT_FOUND")


@pytest.mark.sqlite_only  # callers are remembered only where a look at the identity counter is cheap
def test_a_token_in_a_padded_header_is_known_but_not_remembered_under_each_spelling(server: ServerUnderTest) -> None:
    authenticator = server.services.authenticator
    server.loop.run(authenticator.principal(f"Bearer {server.admin_token}".encode()))
    remembered = len(authenticator._cached)
    for spaces in (100, 200, 300):
        padded = f"Bearer{' ' * spaces}{server.admin_token}"
        assert server.client.get("/api/v1/shares", headers={"authorization": padded}).status == 200
    assert len(authenticator._cached) == remembered == 1

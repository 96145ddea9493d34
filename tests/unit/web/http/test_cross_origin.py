"""The origins whose pages may call, and what they may read and send."""

from __future__ import annotations

import pytest

from headwater.web.http.cross_origin import CrossOrigin

APP = b"https://app.example.no"
ALLOWED = CrossOrigin(("https://App.example.no", "http://localhost:3000"))


@pytest.mark.parametrize("origin", [APP, b"http://localhost:3000"])
def test_a_page_of_an_allowed_origin_may_read(origin: bytes) -> None:
    headers = dict(ALLOWED.headers(origin))
    assert headers[b"access-control-allow-origin"] == origin
    assert headers[b"vary"] == b"origin"
    assert b"access-control-allow-credentials" not in headers


@pytest.mark.parametrize(
    "origin",
    [
        None, b"", b"null", b"https://evil.example", b"https://app.example.no.evil.example", b"http://app.example.no",
        b"https://app.example.no:8443", b"https://app.example.no/", b"http://localhost",
    ],
)  # fmt: skip
def test_any_other_gets_no_leave_and_its_answer_is_stored_apart(origin: bytes | None) -> None:
    assert dict(ALLOWED.headers(origin)) == {b"vary": b"origin"}
    assert ALLOWED.preflight(origin, "GET") == ()


def test_without_allowed_origins_no_answer_has_a_header_of_the_protocol() -> None:
    none = CrossOrigin(())
    assert none.headers(APP) == none.preflight(APP, "GET") == ()
    assert not none.is_used


def test_a_star_allows_every_origin_and_names_none() -> None:
    every = CrossOrigin(("*",))
    assert dict(every.headers(b"https://any.example"))[b"access-control-allow-origin"] == b"*"
    assert every.preflight(b"https://any.example", "GET")


@pytest.mark.parametrize(
    "name",
    [
        "ETag", "Location", "Link", "Retry-After", "X-Request-Id", "Upload-Offset", "Upload-Length", "Tus-Resumable",
        "Upload-Expires", "Content-Range", "Accept-Ranges",
    ],
)  # fmt: skip
def test_a_page_may_read_the_headers_that_clients_need(name: str) -> None:
    assert name in dict(ALLOWED.headers(APP))[b"access-control-expose-headers"].decode().split(", ")


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "Range", "Upload-Metadata",
        "Tus-Resumable", "X-HTTP-Method-Override", "X-Device-Id", "X-Basecrm-Device-UUID",
    ],
)  # fmt: skip
def test_a_page_may_send_the_headers_that_clients_need(name: str) -> None:
    headers = dict(ALLOWED.preflight(APP, "GET, POST"))
    assert name in headers[b"access-control-allow-headers"].decode().split(", ")
    assert headers[b"access-control-allow-methods"] == b"GET, POST"
    assert int(headers[b"access-control-max-age"]) >= 600

"""Links of answers lead back through the prefix of a proxy, known or not."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.settings.table import ServerSettings
from headwater.web.http.public_path import PublicPath, reference
from headwater.web.reply import Reply

PATHS = ["/api/v1/contacts", "/v2/sync/start", "/docs", "/"]
LINKS = (
    (b"location", b"/api/v1/uploads/upl_1"),
    (b"link", b'</api/v1/contacts?page=1>; rel="first", </api/v1/contacts?page=2>; rel="next"'),
    (b"etag", b'"/x"'),
)
BY_PROXY = {b"x-forwarded-for": b"10.0.0.9"}


def shown(settings: ServerSettings, headers: dict[bytes, bytes], *, peer: str = "127.0.0.1") -> dict[bytes, bytes]:
    scope: dict[str, Any] = {"raw_path": b"/api/v1/uploads", "client": (peer, 1), "server": ("127.0.0.1", 2)}
    return dict(PublicPath(settings, PATHS).outward(scope, headers, Reply(201, LINKS)).headers)


def test_without_a_proxy_links_stay_as_they_are() -> None:
    assert shown(ServerSettings(), {}) == dict(LINKS)
    assert shown(ServerSettings(public_url="https://a.no"), BY_PROXY) == dict(LINKS)


@pytest.mark.parametrize("url", ["https://a.no/hw", "https://a.no/hw/"])
def test_the_path_of_the_public_url_is_put_before_every_link(url: str) -> None:
    found = shown(ServerSettings(public_url=url), {})
    assert found[b"location"] == b"/hw/api/v1/uploads/upl_1"
    assert found[b"link"].count(b"</hw/api/v1/contacts?page=") == 2
    assert found[b"etag"] == b'"/x"'


def test_a_trusted_proxy_names_the_prefix() -> None:
    settings = ServerSettings(trusted_proxies=("127.0.0.0/8",))
    for given_prefix in (b"/hw", b"/hw/"):
        found = shown(settings, {b"x-forwarded-prefix": given_prefix})
        assert found[b"location"] == b"/hw/api/v1/uploads/upl_1"
    assert shown(settings, {b"x-forwarded-prefix": b"/a/b"})[b"location"].startswith(b"/a/b/api")
    assert shown(settings, {b"x-forwarded-prefix": b"/hw"}, peer="::ffff:127.0.0.1")[b"location"].startswith(b"/hw/")


@pytest.mark.parametrize(
    "prefix", [b"//evil.example", b"https://evil.example", b"/a\r\nx: y", b"hw", b"/<a>", b"/../..//x"]
)
def test_a_prefix_that_is_no_path_is_not_used(prefix: bytes) -> None:
    found = shown(ServerSettings(trusted_proxies=("127.0.0.1",)), {b"x-forwarded-prefix": prefix})
    assert found[b"location"] == b"uploads/upl_1"


def test_a_prefix_from_elsewhere_is_not_believed_but_links_become_relative() -> None:
    settings = ServerSettings(trusted_proxies=("10.0.0.1",))
    for headers in ({b"x-forwarded-prefix": b"/hw"}, BY_PROXY, {b"via": b"1.1 a"}):
        for its in (settings, ServerSettings()):
            found = shown(its, headers)
            assert found[b"location"] == b"uploads/upl_1"
            assert found[b"link"] == b'<contacts?page=1>; rel="first", <contacts?page=2>; rel="next"'


def test_the_type_of_a_problem_leads_to_its_page_through_the_prefix() -> None:
    body = b'{"type":"/docs/errors#NOT_FOUND","detail":"nothing at \\"/docs\\""}'
    path = PublicPath(ServerSettings(public_url="https://a.no/hw"), PATHS)
    reply = path.outward({"raw_path": b"/x"}, {}, Reply(404, (), body))
    assert reply.body == body.replace(b'"/docs/errors', b'"/hw/docs/errors', 1)


@pytest.mark.parametrize(
    ("url", "path", "inward"),
    [
        ("https://a.no/hw", b"/hw/api/v1/contacts", b"/api/v1/contacts"), ("https://a.no/hw", b"/hw", b"/"),
        ("https://a.no/hw", b"/hw/", b"/"), ("https://a.no/hw", b"/hwx/api", b"/hwx/api"),
        ("https://a.no/hw", b"/api/v1/contacts", b"/api/v1/contacts"), ("https://a.no/a/b", b"/a/b/docs", b"/docs"),
        ("https://a.no", b"/docs", b"/docs"), ("https://a.no/api", b"/api/v1/contacts", b"/api/v1/contacts"),
        ("https://a.no/docs", b"/docs/docs", b"/docs/docs"),
    ],
)  # fmt: skip
def test_a_proxy_may_leave_the_prefix_in_the_path(url: str, path: bytes, inward: bytes) -> None:
    assert PublicPath(ServerSettings(public_url=url), PATHS).inward(path) == inward


SEGMENTS = st.lists(st.sampled_from(["a", "b", "c:d", "api", "v1"]), max_size=5)


@given(SEGMENTS, SEGMENTS, st.booleans(), st.booleans())
def test_a_reference_leads_from_any_base_to_its_target_below_any_prefix(
    base: list[str], target: list[str], base_slash: bool, target_slash: bool
) -> None:
    from_path = "/" + "/".join(base) + ("/" if base and base_slash else "")
    to_path = "/" + "/".join(target) + ("/" if target and target_slash else "")
    found = reference(from_path.encode(), (to_path + "?page=2").encode()).decode()
    assert urljoin("http://h" + from_path, found) == f"http://h{to_path}?page=2"
    assert urljoin("http://h/hw" + from_path, found) == f"http://h/hw{to_path}?page=2"

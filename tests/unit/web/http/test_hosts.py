from __future__ import annotations

import pytest

from headwater.base.errors import Malformed
from headwater.web.http import hosts
from headwater.web.http.hosts import AllowedHosts, same_site

NAMES = ("localhost", "127.0.0.1", "::1", "Sync.Example.org")


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST", "localhost:8484", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8484",
        "sync.example.org", "sync.EXAMPLE.org:443",
    ],
)  # fmt: skip
def test_one_of_our_names_is_taken_with_and_without_a_port(host: str) -> None:
    allowed = AllowedHosts(NAMES)
    for _ in range(2):
        allowed.check(host.encode(), 1)
    assert host.encode() in allowed._good


@pytest.mark.parametrize(
    "host",
    [
        "", "example.org", "sync.example.org.", "sync.example.org.evil.org", "evil.org:localhost", "localhost:x",
        "localhost:", ":80", "[::2]", "[::1", "127.0.0.2", "localhost@evil.org", "xlocalhost", "\xff",
    ],
)  # fmt: skip
def test_any_other_name_is_refused(host: str) -> None:
    with pytest.raises(Malformed, match="allowed_hosts") as failure:
        AllowedHosts(NAMES).check(host.encode("latin-1"), 1)
    assert failure.value.error_code == "HOST_INVALID"


@pytest.mark.parametrize(("host", "count"), [(None, 0), (None, 1), (b"localhost", 0), (b"localhost", 2)])
def test_exactly_one_host_is_needed_even_of_a_name_that_was_good_before(host: bytes | None, count: int) -> None:
    allowed = AllowedHosts(NAMES)
    allowed.check(b"localhost", 1)
    with pytest.raises(Malformed, match="one Host"):
        allowed.check(host, count)


def test_a_caller_that_varies_the_port_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_CACHED_HOSTS", 10)
    allowed = AllowedHosts(NAMES)
    for port in range(50):
        allowed.check(b"localhost:%d" % port, 1)
    assert len(allowed._good) == 10


class TestSameSite:
    @pytest.mark.parametrize(
        ("headers", "ours"),
        [
            ({}, True),
            ({b"sec-fetch-site": b"none"}, True),
            ({b"sec-fetch-site": b"same-origin"}, True),
            ({b"sec-fetch-site": b"same-site"}, False),
            ({b"sec-fetch-site": b"cross-site"}, False),
            ({b"origin": b"http://localhost:8484"}, True),
            ({b"origin": b"https://localhost:8484"}, True),
            ({b"origin": b"http://localhost"}, False),
            ({b"origin": b"http://evil.org"}, False),
            ({b"origin": b"null"}, False),
            ({b"origin": b""}, False),
            ({b"origin": b"localhost:8484"}, False),
            ({b"origin": b"https://sync.example.org"}, True),
            ({b"origin": b"https://sync.example.org.evil.org"}, False),
            ({b"origin": b"http://evil.org", b"sec-fetch-site": b"same-origin"}, False),
        ],
    )
    def test_a_request_is_ours_when_its_origin_is(self, headers: dict[bytes, bytes], ours: bool) -> None:
        assert same_site({b"host": b"localhost:8484", **headers}, "https://sync.example.org/") is ours

    def test_the_path_of_the_public_url_is_no_part_of_its_origin(self) -> None:
        headers = {b"host": b"localhost", b"origin": b"https://sync.example.org"}
        assert same_site(headers, "https://Sync.example.org/headwater/")

    def test_an_empty_origin_is_not_ours_when_no_public_url_is_set(self) -> None:
        assert not same_site({b"host": b"a", b"origin": b""}, None)

    def test_without_a_public_url_only_the_host_counts(self) -> None:
        assert same_site({b"host": b"a", b"origin": b"http://a"}, None)
        assert not same_site({b"host": b"a", b"origin": b"https://sync.example.org"}, None)

    def test_a_request_without_a_host_has_no_origin_of_ours(self) -> None:
        assert not same_site({b"origin": b"http://localhost"}, None)

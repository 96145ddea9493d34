"""The URLs and addresses from which labels may be fetched."""

from __future__ import annotations

import re

import pytest

from headwater.base.errors import Invalid, StateConflict
from headwater.contracts.terminology import outbound

LISTED = ("labels.example.org", "127.0.0.1", "localhost", "::1", "10.0.0.7")


@pytest.mark.parametrize(
    ("url", "at"),
    [
        ("https://labels.example.org", "https://192.0.2.1:443/"),
        ("https://LABELS.example.org:8443/a/b?c=d", "https://192.0.2.1:8443/a/b?c=d"),
        ("http://127.0.0.1:8080/x", "http://192.0.2.1:8080/x"),
        ("http://localhost/x", "http://192.0.2.1:80/x"),
        ("http://[::1]:81/x", "http://192.0.2.1:81/x"),
    ],
)
def test_a_listed_host_is_acceptable(url: str, at: str) -> None:
    assert outbound.target(url, LISTED).at("192.0.2.1") == at


def test_the_host_header_names_the_host_and_any_unusual_port() -> None:
    assert outbound.target("https://labels.example.org:443/", LISTED).authority == "labels.example.org"
    assert outbound.target("https://labels.example.org:444/", LISTED).authority == "labels.example.org:444"
    assert outbound.target("http://[::1]:81/", LISTED).authority == "[::1]:81"


@pytest.mark.parametrize(
    "url",
    [
        "http://labels.example.org/x",
        "http://10.0.0.7/x",
        "https://user@labels.example.org/",
        "https://user:password@labels.example.org/",
        "https://labels.example.org/#part",
        "https://labels.example.org\\@evil.example/",
        "https://labels.example.org/a b",
        "https://labels.example.org/\n",
        "https://labels.example.org:port/",
        "https://labels.example.org:99999/",
        "https://[::1/",
        "https://lábels.example.org/",
        "file://localhost/etc/passwd",
        "file:///etc/passwd",
        "ftp://labels.example.org/",
        "gopher://127.0.0.1/",
        "//labels.example.org/",
        "labels.example.org",
        "https:///x",
        "",
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        outbound.target(url, LISTED)
    assert refusal.value.fields[0].field == "url"


@pytest.mark.parametrize(
    "url", ["https://other.example.org/", "https://labels.example.org.evil.example/", "https://127.0.0.2/"]
)
def test_a_host_that_is_not_listed_is_refused_by_name(url: str) -> None:
    with pytest.raises(StateConflict, match=re.escape(url.split("/")[2])):
        outbound.target(url, LISTED)


def test_nothing_is_acceptable_while_no_host_is_listed() -> None:
    with pytest.raises(StateConflict):
        outbound.target("https://labels.example.org/", ())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.7",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.7",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:7",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff0e::1",
        "2001:db8::1",
        "no address",
    ],
)
def test_an_address_that_is_not_public_is_left_out(address: str) -> None:
    assert outbound.usable([address], ["labels.example.org"]) == []


def test_public_addresses_and_listed_ones_are_usable() -> None:
    found = ["93.184.216.34", "10.0.0.7", "10.0.0.8", "2606:2800:220:1::1", "::1"]
    assert outbound.usable(found, LISTED) == ["93.184.216.34", "10.0.0.7", "2606:2800:220:1::1", "::1"]
    assert outbound.usable(["::1"], ["[::1]"]) == ["::1"]

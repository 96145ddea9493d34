"""The transfer codings that are accepted, the host of an absolute target, and upgrades that are ignored."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from headwater.base.errors import Malformed
from headwater.web.http.request_head import (
    head_without_upgrade,
    refuse_content_of_handshake,
    refuse_transfer_coding,
    take_host_of_target,
)


@pytest.mark.parametrize(
    "values",
    [
        [b"gzip"], [b"gzip, chunked"], [b"chunked, gzip"], [b"chunked, chunked"], [b"identity"], [b"chunked;q=1"],
        [b""], [b"gzip", b"chunked"], [b"chunked", b"chunked"], [b"x\x0bchunked"],
    ],
)  # fmt: skip
def test_a_transfer_coding_but_chunked_is_refused(values: list[bytes]) -> None:
    with pytest.raises(Malformed):
        refuse_transfer_coding([(b"transfer-encoding", value) for value in values])


@pytest.mark.parametrize("values", [[], [b"chunked"], [b" Chunked "]])
def test_chunked_and_none_are_accepted(values: list[bytes]) -> None:
    headers = [(b"host", b"a"), *((b"transfer-encoding", value) for value in values)]
    refuse_transfer_coding(headers)
    assert len(headers) == 1 + len(values)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://evil.example/a", b"evil.example"), (b"https://evil.example:8443", b"evil.example:8443"),
        (b"http://good@evil.example/", b"evil.example"), (b"http://evil.example?x=http://good", b"evil.example"),
        (b"HTTP://[::1]:80/", b"[::1]:80"), (b"/a?u=http://evil.example/", b"good"), (b"*", b"good"),
        (b"/a://evil.example", b"good"),
    ],
)  # fmt: skip
def test_the_host_of_an_absolute_target_is_the_one_that_counts(target: bytes, host: bytes) -> None:
    headers = [(b"host", b"good"), (b"accept", b"*/*")]
    take_host_of_target(target, headers)
    assert headers == [(b"host", host), (b"accept", b"*/*")]


def test_a_missing_host_stays_missing_and_two_stay_two() -> None:
    none: list[tuple[bytes, bytes]] = []
    take_host_of_target(b"http://localhost/", none)
    assert none == []
    two = [(b"host", b"a"), (b"host", b"b")]
    take_host_of_target(b"http://localhost/", two)
    assert len(two) == 2


def test_a_head_is_written_without_the_wish_for_another_protocol() -> None:
    headers = [
        (b"host", b"a"), (b"connection", b"close, Upgrade, HTTP2-Settings"), (b"upgrade", b"h2c"),
        (b"connection", b"upgrade"), (b"http2-settings", b"AA"), (b"x-empty", b""), (b"content-length", b"2"),
    ]  # fmt: skip
    written = b"POST /a?b HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-empty: \r\ncontent-length: 2\r\n\r\n"
    assert head_without_upgrade(b"POST", b"/a?b", "1.1", headers) == written
    with pytest.raises(Malformed):
        head_without_upgrade(b"CONNECT", b"a:80", "1.1", headers)


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ((b"content-length", b"0"), True), ((b"content-length", b" 00 "), True), ((b"content-length", b"10"), False),
        ((b"transfer-encoding", b"chunked"), False), ((b"accept", b"*/*"), True),
    ],
)  # fmt: skip
def test_a_handshake_of_a_socket_has_no_content(header: tuple[bytes, bytes], good: bool) -> None:
    with nullcontext() if good else pytest.raises(Malformed):
        refuse_content_of_handshake([(b"host", b"a"), header])

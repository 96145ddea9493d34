"""The transfer codings that are accepted, and the host of an absolute target."""

from __future__ import annotations

import pytest

from headwater.base.errors import Malformed
from headwater.web.http.request_head import refuse_transfer_coding, take_host_of_target


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

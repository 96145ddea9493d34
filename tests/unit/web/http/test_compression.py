"""Large answers are made smaller for those who ask for it, and only where that changes nothing else."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http.compression import LEAST_BYTES, OFF_LOOP_BYTES, chosen
from headwater.web.reply import Reply
from tests.support.server.serving import ServerUnderTest
from tests.support.server.specimen import route, specimen

pytestmark = pytest.mark.sqlite_only
LARGE = {"text": "abc " * LEAST_BYTES}
HUGE = {"text": "abc " * OFF_LOOP_BYTES}


def answering(value: object, *headers: tuple[bytes, bytes]):  # type: ignore[no-untyped-def]
    async def handler(_call: Call) -> Reply:
        return reply.json(value, headers=headers)

    return route("GET", "/x", handler)


@pytest.mark.parametrize("value", [LARGE, HUGE], ids=["on the loop", "on a thread"])
def test_the_coded_answer_holds_the_same(server: ServerUnderTest, value: object) -> None:
    served = specimen(server, answering(value))
    plain = served.get("/specimen/x")
    for coding, undo in (("gzip", gzip.decompress), ("zstd", zstandard.decompress)):
        coded = served.get("/specimen/x", headers={"accept-encoding": coding})
        assert coded.headers["content-encoding"] == coding
        assert coded.headers["content-length"] == str(len(coded.body))
        assert undo(coded.body) == plain.body
        assert len(coded.body) < len(plain.body) / 10
        assert coded.headers["vary"] == "accept-encoding"
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "accept-encoding"


def test_an_answer_in_parts_is_sent_and_coded_as_one_body(server: ServerUnderTest) -> None:
    parts = (b'{"text":"', memoryview(b"abc " * OFF_LOOP_BYTES)[4:], b'"}')

    async def handler(_call: Call) -> Reply:
        return reply.json_parts(parts)

    served = specimen(server, route("GET", "/x", handler))
    plain = served.get("/specimen/x")
    assert plain.body == b"".join(parts)
    assert plain.headers["content-length"] == str(len(plain.body))
    assert served.request("HEAD", "/specimen/x").headers["content-length"] == str(len(plain.body))
    coded = served.get("/specimen/x", headers={"accept-encoding": "gzip"})
    assert gzip.decompress(coded.body) == plain.body


def test_a_small_answer_goes_out_as_it_is(server: ServerUnderTest) -> None:
    answer = specimen(server, answering({})).get("/specimen/x", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    "header", [(b"etag", b'"1"'), (b"content-encoding", b"br"), (b"content-range", b"bytes 0-1/2")]
)
def test_an_answer_whose_bytes_are_named_elsewhere_goes_out_as_it_is(
    server: ServerUnderTest, header: tuple[bytes, bytes]
) -> None:
    answer = specimen(server, answering(LARGE, header)).get("/specimen/x", headers={"accept-encoding": "gzip"})
    assert answer.body == reply.json(LARGE).body


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"zstd;q=0, gzip;q=0.5", b"gzip"),
        (b"GZIP ; q=1.0", b"gzip"),
        (b"*", b"zstd"),
        (b"*, zstd;q=0.000", b"gzip"),
        (b"identity", None),
        (b"*;q=0", None),
        (b"", None),
        (b"br", None),
        (b"gzip;q=0", None),
    ],
)
def test_the_coding_follows_what_the_caller_accepts(accepted: bytes, coding: bytes | None) -> None:
    assert chosen(accepted) == coding

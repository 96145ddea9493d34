"""Request bodies: empty, chunked, too large, too slow, coded, nested, with a NUL; all over the contacts door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import nullcontext, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import BodyTimeout, HeadwaterError, Invalid, Malformed
from headwater.base.settings.table import LimitSettings
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import bodies
from headwater.web.reply import Reply
from tests.support.growth import grows_faster_than_linear
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest
from tests.support.server.specimen import route, specimen

CONTACTS = "/api/v1/contacts"
BODY = b'{"first_name":"Bjorn"}'


def test_a_chunked_body_is_put_together(client: Client) -> None:
    answer = client.post(CONTACTS, content=[b'{"first', b'_name":', b'"Bjorn"}'])
    assert (answer.status, answer.json()["first_name"]) == (201, "Bjorn")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "content", [None, b"", b"  ", b"{", b"nul", b'{"first_name":"a"} x', b"\xff", b'{"first_name":"\xff"}']
)
def test_what_is_not_json_is_400(client: Client, content: bytes | None) -> None:
    assert client.post(CONTACTS, content=content).problem() == (400, "MALFORMED")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("text", [r"\ud800", r"\udc00", r"\ud800\u0041"])
def test_a_lone_surrogate_is_400(client: Client, text: str) -> None:
    body = b'{"first_name":"' + text.encode() + b'"}'
    assert client.post(CONTACTS, content=body).problem() == (400, "MALFORMED")


def test_a_nul_in_a_text_is_422_with_its_path(client: Client) -> None:
    answer = client.post(CONTACTS, json={"first_name": "a\0b"})
    assert answer.problem() == (422, "INVALID")
    assert answer.json()["errors"][0]["field"] == "first_name"


def test_an_escaped_backslash_before_u0000_is_plain_text(client: Client) -> None:
    answer = client.post(CONTACTS, json={"first_name": r"a\u0000b"})
    assert (answer.status, answer.json()["first_name"]) == (201, r"a\u0000b")


@pytest.mark.sqlite_only
def test_the_last_of_two_equal_keys_holds(client: Client) -> None:
    answer = client.post(CONTACTS, content=b'{"first_name":"a","first_name":"b"}')
    assert (answer.status, answer.json()["first_name"]) == (201, "b")


@pytest.mark.sqlite_only
def test_any_text_that_json_can_hold_comes_back_unchanged(client: Client) -> None:
    text = "\u202e\U0001f600 é é \x7f \x1b </script>"
    made = client.post(CONTACTS, json={"first_name": text})
    assert client.get(made.headers["location"]).json()["first_name"] == text


@pytest.mark.sqlite_only
def test_a_body_over_the_limit_is_413_announced_or_not(client: Client) -> None:
    large = b'{"first_name":"' + b"x" * 1_100_000 + b'"}'
    assert client.post(CONTACTS, content=large).problem() == (413, "TOO_LARGE")
    assert client.post(CONTACTS, content=[large[:500_000], large[500_000:]]).problem() == (413, "TOO_LARGE")
    endless = {"content-length": "9" * 400, "transfer-encoding": None}
    assert client.post(CONTACTS, content=[b"x"], headers=endless).problem() == (413, "TOO_LARGE")


@pytest.mark.sqlite_only
def test_a_body_within_its_doors_own_limit_is_taken(client: Client) -> None:
    large = {"org_id": "org_a", "contacts": [], "notes": [], "padding": "x" * 1_100_000}
    assert client.post("/api/v1/cache/sync", json=large).status == 201


@pytest.mark.sqlite_only
def test_a_body_on_get_is_not_read(client: Client) -> None:
    assert client.request("GET", CONTACTS, content=b"not read").status == 200


@pytest.mark.sqlite_only
@pytest.mark.parametrize("coding", ["gzip", "zstd", "gzip, identity", "br"])
def test_a_coded_body_is_415(client: Client, coding: str) -> None:
    answer = client.post(CONTACTS, content=BODY, headers={"content-encoding": coding})
    assert answer.problem() == (415, "MEDIA_UNSUPPORTED")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.sqlite_only
def test_the_identity_coding_is_no_coding(client: Client) -> None:
    assert client.post(CONTACTS, content=BODY, headers={"content-encoding": "identity"}).status == 201


@pytest.mark.sqlite_only
def test_a_refusal_of_a_request_that_waits_for_leave_ends_the_connection(server: ServerUnderTest) -> None:
    expecting = {"expect": "100-continue"}
    refused = server.client.as_token("x").post(CONTACTS, content=BODY, headers=expecting)
    assert (refused.status, refused.headers["connection"]) == (401, "close")
    assert "connection" not in server.client.post(CONTACTS, content=BODY, headers=expecting).headers


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("levels", "status"), [(31, 201), (32, 400), (1_000, 400), (100_000, 400)])
def test_json_is_nested_at_most_as_deep_as_the_setting_says(client: Client, levels: int, status: int) -> None:
    deep = b"[" * levels + b"]" * levels
    assert client.post(CONTACTS, content=b'{"first_name":"a","unknown":' + deep + b"}").status == status


@pytest.mark.sqlite_only
def test_brackets_inside_texts_are_no_levels(client: Client) -> None:
    assert client.post(CONTACTS, json={"first_name": "[{" * 90, "last_name": '\\"[[['}).status == 201


@pytest.mark.parametrize(
    "unit", [b'\\"', b'"', b"\\", b'"\\', b'["', b"[]", b'{"', b"\\u0000", b"\\\\u0000", b"\\\\", b"\n"]
)
@pytest.mark.parametrize("end", [b"[" * 40, b"\\u0000", b'"' + b"[" * 40])
def test_the_checks_before_decoding_take_time_that_grows_no_faster_than_the_body(unit: bytes, end: bytes) -> None:
    def check(body: bytes) -> None:
        with suppress(HeadwaterError):
            bodies.check_json(body, 32)

    def body(size: int) -> bytes:
        return b'{"a":"' + unit * (size // len(unit)) + end

    assert grows_faster_than_linear(body, check, 60_000) is None
    assert grows_faster_than_linear(body, check, 400_000) is None


@pytest.mark.sqlite_only
def test_a_text_that_does_not_end_is_400_at_once(client: Client) -> None:
    body = b'{"a":"' + b'\\"' * 32_000 + b"[" * 40
    assert client.post(CONTACTS, content=body).status == 400


def depth(value: Any) -> int:
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


leaves = st.none() | st.integers() | st.text(alphabet='[]{}"\\ab\0é') | st.booleans()
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner))


@given(value=values, limit=st.integers(0, 6))
def test_depth_is_measured_exactly(value: Any, limit: int) -> None:
    assert bodies.is_deeper(msgspec.json.encode(value), limit) == (depth(value) > limit)


@given(value=values, limit=st.integers(0, 6))
def test_a_large_body_is_never_called_deep_when_it_is_not(value: Any, limit: int) -> None:
    body = msgspec.json.encode(["x" * 70_000, value])
    if bodies.is_deeper(body, limit):
        assert depth(value) + 1 > limit


@given(value=values)
def test_a_nul_is_found_exactly_where_one_is(value: Any) -> None:
    body = msgspec.json.encode(value)
    with pytest.raises(Invalid) if "\0" in texts_of(value) else nullcontext():
        bodies.check_json(body, 256)


def texts_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(map(texts_of, [*value, *value.values()]))
    return "".join(map(texts_of, value)) if isinstance(value, list) else ""


SLOW = LimitSettings(body_seconds_base=1, body_bytes_per_second=1024)
HEADERS = {b"transfer-encoding": b"chunked"}


async def never() -> MutableMapping[str, Any]:
    await asyncio.Event().wait()
    return {}


async def gone() -> MutableMapping[str, Any]:
    return {"type": "http.disconnect"}


def test_a_body_that_does_not_come_is_given_up(server: ServerUnderTest) -> None:
    with pytest.raises(BodyTimeout):
        server.loop.run(bodies.read(never, {b"content-length": b"5"}, 100, SLOW))


def test_a_streamed_body_that_does_not_come_is_given_up(server: ServerUnderTest) -> None:
    with pytest.raises(BodyTimeout):
        server.loop.run(collect(bodies.pieces(never, HEADERS, SLOW)))


def test_a_body_that_is_cut_off_is_malformed(server: ServerUnderTest) -> None:
    with pytest.raises(Malformed, match="ended before"):
        server.loop.run(bodies.read(gone, HEADERS, 100, SLOW))
    with pytest.raises(Malformed, match="ended before"):
        server.loop.run(collect(bodies.pieces(gone, HEADERS, SLOW)))


def test_a_raw_route_streams_its_body(server: ServerUnderTest) -> None:
    async def size(call: Call) -> Reply:
        return reply.json([len(piece) async for piece in call.stream()])

    served = specimen(server, route("PUT", "/raw", size, raw=True))
    assert served.put("/specimen/raw", content=[b"a", b"", b"bcd"]).json() == [1, 3]
    assert served.put("/specimen/raw").json() == []


async def collect(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]

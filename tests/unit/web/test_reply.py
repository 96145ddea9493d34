from __future__ import annotations

import msgspec
import pytest

from headwater.web import reply
from headwater.web.reply import Reply


class Health(msgspec.Struct):
    status: str


JSON = (b"content-type", b"application/json")
ETAG = (b"etag", b'"1"')


def test_a_value_goes_out_as_json_with_its_type_first() -> None:
    assert reply.json(Health("ok"), 201, (ETAG,)) == Reply(201, (JSON, ETAG), b'{"status":"ok"}')


def test_json_that_is_encoded_already_goes_out_as_it_is() -> None:
    assert reply.json_bytes(b"[1]") == Reply(200, (JSON,), b"[1]")
    assert reply.json_bytes(b"[1]", 201, (ETAG,)).headers == (JSON, ETAG)


@pytest.mark.parametrize("status", [204, 304])
def test_an_empty_answer_has_neither_a_body_nor_a_type(status: int) -> None:
    answer = reply.empty(status, (ETAG,))
    assert (answer.status, answer.headers, answer.whole(), answer.size) == (status, (ETAG,), b"", 0)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [((), b""), ((b"[", b"1", b"]"), b"[1]"), ((memoryview(b"[1]")[1:], b","), b"1],"), ((b"", b"x", b""), b"x")],
)
def test_parts_are_the_body_one_after_the_other(parts: tuple[bytes | memoryview, ...], whole: bytes) -> None:
    answer = reply.json_parts(parts)
    assert answer.whole() == whole
    assert answer.size == len(whole)
    assert answer.headers == (JSON,)

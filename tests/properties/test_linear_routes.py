"""The time of each route grows no faster than any of its inputs: each parameter, header, field and body is lengthened.

Each input gets long texts that are known to cost some parser too much. A time is that of this process's processor,
and only one that is long and grows faster than the input fails: see ``tests/support/growth.py``.
"""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from headwater.base.ids import random_id
from headwater.base.settings.table import FeedSettings, LimitSettings, LogSettings, Settings
from headwater.web.docs.openapi import describe
from tests.support.clock import MovableClock
from tests.support.growth import FACTOR, MOST
from tests.support.server.doors import Door, doors
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import fresh_sqlite
from tests.support.store.objects import BODIES, MAKERS, PARAMETERS, Owner, ids_of

pytestmark = [pytest.mark.sqlite_only, pytest.mark.slow]

Path = tuple[Any, ...]
"""The keys and places that lead to a value in a body."""

SETTINGS = Settings(
    limits=LimitSettings(rate_token_per_second=1_000_000, rate_token_burst=10_000_000,
                         rate_address_per_second=1_000_000, rate_address_burst=10_000_000),
    feed=FeedSettings(wait_seconds_max=0),
    log=LogSettings(level="error"),
)  # fmt: skip

HEAD_CHARACTERS = 15_000
"""About the longest head that the server reads."""

BODY_CHARACTERS = (15_000, 240_000)
"""A body is lengthened in two steps, so that a quadratic parser fails in a second and not in an hour."""

FLOOR_SECONDS = 0.06
"""A request that costs less is quick enough: the shortest quadratic parser costs more at these lengths."""

UNITS = (
    "1", " ", '"', '\\"', "\\", "[", '{"a":', ".", ",", "%", "-", "/a", "a@", "--1", "=;", "e\u0301", "\u0316\u0301",
    "\ufdfa",
)  # fmt: skip
"""The texts that are repeated; the last three grow or are sorted when they are normalised."""

HEAD_UNITS = ("1", " ", '"', "\\", ".", ",", "%41", "-", "/", "a@", "0-0,", 'W/"a",', "a=b;", "dGU=,")
ENDS = ("x", "@")

RAW_BODIES = (
    ('{"a":"', '\\"', "[" * 40), ('{"a":"', "\\u0301\\u0316", '"}'), ("", "[", ""), ("", '{"a":', ""), ("1", "1", ""),
    ('{"a":', "1", "}"), ("", " ", "{}"), ("{", '"a":1,', '"b":2}'), ("[", '"",', '""]'), ("", "\n", "x"),
    ("", "{}\n", ""), ("", '{"path":"/a","size":0}\n', ""),
    ('{"path":"', "/a", '","size":0}\n'), ('{"path":"/', "\\u0316\\u0301", '","size":0}\n'),
)  # fmt: skip
"""Whole bodies: what comes first, what is repeated, and what comes last."""

COMMON_HEADERS = (
    "authorization", "accept", "accept-encoding", "content-type", "host", "origin", "forwarded", "x-forwarded-for",
    "x-forwarded-prefix", "if-match", "if-none-match", "if-range", "range", "idempotency-key", "want-repr-digest",
    "x-device-id", "x-request-id", "upload-metadata", "upload-checksum", "upload-length", "expect", "cookie",
    "access-control-request-headers", "x-http-method-override", "sec-fetch-site",
)  # fmt: skip
HEADER_STARTS = {"range": ("", "bytes="), "upload-checksum": ("sha256 ",), "authorization": ("", "Bearer ")}
"""What a header begins with, so that its parser is reached."""

WITH_COMMON_HEADERS = {
    "GET /api/v1/contacts/{id}", "POST /api/v1/contacts", "GET /api/v1/sync/download/{file_id}", "POST /api/v1/uploads",
    "PATCH /api/v1/uploads/{upload_id}", "GET /api/v1/feed", "GET /v2/sync/{session_id}/queues/{queue}",
}  # fmt: skip
"""The edge reads these headers alike for every route, so a few routes are enough."""


class Sent(NamedTuple):
    """One request."""

    target: str
    headers: dict[str, str]
    content: bytes | None = None


class Input(NamedTuple):
    """One input of a route: its name with what is repeated, its lengths, and the request for a length."""

    name: str
    lengths: tuple[int, ...]
    request: Callable[[int], Sent]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    folder = tmp_path_factory.mktemp("served")
    clock = MovableClock()
    with fresh_sqlite(folder, clock) as database, serving(database, SETTINGS, clock, folder) as under:
        yield under


@pytest.mark.parametrize("door", doors(), ids=lambda door: door.name)
def test_the_time_of_a_route_grows_no_faster_than_each_of_its_inputs(served: ServerUnderTest, door: Door) -> None:
    organisation = random_id("org")
    owner = Owner(served.caller(organisation), organisation, served.client)
    named = MAKERS[door.contract.name](owner) if ids_of(door) else {}
    # A deletion would take away what the next request needs.
    ids = named if door.route.method != "DELETE" else dict.fromkeys(named, "unknown")
    ids |= {"new": f"{organisation}_new"}
    slow: list[str] = []
    for given in inputs(door, ids):
        found = (growth(owner, door, given, length) for length in given.lengths)
        slow.extend(itertools.islice(filter(None, found), 1))
    assert slow == []


def test_every_operation_of_the_document_is_tried(served: ServerUnderTest) -> None:
    paths = describe(served.server.contracts, SETTINGS)["paths"]
    documented = {
        f"{method.upper()} {path}" for path, item in paths.items() for method in item if method != "parameters"
    }
    assert documented - {door.name for door in doors()} == set()


def inputs(door: Door, ids: dict[str, str]) -> Iterator[Input]:
    """Every input of a route, with everything that is repeated in it."""
    yield from _of_path(door, ids)
    yield from _of_query(door, ids)
    yield from _of_headers(door, ids)
    yield from _of_body(door, ids)


def _of_path(door: Door, ids: dict[str, str]) -> Iterator[Input]:
    for name, unit in itertools.product(_path_names(door), HEAD_UNITS):

        def request(length: int, name: str = name, unit: str = unit) -> Sent:
            return _sent(door, ids | {name: quote(_repeated(unit, length, "x"), safe="%.@,-=;")})

        yield Input(f"path {name}: {unit!r}", (HEAD_CHARACTERS // 3,), request)


def _of_query(door: Door, ids: dict[str, str]) -> Iterator[Input]:
    names = [param.name for param in door.route.params if param.place == "query"]
    for name, unit, end in itertools.product(names, UNITS, ENDS):

        def request(length: int, name: str = name, unit: str = unit, end: str = end) -> Sent:
            return _sent(door, ids, query=(name, _repeated(quote(unit, safe="%/.@,-"), length, end)))

        yield Input(f"query {name}: {unit!r}{end}", (HEAD_CHARACTERS,), request)


def _of_headers(door: Door, ids: dict[str, str]) -> Iterator[Input]:
    names = [param.name.lower() for param in door.route.params if param.place == "header"]
    names += COMMON_HEADERS if door.name in WITH_COMMON_HEADERS else ()
    for name, unit in itertools.product(names, HEAD_UNITS):
        for start in HEADER_STARTS.get(name, ("",)):

            def request(length: int, name: str = name, unit: str = unit, start: str = start) -> Sent:
                return _sent(door, ids, header=(name, start + _repeated(unit, length, "x")))

            yield Input(f"header {name}: {start}{unit!r}", (HEAD_CHARACTERS,), request)


def _of_body(door: Door, ids: dict[str, str]) -> Iterator[Input]:
    bodies = RAW_BODIES if door.route.raw or door.route.body is not None else ()
    for start, unit, end in bodies:

        def whole(length: int, start: str = start, unit: str = unit, end: str = end) -> Sent:
            return _sent(door, ids, body=(start + _repeated(unit, length, end)).encode())

        yield Input(f"body {start!r} {unit!r} {end[:4]!r}", BODY_CHARACTERS, whole)
    if door.route.body is None:
        return
    example = _body(door, ids)
    for path, unit in itertools.product(_leaves(example), UNITS):

        def field(length: int, path: Path = path, unit: str = unit) -> Sent:
            changed = _changed(example, path, _repeated(unit, length // 2, "x"))
            return _sent(door, ids, body=json.dumps(changed).encode())

        yield Input(f"field {path}: {unit!r}", BODY_CHARACTERS, field)
    for path in _lists(example):
        item = _at(example, path)[:1] or ["a"]

        def items(length: int, path: Path = path, item: list[Any] = item) -> Sent:
            many = item * (length // (len(json.dumps(item)) + 1) + 1)
            return _sent(door, ids, body=json.dumps(_changed(example, path, many)).encode())

        yield Input(f"items of {path}", BODY_CHARACTERS, items)


def _sent(
    door: Door,
    ids: dict[str, str],
    *,
    query: tuple[str, str] | None = None,
    header: tuple[str, str] | None = None,
    body: bytes | None = None,
) -> Sent:
    known = {**PARAMETERS, **ids}
    needed = [param for param in door.route.params if param.required and param.name in known]
    queries = {param.name: quote(known[param.name]) for param in needed if param.place == "query"}
    headers = {param.name.lower(): known[param.name] for param in needed if param.place == "header"}
    if query:
        queries[query[0]] = query[1]
    if header:
        headers[header[0].lower()] = header[1]
    if body is None and door.route.body is not None:
        body = json.dumps(_body(door, ids)).encode()
    elif body is None and door.route.raw:
        body = b"abcd"
    if door.route.raw:
        headers.setdefault("content-type", door.route.takes)
    text = "&".join(f"{key}={value}" for key, value in queries.items())
    return Sent(door.path.format_map(ids) + ("?" + text if text else ""), headers, body)


def growth(owner: Owner, door: Door, given: Input, length: int) -> str | None:
    """A sentence when an input takes a time that grows faster than its length."""

    async def seconds(size: int) -> float:
        sent = given.request(size)
        began = time.process_time()
        answer = await owner.client.ask(door.route.method, sent.target, headers=sent.headers, content=sent.content)
        took = time.process_time() - began
        assert answer.status < 500, (given.name, answer.body)
        return took

    long = owner.client.loop.run(seconds(length))
    short = 0.0
    for _ in range(3):
        if long < FLOOR_SECONDS:
            return None
        short = min(owner.client.loop.run(seconds(length // FACTOR)) for _ in range(3))
        if long <= MOST * short:
            return None
        long = min(long, owner.client.loop.run(seconds(length)))
    return f"{given.name}: {length // FACTOR} characters take {short:.3f} s, {length} take {long:.3f} s"


def _repeated(unit: str, length: int, end: str) -> str:
    return unit * (length // len(unit)) + end


def _path_names(door: Door) -> list[str]:
    return [part[1:-1] for part in door.path.split("/") if part.startswith("{")]


def _body(door: Door, ids: dict[str, str]) -> Any:
    text = json.dumps(BODIES.get(door.name, door.route.example))
    for name, value in ids.items():
        text = text.replace("{" + name + "}", value)
    return json.loads(text)


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of the texts in a body, of the first item of each list only."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list) and value:
        yield from _leaves(value[0], (*path, 0))


def _lists(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, list):
        yield path
        value = dict(enumerate(value[:1]))
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _lists(inner, (*path, name))


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = value[name]
    return value


def _changed(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    whole = copy.deepcopy(value)
    _at(whole, path[:-1])[path[-1]] = new
    return whole

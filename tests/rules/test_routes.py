"""Every route says who may use it, what it does, what it takes and gives, with examples that fit."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest

from headwater.identity.roles import SCOPES
from headwater.web.access_rule import AccessRule
from headwater.web.call import Call
from headwater.web.contract import Route
from headwater.web.reply import Reply
from tests.support.server.doors import Door, contracts, doors

WITHOUT_A_TOKEN = {
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.json",
    "GET /",
    "GET /docs",
    "GET /docs/errors",
    "GET /docs/style.css",
    "OPTIONS /api/v1/uploads",
}
"""The routes that any caller may use, wherever the server runs; a further one is a decision, made here."""

WITH_ANY_TOKEN = {"POST /api/v1/auth/jwt"}
"""The routes that need a token of any scope."""

PUBLIC_DOORS = {"contacts", "chapters", "cache", "cache-reading", "operations"}
"""Doors that may answer without a token on a loopback bind: the contracts name no role there."""

READING_POSTS = {"POST /api/v1/downloads/batch"}
"""The routes whose query needs a body, and which change nothing."""

WITHOUT_A_KEY = READING_POSTS | {"POST /api/v1/uploads/check"}
"""POSTs that take no Idempotency-Key: they change nothing, and their answers are long."""

CHANGING_GETS = {"GET /v2/sync/{session_id}/queues/{queue}"}
"""The routes whose GET hands something out, which no later one gets."""

every_door = pytest.mark.parametrize("door", doors(), ids=lambda door: door.name)
each_body = pytest.mark.parametrize("door", [one for one in doors() if one.route.body], ids=lambda door: door.name)


@every_door
def test_a_route_says_what_it_does_in_one_line(door: Door) -> None:
    summary = door.route.summary
    assert summary == summary.strip()
    assert summary[:1].isupper()
    assert "\n" not in summary
    assert not summary.endswith(".")


@every_door
def test_a_route_has_an_access_rule_of_a_known_scope(door: Door) -> None:
    access = door.route.access
    assert isinstance(access, AccessRule)
    assert access.open == (door.name in WITHOUT_A_TOKEN)
    assert (access.scope == "") == (door.name in WITHOUT_A_TOKEN | WITH_ANY_TOKEN)
    assert access.scope in ("", *SCOPES)
    if access.public:
        assert door.contract.name in PUBLIC_DOORS


@every_door
def test_a_route_that_changes_something_needs_the_writing_half_of_its_scope(door: Door) -> None:
    if door.route.access.scope:
        changes = door.name in CHANGING_GETS or (door.route.method != "GET" and door.name not in READING_POSTS)
        assert door.route.access.write == door.route.changes_something == changes


async def no_handler(_call: Call) -> Reply:
    raise AssertionError


@pytest.mark.parametrize(
    ("method", "write", "changes"),
    [("POST", False, None), ("PUT", False, None), ("PATCH", False, None), ("DELETE", False, None), ("GET", False, True),
     ("GET", True, None), ("POST", True, False)],
)  # fmt: skip
def test_a_route_that_admits_a_reading_scope_to_a_change_cannot_be_declared(
    method: str, write: bool, changes: bool | None
) -> None:
    with pytest.raises(ValueError, match="must need its"):
        Route(method, "/x", no_handler, AccessRule("sync", write=write), "Do it", changes=changes)


@every_door
def test_a_post_takes_an_idempotency_key(door: Door) -> None:
    if door.route.method == "POST":
        assert door.route.keyed == (door.name not in WITHOUT_A_KEY)


@every_door
def test_a_route_names_the_shapes_of_what_it_takes_and_gives(door: Door) -> None:
    route = door.route
    if route.method in ("PUT", "PATCH"):
        assert route.raw or route.body is not None
    if route.method in ("GET", "DELETE"):
        assert route.body is None
    if route.body is None:
        assert "decoded(" not in inspect.getsource(route.handler)
    if route.media == "application/json" and route.status not in (202, 204):
        assert route.answer is not None


@every_door
def test_a_limit_of_a_body_is_a_setting(door: Door) -> None:
    from headwater.base.settings.table import LimitSettings

    assert isinstance(getattr(LimitSettings(), door.route.body_limit), int)


@each_body
def test_a_body_has_an_example(door: Door) -> None:
    assert door.route.example is not None


@every_door
def test_an_example_goes_through_its_shape_and_comes_back(door: Door) -> None:
    for shape, example in ((door.route.body, door.route.example), (door.route.answer, door.route.answer_example)):
        if example is not None:
            assert lost(example, msgspec.to_builtins(msgspec.convert(example, shape)), "$") == []


def test_a_parameter_stands_where_the_path_names_it() -> None:
    for door in doors():
        named = {part[1:-1] for part in door.route.path.split("/") if part.startswith("{")}
        declared = [param.name for param in door.route.params]
        assert len(set(declared)) == len(declared), door.name
        assert {param.name for param in door.route.params if param.place == "path"} <= named, door.name
        assert {param.place for param in door.route.params} <= {"path", "query", "header"}, door.name


def test_the_doubled_form_stands_beside_the_single_one() -> None:
    doubled = {contract.name: contract.prefixes for contract in contracts() if len(contract.prefixes) > 1}
    assert {"contacts", "cache"} <= doubled.keys()
    for prefixes in doubled.values():
        assert prefixes == (prefixes[0], prefixes[0] * 2)


def test_an_example_that_loses_a_value_is_noticed() -> None:
    class Shape(msgspec.Struct):
        kept: int

    example = {"kept": 1, "dropped": 2}
    assert lost(example, msgspec.to_builtins(msgspec.convert(example, Shape)), "$") == ["$.dropped"]


def lost(given: Any, back: Any, path: str) -> list[str]:
    """The paths of an example's values that the shape does not return."""
    if isinstance(given, dict) and isinstance(back, dict):
        return [place for name in given for place in lost(given[name], back.get(name, lost), f"{path}.{name}")]
    if isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        return [place for n, pair in enumerate(zip(given, back, strict=True)) for place in lost(*pair, f"{path}[{n}]")]
    return [] if given == back else [path]

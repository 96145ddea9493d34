"""The sentences for wrong requests, over every shape and route that is served: fields and choices, no parser words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from headwater.base.errors import Invalid
from headwater.base.wire import decode
from headwater.identity.roles import Role
from headwater.web.contract import Param
from tests.contracts.test_common import new_owner
from tests.contracts.test_common import server as server  # noqa: PLC0414 - a fixture
from tests.support.server.doors import Door, doors
from tests.support.server.serving import ServerUnderTest
from tests.support.store.objects import ask, things_for

PARSER = re.compile(
    r"`|regex|\b(str|int|bool|float|dict|array|NoneType|enum)\b|[Ee]xpected|\\d|\^|\$|msgspec|length [<>]"
)
"""Words and marks of the parser and of patterns."""

CANDIDATES: list[Any] = [
    *(None, True, 7, -1, 2**63, 1.5, "", " ", "?\u0001", "x" * 70_000, [], ["?"], [5], [None], {}, {"?": None}),
]

WITH_BODY = [door for door in doors() if door.route.body is not None and not door.route.raw]
SHAPES = list({str(door.route.body): door.route.body for door in WITH_BODY}.values())


def queried(door: Door) -> list[Param]:
    """The parameters of a route's query."""
    return [param for param in door.route.params if param.place == "query"]


each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: getattr(shape, "__name__", "shape"))


def structs(shape: Any) -> Iterator[inspect.StructType]:
    """The objects that a body may be."""
    found = inspect.type_info(shape)
    for kind in getattr(found, "types", (found,)):
        bare = kind.type if isinstance(kind, inspect.Metadata) else kind
        if isinstance(bare, inspect.StructType) and bare.fields:
            yield bare


def failure_of(shape: Any, value: Any) -> Invalid | None:
    try:
        decode(msgspec.json.Decoder(shape), json.dumps(value))
    except Invalid as failure:
        return failure
    return None


def wrong_values(shape: Any, struct: inspect.StructType) -> Iterator[tuple[str, Any]]:
    """Each field with each value that is wrong for it."""
    for field in struct.fields:
        for value in CANDIDATES:
            failure = failure_of(shape, tagged(struct, {field.encode_name: value}))
            if failure and any(
                is_under(wrong.field, field.encode_name) for wrong in failure.fields if wrong.code != "missing"
            ):
                yield field.encode_name, value


def tagged(struct: inspect.StructType, value: dict[str, Any]) -> dict[str, Any]:
    return value if struct.tag_field is None else {struct.tag_field: struct.tag, **value}


def is_under(path: str, field: str) -> bool:
    return path == field or path.startswith((f"{field}.", f"{field}["))


@each_shape
def test_each_wrong_value_is_named_without_the_parsers_words(shape: Any) -> None:
    for struct in structs(shape):
        for name, value in wrong_values(shape, struct):
            failure = failure_of(shape, tagged(struct, {name: value}))
            assert failure is not None
            for text in (failure.detail, *(wrong.detail for wrong in failure.fields)):
                assert not PARSER.search(text), text


@each_shape
def test_all_wrong_fields_of_a_body_are_named_at_once(shape: Any) -> None:
    for struct in structs(shape):
        wrong = dict(wrong_values(shape, struct))
        failure = failure_of(shape, tagged(struct, wrong)) if wrong else None
        if failure is not None:
            named = [error.field for error in failure.fields]
            assert all(any(is_under(path, name) for path in named) for name in wrong), (named, sorted(wrong))


def texts(kind: inspect.Type, seen: set[type], extra: Any = None) -> Iterator[tuple[inspect.StrType, Any]]:
    """Every text type of a shape with what its Meta adds."""
    if isinstance(kind, inspect.Metadata):
        yield from texts(kind.type, seen, kind.extra or extra)
    elif isinstance(kind, inspect.StrType):
        yield kind, extra or {}
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from texts(member, seen)
    elif isinstance(kind, inspect.DictType):
        yield from texts(kind.key_type, seen)
        yield from texts(kind.value_type, seen)
    elif isinstance(kind, inspect.StructType) and kind.cls not in seen:
        seen.add(kind.cls)
        for field in kind.fields:
            yield from texts(field.type, seen)
    elif hasattr(kind, "item_type"):
        yield from texts(kind.item_type, seen)


@each_shape
def test_every_pattern_has_a_noun_for_people(shape: Any) -> None:
    for kind, extra in texts(inspect.type_info(shape), set()):
        assert kind.pattern is None or "form" in extra, kind.pattern


@pytest.mark.parametrize("door", WITH_BODY, ids=lambda door: door.name)
def test_every_route_names_all_wrong_fields_in_its_own_envelope(server: ServerUnderTest, door: Door) -> None:
    owner = new_owner(server)
    ids = things_for(door, owner)
    struct = next(structs(door.route.body))
    wrong = dict(wrong_values(door.route.body, struct))
    answer = ask(owner.client, door, ids, content=json.dumps(tagged(struct, wrong)).encode())
    assert answer.status == 422, answer.body
    body = answer.json()
    if door.contract.prefixes[0].startswith("/v2"):
        errors = [error["error"] for error in body["errors"]]
        assert all(any(f'"/{name}' in json.dumps(error) for error in errors) for name in wrong), (body, wrong)
        assert {error["code"] for error in errors} <= {"missing", "blank", "invalid_type", "incorrect_value"}
    else:
        named = [error["field"] for error in body["errors"]]
        assert all(any(is_under(path, name) for path in named) for name in wrong), (named, sorted(wrong))
    assert not PARSER.search(re.sub(r"/docs/errors#|\$ref", "", answer.body.decode())), answer.body


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (
            {"first_name": "x", "email": "a@", "phone": 5, "date_of_birth": "1.1.2000"},
            ["email", "phone", "date_of_birth"],
        ),
        ({"first_name": "x", "email": "", "date_of_birth": ""}, ["email", "date_of_birth"]),
        ({"email": "a@"}, ["email", "first_name"]),
        ({"phone": 5}, ["phone", "first_name"]),
        ({"first_name": 5, "last_name": ""}, ["first_name"]),
        ([], [""]),
        ({"first_name": "x", "email": "a@", "date_of_birth": "2000-02-31"}, ["email", "date_of_birth"]),
    ],
)
def test_a_contact_has_all_its_wrong_fields_named(server: ServerUnderTest, body: Any, fields: list[str]) -> None:
    answer = server.caller("org_words", Role.GLOBAL_ADMIN).post("/api/v1/contacts", json=body)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == fields
    assert not PARSER.search(answer.json()["detail"])


def test_an_empty_text_is_refused_in_plain_words(server: ServerUnderTest) -> None:
    body = {"first_name": "x", "email": "", "date_of_birth": ""}
    answer = server.caller("org_words", Role.GLOBAL_ADMIN).post("/api/v1/contacts", json=body)
    assert [(error["code"], error["detail"]) for error in answer.json()["errors"]] == [
        ("blank", "must be an email address like ola@example.no; send null for none"),
        ("blank", "must be a date like 1988-04-21; send null for none"),
    ]


WRONG = {"integer": ["x", "-1", "99999999999999999999"], "boolean": ["maybe"]}


@pytest.mark.parametrize(
    "door",
    [door for door in doors() if sum(param.schema.get("type") in WRONG for param in queried(door)) > 1],
    ids=lambda door: door.name,
)
def test_all_wrong_parameters_of_a_query_are_named_at_once(server: ServerUnderTest, door: Door) -> None:
    owner = new_owner(server)
    ids = things_for(door, owner)
    wrong = {param.name: WRONG[param.schema["type"]][0] for param in queried(door) if param.schema.get("type") in WRONG}
    answer = ask(owner.client, door, ids, query="&".join(f"{name}={value}" for name, value in wrong.items()))
    assert answer.status == 422, answer.body
    assert {error["field"] for error in answer.json()["errors"]} == set(wrong)
    assert not PARSER.search(answer.json()["detail"])


def test_a_query_is_named_whole_with_what_is_missing_in_it(server: ServerUnderTest) -> None:
    client = server.caller("org_words", Role.GLOBAL_ADMIN)
    answer = client.get("/api/v1/contacts?page=0&limit=x&updated_since=yesterday&q=" + "x" * 300)
    assert [error["field"] for error in answer.json()["errors"]] == ["page", "limit", "q", "updated_since"]
    assert answer.json()["errors"][0]["detail"] == "must be a whole number from 1 to 1000000000"

"""Generates the OpenAPI 3.1 document from the contracts' routes and shapes, with the contracts' own examples.

Only the single form of each path is listed; the doubled form gives the same answers. Source: OpenAPI 3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec

from headwater import __version__
from headwater.base.ids import MAX_ID_LENGTH
from headwater.base.settings.table import Settings
from headwater.identity.roles import Role
from headwater.web.contract import Contract, Param, Route, SocketRoute
from headwater.web.errors import PROBLEM_TYPE

Json = dict[str, Any]

_NAME = re.compile(r"\{(\w+)\}")
_SHAPES_OF = re.compile(rb"headwater\.(?:\w+\.)*?(\w+)\.shapes\.")
_REF = "#/components/schemas/{name}"
_TEXT: Json = {"type": "string"}
_ON_ONE = ("GET", "PUT", "PATCH", "DELETE")
_WITHOUT_CONTENT = (204, 304)
_COMMON_ERRORS = (400, 429, 500, 503)
_WITH_BODY_ERRORS = (408, 413, 415, 422)
_INTRODUCTION = """\
Headwater keeps one change log and serves it through several contracts.

Every request needs `Authorization: Bearer TOKEN`, except where an operation says that it answers without one. A
trailing slash is accepted, nothing redirects, and unknown JSON members are ignored. Ids are opaque texts of 1 to 128
printable characters. `X-Request-Id` is copied from the request, or generated, and is part of every answer.
"""
_HEADERS: Json = {
    "X-Request-Id": {"description": "The request's id: the caller's own, or a generated one.", "schema": _TEXT},
    "ETag": {"description": "The state that the answer shows.", "schema": _TEXT},
    "Link": {"description": "The pages first, prev, next and last (RFC 8288).", "schema": _TEXT},
    "Location": {"description": "The URL of the new resource.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "The required authentication.", "schema": _TEXT},
    "Allow": {"description": "The methods that are allowed here.", "schema": _TEXT},
}
_PARAMETERS: Json = {
    "IfMatch": {
        "name": "If-Match", "in": "header", "schema": _TEXT,
        "description": "The ETag that the resource must still have; else 412.",
    },
    "IfNoneMatch": {
        "name": "If-None-Match", "in": "header", "schema": _TEXT,
        "description": "An ETag that the caller has; when it is still valid, the answer is 304.",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "For a day, the same key and request returns the first answer; another request is 422.",
    },
}  # fmt: skip


def describe(contracts: tuple[Contract, ...], settings: Settings) -> Json:
    """Returns the OpenAPI document of the given contracts."""
    schemas = _Schemas(contracts)
    paths: Json = {}
    sockets: Json = {}
    for contract in contracts:
        for route in contract.routes:
            path = contract.prefixes[0] + route.path
            paths.setdefault(path, {})[route.method.lower()] = _operation(contract, route, schemas, settings)
        for socket in contract.sockets:
            sockets[contract.prefixes[0] + socket.path] = _socket(contract, socket)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headwater",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": settings.server.public_url or "/"}],
        "tags": [{"name": contract.title, "description": contract.source} for contract in contracts if contract.routes],
        "paths": paths,
        "x-websockets": sockets,
        "components": {
            "schemas": schemas.components,
            "responses": _error_responses(contracts, schemas),
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of 64 characters, or a short-lived JWT made from one.",
                }
            },
        },
    }


class _Schemas:
    """Every shape of every contract as JSON schema, each once."""

    def __init__(self, contracts: tuple[Contract, ...]) -> None:
        types = list(dict.fromkeys(shape for contract in contracts for shape in _shapes(contract)))
        # Shapes of the same name are distinguished by their contract: contacts.Pagination.
        encoded = msgspec.json.encode(msgspec.json.schema_components(types, ref_template=_REF))
        found, self.components = msgspec.json.decode(_SHAPES_OF.sub(rb"\1.", encoded))
        self._by_type = dict(zip(types, found, strict=True))

    def of(self, shape: Any) -> Json:
        """Returns the schema of a shape, as a reference where it has a name."""
        schema: Json = self._by_type[shape]
        return schema


def _shapes(contract: Contract) -> Iterator[Any]:
    yield contract.error_shape
    for route in contract.routes:
        yield from (shape for shape in (route.body, route.answer) if shape is not None)


def _operation(contract: Contract, route: Route, schemas: _Schemas, settings: Settings) -> Json:
    operation: Json = {
        "tags": [contract.title],
        "operationId": _operation_id(contract, route),
        "summary": route.summary,
        "description": access_sentence(route, settings),
        "security": _security(route, settings),
        "parameters": _parameters(route),
        "responses": _responses(contract, route, schemas),
    }
    if route.source:
        operation["externalDocs"] = {"description": route.source, "url": "/docs"}
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": _media(schemas.of(route.body), route.example)},
        }
    elif route.raw:
        operation["requestBody"] = {"required": True, "content": {route.takes: {}}}
    return operation


def _operation_id(contract: Contract, route: Route) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", route.path) if word]
    return "_".join((contract.name.replace("-", "_"), route.method.lower(), *words))


def access_sentence(route: Route, settings: Settings) -> str:
    """Returns the access rule of a route in words."""
    access = route.access
    if access.open:
        return "Needs no token."
    parts = []
    if access.scope:
        parts.append(f"the scope `{access.scope}`" + ("" if access.write else f" or `{access.scope}:read`"))
    if access.least > Role.PEER_MENTOR:
        parts.append(f"the role `{access.least.wire}` or a higher one")
    sentence = "Needs a token with " + " and ".join(parts) + "." if parts else "Needs a token."
    if access.public and settings.answers_without_token:
        sentence += " Here it also answers without a token."
    return sentence


def _security(route: Route, settings: Settings) -> list[Json]:
    if route.access.open:
        return []
    needed: Json = {"bearer": []}
    return [needed, {}] if route.access.public and settings.answers_without_token else [needed]


def _parameters(route: Route) -> list[Json]:
    declared = {param.name: param for param in route.params if param.place == "path"}
    found = [
        _parameter(declared.get(name) or Param(name, "Its id.", _id_schema(), place="path"), required=True)
        for name in _NAME.findall(route.path)
    ]
    found += [_parameter(param, required=param.required) for param in route.params if param.place != "path"]
    if route.method == "POST" and route.keyed:
        found.append(_component("IdempotencyKey"))
    if is_single(route):
        found.append(_component("IfNoneMatch" if route.method == "GET" else "IfMatch"))
    return found


def _parameter(param: Param, *, required: bool) -> Json:
    shown: Json = {"name": param.name, "in": param.place, "description": param.sentence, "schema": param.schema}
    return shown | {"required": True} if required else shown


def _id_schema() -> Json:
    return {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}


def _component(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def is_single(route: Route) -> bool:
    """True for a route about one resource, whose state an ETag names."""
    return route.tagged and route.head and route.path.endswith("}") and route.method in _ON_ONE


def _responses(contract: Contract, route: Route, schemas: _Schemas) -> Json:
    content: Json = {}
    if route.answer is not None:
        content = {"content": {route.media: _media(schemas.of(route.answer), route.answer_example)}}
    elif route.media != "application/json":
        content = {"content": {route.media: {}}}
    responses: Json = {}
    for status in (route.status, *route.also):
        headers = _headers(*_good_headers(route, status))
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "headers": headers}
        if status not in _WITHOUT_CONTENT:
            responses[str(status)] |= content
    if is_single(route) and route.method == "GET":
        responses["304"] = {"description": HTTPStatus(304).phrase, "headers": _headers("X-Request-Id", "ETag")}
    for status in error_statuses(route):
        responses[str(status)] = {"$ref": "#/components/responses/" + _error_name(contract, status)}
    return dict(sorted(responses.items()))


def _error_responses(contracts: tuple[Contract, ...], schemas: _Schemas) -> Json:
    """Returns each error answer once for each envelope."""
    found: Json = {}
    for contract in contracts:
        error = {contract.error_media: {"schema": schemas.of(contract.error_shape)}}
        for status in sorted({status for route in contract.routes for status in error_statuses(route)}):
            names = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
            found[_error_name(contract, status)] = {
                "description": HTTPStatus(status).phrase,
                "headers": _headers("X-Request-Id", *names),
                "content": error,
            }
    return found


def _error_name(contract: Contract, status: int) -> str:
    envelope = "problem" if contract.error_media == PROBLEM_TYPE else contract.name
    return f"{envelope}_{status}"


def error_statuses(route: Route) -> list[int]:
    """Returns the error statuses of a route, which follow from its parameters, body and access rule."""
    found = {*_COMMON_ERRORS, *route.errors}
    if not route.access.open:
        found |= {401, 403}
    names = {param.name for param in route.params}
    if "{" in route.path or "org_id" in names:
        found.add(404)
    if names or "{" in route.path or route.method == "POST":
        found.add(422)
    if route.body is not None or route.raw:
        found |= set(_WITH_BODY_ERRORS)
    if is_single(route) and route.method != "GET":
        found.add(412)
    return sorted(found)


def _good_headers(route: Route, status: int) -> Iterator[str]:
    yield "X-Request-Id"
    if is_single(route) and route.method != "DELETE":
        yield "ETag"
    if any(param.name == "page" for param in route.params):
        yield "Link"
    if status == 201:
        yield "Location"


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _media(schema: Json, example: Any) -> Json:
    return {"schema": schema} if example is None else {"schema": schema, "example": example}


def _socket(contract: Contract, socket: SocketRoute) -> Json:
    return {
        "tags": [contract.title],
        "summary": socket.summary,
        "scope": socket.access.scope,
        "token_in_query": socket.query_token,
    }

"""Renders the documentation pages: the API and the error catalogue, on the server, without scripts, for offline use.

All their content comes from the OpenAPI document and the catalogue.
"""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

import jinja2

from headwater.web.docs.error_catalogue import ErrorEntry

Json = dict[str, Any]
SERVER_UNSAID = "http://127.0.0.1:8484"
"""The server's address in commands, when no setting contains the public one."""

_DEPTH = 3
_MARK = re.compile(r"``(.+?)``|`(.+?)`")
_SHOWN_LIMITS = ("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "pattern", "default", "enum")


class SchemaField(NamedTuple):
    """A row in a table of fields or parameters."""

    name: str
    type: str
    meaning: str
    required: bool
    place: str = ""


class Operation(NamedTuple):
    """One operation, as the page shows it."""

    id: str
    method: str
    path: str
    summary: str
    access: str
    parameters: list[SchemaField]
    body: list[SchemaField]
    curl: str
    status: str
    answer: list[SchemaField]
    answer_example: str
    others: str


def style() -> bytes:
    """Returns the pages' style sheet."""
    return resources.files(__package__).joinpath("templates", "style.css").read_bytes()


def api_page(document: Json) -> bytes:
    """Returns the page of all operations."""
    shown = operations(document)
    tags = [
        {"id": f"tag-{place}", "title": tag["name"], "operations": shown.get(tag["name"], [])}
        for place, tag in enumerate(document["tags"])
    ]
    sockets = [
        {
            "path": path,
            "summary": socket["summary"],
            "token": f"the scope `{socket['scope']}`" + (", or a JWT as `?token=`" if socket["token_in_query"] else ""),
        }
        for path, socket in document["x-websockets"].items()
    ]
    server = document["servers"][0]["url"]
    return _render(
        "api.html",
        version=document["info"]["version"],
        introduction=document["info"]["description"].split("\n\n"),
        server=SERVER_UNSAID if server == "/" else server,
        tags=tags,
        sockets=sockets,
    )


def start_page(version: str) -> bytes:
    """Returns the page of the server's root address, which introduces the server and links to the documentation."""
    return _render("start.html", version=version)


def errors_page(entries: tuple[ErrorEntry, ...], version: str) -> bytes:
    """Returns the page of all error codes; each has an anchor, to which a problem's ``type`` links."""
    parts = [
        {"title": "Answers", "over_http": True, "entries": [entry for entry in entries if entry.status]},
        {"title": "Command line", "over_http": False, "entries": [entry for entry in entries if not entry.status]},
    ]
    return _render("errors.html", version=version, parts=parts)


def operations(document: Json) -> dict[str, list[Operation]]:
    """Returns the operations of an OpenAPI document by tag, in order."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append(_operation(document, path, method.upper(), operation))
    return found


def _operation(document: Json, path: str, method: str, operation: Json) -> Operation:
    parameters = [_resolved(document, parameter) for parameter in operation["parameters"]]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    status, good = next((status, answer) for status, answer in operation["responses"].items() if status[0] == "2")
    answer: Json = next(iter(good.get("content", {}).values()), {})
    example = answer.get("example")
    return Operation(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        access=operation["description"],
        parameters=[_parameter(document, parameter) for parameter in parameters],
        body=list(fields(document, body.get("schema", {}))),
        curl=curl(path, method, parameters, operation),
        status=f"{status} {good['description']}",
        answer=list(fields(document, answer.get("schema", {}))),
        answer_example="" if example is None else json.dumps(example, indent=2, ensure_ascii=False),
        others=", ".join(name for name in operation["responses"] if name != status),
    )


def _parameter(document: Json, parameter: Json) -> SchemaField:
    return SchemaField(
        parameter["name"],
        _type(document, parameter["schema"]),
        parameter["description"],
        bool(parameter.get("required")),
        parameter["in"],
    )


def curl(path: str, method: str, parameters: list[Json], operation: Json) -> str:
    """Returns a curl command that calls an operation with its example; ids and other values are shell variables."""
    needed = [one for one in parameters if one.get("required")]
    query = "&".join(f"{one['name']}={_value(one)}" for one in needed if one["in"] == "query")
    parts = ["curl" if method == "GET" else f"curl -X {method}"]
    address = re.sub(r"\{(\w+)\}", lambda match: "$" + match[1].upper(), path)
    parts[0] += f' "$HEADWATER{address}{"?" if query else ""}{query}"'
    if operation["security"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    parts += [f'-H "{one["name"]}: {_value(one)}"' for one in needed if one["in"] == "header"]
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        example = content["application/json"].get("example", {})
        parts.append('-H "Content-Type: application/json"')
        parts.append("-d " + shlex.quote(json.dumps(example, ensure_ascii=False)))
    elif content:
        parts.append(f'-H "Content-Type: {next(iter(content))}"')
        parts.append('--data-binary "@$FILE"')
    return " \\\n  ".join(parts)


def _value(parameter: Json) -> str:
    """Returns a parameter's value in a command: its only possible value, or a shell variable named after it."""
    choices = parameter["schema"].get("enum", ())
    if len(choices) == 1:
        return str(choices[0])
    name = parameter["name"].upper().replace("-", "_")
    # The shell has a PATH of its own.
    return "$DEVICE" if "DEVICE" in name else "$FILE_PATH" if name == "PATH" else "$" + name


def fields(document: Json, schema: Json, prefix: str = "", depth: int = _DEPTH) -> Iterator[SchemaField]:
    """Yields the fields of a shape, those of inner shapes with a dotted name."""
    known = _inner(document, schema)
    for name, inner in known.get("properties", {}).items():
        path = f"{prefix}{name}"
        meaning = inner.get("description", "")
        yield SchemaField(path, _type(document, inner), meaning, name in known.get("required", ()))
        if depth > 1:
            many = "[]" if "items" in _alternatives(document, inner)[0] else ""
            yield from fields(document, inner, f"{path}{many}.", depth - 1)


def _inner(document: Json, schema: Json) -> Json:
    """Returns the object in a schema: the shape itself, an array's item, or the alternative to null."""
    known = _alternatives(document, schema)[0]
    return _inner(document, known["items"]) if isinstance(known.get("items"), dict) else known


def _alternatives(document: Json, schema: Json) -> list[Json]:
    """Returns the alternative schemas of a value, without null."""
    known = _resolved(document, schema)
    choices = [_resolved(document, choice) for choice in known.get("anyOf", [known])]
    return [choice for choice in choices if choice.get("type") != "null"] or [{}]


def _resolved(document: Json, schema: Json) -> Json:
    found = schema
    while "$ref" in found:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return found


def _type(document: Json, schema: Json) -> str:
    """Returns a short text of a schema: its types, null included, and its limits."""
    known = _resolved(document, schema)
    choices = known.get("anyOf", [known])
    words = []
    for choice in choices:
        shape = _resolved(document, choice)
        kind = shape.get("type", "any")
        kinds = kind if isinstance(kind, list) else [kind]
        if "items" in shape:
            kinds = ["array of " + str(_resolved(document, shape["items"]).get("type", "any"))]
        words += kinds
        words += [f"{name} {shape[name]}" for name in _SHOWN_LIMITS if shape.get(name) not in (None, [], {})]
        if "format" in shape:
            words.append(str(shape["format"]))
    return ", ".join(dict.fromkeys(words))


def _code(text: str) -> str:
    """Returns text as HTML, with text in backticks as code."""
    return _MARK.sub(lambda match: f"<code>{match[1] or match[2]}</code>", html.escape(text))


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


def _render(name: str, **values: Any) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["code"] = _code
    return environment.get_template(name).render(**values).encode()

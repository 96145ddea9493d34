"""The parameters of a query against their schemas: a refused request has all its wrong ones named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.base.errors import FieldError, Invalid
from headwater.base.wire import invalid, parse_time
from headwater.base.wrong_fields import choices_sentence
from headwater.web.contract import Param
from headwater.web.http.paging import integer_sentence, is_integer


def completed(failure: Invalid, params: Iterable[Param], query: Mapping[str, str]) -> Invalid:
    """Returns a refusal of one parameter with the other wrong ones of the query; any other refusal unchanged.

    The refusal's own sentences come first.
    """
    queried = [param for param in params if param.place == "query"]
    named = {field.field for field in failure.fields}
    if not named & {param.name for param in queried}:
        return failure
    others = [
        FieldError(param.name, *fault)
        for param in queried
        if param.name not in named and (fault := _fault(param, query.get(param.name))) is not None
    ]
    if others:
        whole = invalid((*failure.fields, *others))
        failure.fields, failure.detail = whole.fields, whole.detail
    return failure


def _fault(param: Param, text: str | None) -> tuple[str, str] | None:
    """The code and the sentence of a wrong value; None for a sound one."""
    if text is None:
        return ("missing", "this parameter is required") if param.required else None
    sentence = _sentence(param.schema, text)
    return None if sentence is None else ("incorrect_value", sentence)


def _sentence(schema: Mapping[str, Any], text: str) -> str | None:
    kind = schema.get("type")
    if kind == "integer":
        least, most = schema.get("minimum"), schema.get("maximum")
        return None if is_integer(text, least, most) else integer_sentence(least, most)
    if kind == "boolean":
        return None if text in {"true", "false"} else "must be true or false"
    if (choices := schema.get("enum")) is not None and text not in choices:
        return choices_sentence(list(choices))
    if (most := schema.get("maxLength")) is not None and len(text) > most:
        return f"must have at most {most} characters"
    if schema.get("format") == "date-time":
        try:
            parse_time(text)
        except Invalid as failure:
            return failure.fields[0].detail
    return None

"""What Schemathesis is told of our doors; it loads this module itself.

A schema cannot say that a cursor was never given out, or that a key came before. Such refusals pass here by their
code, and only those: a refusal for a type or a missing field, which the schema would have told, stays a failure.
"""

from __future__ import annotations

from itertools import starmap
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

BEYOND_SCHEMAS = {
    "IDEMPOTENCY_KEY_REUSED",
    "PRECONDITION_FAILED",
    "SYNC_CURSOR_INVALID",
    "RANGE_UNSATISFIABLE",
    "GONE",
}
"""Codes that depend on what was before."""

for media in ("application/octet-stream", "application/offset+octet-stream", "application/vnd.headwater.files"):
    schemathesis.openapi.media_type(media, st.binary(max_size=64))


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure counts."""
    if isinstance(failure, AcceptedNegativeData):
        return not tells_of_each_item(response.json() if response.content else None)
    if isinstance(failure, RejectedPositiveData):
        # Bytes in a format of their own are not described by a schema.
        its_own_format = case.media_type not in (None, "application/json")
        return not (response.status_code == 400 and its_own_format) and could_be_known(response)
    return True


def could_be_known(refused: Any) -> bool:
    """Whether the description told beforehand that a request would be refused."""
    problem = refused.json()
    if problem.get("code") in BEYOND_SCHEMAS:
        return False
    if "code" in problem:
        told = [(field["code"], field["detail"]) for field in problem["errors"]]
    else:  # sell's envelope
        told = [(item["error"]["code"], item["error"]["details"]) for item in problem["errors"]]
    return refused.status_code != 422 or not told or any(starmap(told_by_schema, told))


def told_by_schema(code: str, detail: str) -> bool:
    """Whether a description tells beforehand what is wrong; 3.0 for an integer it allows, and we do not."""
    if code == "invalid_type":
        return "`int" not in detail or "got `float`" not in detail
    return code == "missing" and detail == "this field is required"


def tells_of_each_item(answer: Any) -> bool:
    """Whether a batch was taken as a whole and its wrong items were refused one by one, as its contract has it."""
    if not isinstance(answer, dict):
        return False
    return bool(answer.get("errors")) or any(one.get("outcome") == "refused" for one in answer.get("results", ()))

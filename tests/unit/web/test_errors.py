from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.base import errors
from headwater.base.errors import FieldError, HeadwaterError
from headwater.web.errors import PROBLEM_TYPE, STATUSES, error_headers, problem, status_of


class Special(errors.NotFound):
    code = "SPECIAL"


@pytest.mark.parametrize(("kind", "status"), STATUSES.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_meaning_has_its_status(kind: type[HeadwaterError], status: int) -> None:
    assert status_of(kind()) == status
    assert 400 <= status < 600


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (errors.CursorInvalid(), 400),
        (errors.VersionStale(), 409),
        (errors.SyncConflict(), 409),
        (Special(), 404),
        (errors.Damaged(), 500),
        (errors.Fatal(), 500),
        (HeadwaterError(), 500),
    ],
)
def test_a_special_meaning_has_its_parents_status_and_one_without_has_500(failure: HeadwaterError, status: int) -> None:
    assert status_of(failure) == status


class TestHeaders:
    def headers(self, failure: HeadwaterError, status: int | None = None) -> dict[bytes, bytes]:
        return dict(error_headers(failure, status_of(failure) if status is None else status))

    def test_no_error_is_stored_by_a_cache(self) -> None:
        assert self.headers(errors.NotFound()) == {b"cache-control": b"no-store"}

    @pytest.mark.parametrize(
        ("failure", "name", "value"),
        [
            (errors.Unauthenticated(), b"www-authenticate", b'Bearer realm="headwater"'),
            (errors.TooManyRequests(retry_after_seconds=7), b"retry-after", b"7"),
            (errors.Unavailable(retry_after_seconds=0), b"retry-after", b"0"),
            (errors.MethodNotAllowed(extra={"allow": "GET, PUT"}), b"allow", b"GET, PUT"),
            (errors.MediaUnsupported(), b"accept-encoding", b"identity"),
            (errors.UpgradeRequired(), b"upgrade", b"websocket"),
            (errors.UpgradeRequired(), b"connection", b"upgrade"),
            (errors.RangeUnsatisfiable(extra={"size_bytes": 7}), b"content-range", b"bytes */7"),
            (errors.RangeUnsatisfiable(), b"content-range", b"bytes */*"),
        ],
    )
    def test_an_error_says_what_a_caller_needs_next(self, failure: HeadwaterError, name: bytes, value: bytes) -> None:
        assert self.headers(failure)[name] == value

    def test_a_wait_is_told_only_where_there_is_one(self) -> None:
        assert b"retry-after" not in self.headers(errors.Unavailable())


class TestProblem:
    def told(self, failure: HeadwaterError) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(problem(failure, status_of(failure), "req_1").body)
        return found

    def test_a_problem_has_the_members_of_rfc_9457_and_ours(self) -> None:
        failure = errors.Invalid.of("name", "missing", "it is needed")
        assert self.told(failure) == {
            "type": "/docs/errors#INVALID",
            "title": "Invalid value",
            "status": 422,
            "detail": "name: it is needed",
            "code": "INVALID",
            "request_id": "req_1",
            "errors": [{"field": "name", "code": "missing", "detail": "it is needed"}],
        }

    def test_a_finer_code_leads_to_its_own_anchor(self) -> None:
        told = self.told(errors.StateConflict("taken", code="NAME_TAKEN"))
        assert (told["type"], told["code"], told["title"]) == (
            "/docs/errors#NAME_TAKEN",
            "NAME_TAKEN",
            errors.StateConflict.title,
        )

    def test_what_programs_need_comes_beside_and_never_over_the_members(self) -> None:
        told = self.told(errors.CursorInvalid("old", extra={"reason": "expired", "status": 7, "code": "x"}))
        assert (told["reason"], told["status"], told["code"]) == ("expired", 400, "SYNC_CURSOR_INVALID")

    def test_a_problem_has_its_type_and_the_errors_headers(self) -> None:
        answer = problem(errors.Unauthenticated(), 401, "req_1")
        assert answer.headers[0] == (b"content-type", PROBLEM_TYPE.encode())
        assert answer.headers[1:] == error_headers(errors.Unauthenticated(), 401)

    def test_every_wrong_field_is_named(self) -> None:
        fields = tuple(FieldError(f"rows[{number}]", "missing", "x") for number in range(3))
        assert [field["field"] for field in self.told(errors.Invalid(fields=fields))["errors"]] == [
            "rows[0]",
            "rows[1]",
            "rows[2]",
        ]

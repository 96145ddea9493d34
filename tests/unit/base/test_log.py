from __future__ import annotations

import ast
import errno
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from headwater.base import log as log_module
from headwater.base.errors import NotFound
from headwater.base.log import ALLOWED_KEYS, configure, get_log, scrub
from headwater.base.settings.table import LogSettings

SOURCE = Path(log_module.__file__).resolve().parents[1]
LOG = get_log("headwater.test")
CANARY = "canary-kari-nordmann"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.getLogger("uvicorn.access").disabled = False
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    configure(LogSettings(format="json"), stream)
    return stream


def fail_inside() -> None:
    try:
        int(CANARY)
    except ValueError as cause:
        raise NotFound(CANARY) from cause


def lines_of(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_json_line_holds_event_level_time_module_and_fields(out: io.StringIO) -> None:
    LOG.info("contact stored", resource_id="c-00001", position=7, duration_us=120)
    (line,) = lines_of(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "contact stored",
        "level": "info",
        "logger": "headwater.test",
        "resource_id": "c-00001",
        "position": 7,
        "duration_us": 120,
    }


@pytest.mark.parametrize(
    "key",
    [
        "email",
        "phone",
        "name",
        "first_name",
        "body",
        "query",
        "path",
        "address_line",
        "note",
        "labels",
        "url",
    ],
)
def test_personal_fields_are_dropped_and_counted(out: io.StringIO, key: str) -> None:
    LOG.warning("refused", **{key: CANARY})
    assert CANARY not in out.getvalue()
    assert [line["dropped"] for line in lines_of(out)] == [1]


@pytest.mark.parametrize(
    "key",
    ["token", "authorization", "Authorization", "password", "client_secret", "set_cookie", "access_token"],
)
def test_secrets_are_masked(out: io.StringIO, key: str) -> None:
    LOG.error("refused", **{key: CANARY})
    assert CANARY not in out.getvalue()
    assert lines_of(out)[0][key] == "***"


@pytest.mark.parametrize(
    "value", [{"email": CANARY}, [CANARY], (CANARY,), {CANARY}, CANARY.encode(), Exception(CANARY)]
)
def test_a_value_that_is_no_scalar_shows_only_its_type(out: io.StringIO, value: object) -> None:
    LOG.info("seen", resource_id=value)
    assert CANARY not in out.getvalue()
    assert lines_of(out)[0]["resource_id"] == f"<{type(value).__name__}>"


def test_a_text_under_a_key_for_numbers_is_dropped(out: io.StringIO) -> None:
    LOG.info("seen", body_bytes=CANARY, wait_seconds=1.5)
    (line,) = lines_of(out)
    assert line["dropped"] == 1
    assert line["wait_seconds"] == 1.5


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("GET /api/v1/contacts?q=kari&token=x", "GET /api/v1/contacts"),
        ("kari.nordmann@example.org wrote", "*** wrote"),
        ("call +47 906 78 901", "call ***"),
        ("Bearer abc.def", "***"),
        ("hw_" + "a" * 61, "***"),
        ("postgresql://u:p@db/hw", "postgresql://db/hw"),
        ("a\r\nb\x1b[31m\u2028c", "a b [31m c"),
        ("0123456789abcdef" * 4, "0123456789abcdef" * 4),
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05+00:00"),
    ],
)
def test_scrub_takes_out_what_must_not_be_written(text: str, left: str) -> None:
    assert scrub(text) == left


def test_a_long_text_is_cut(out: io.StringIO) -> None:
    LOG.info("x" * 10_000)
    assert len(lines_of(out)[0]["event"]) == log_module.TEXT_LENGTH_MAX


def test_an_error_shows_type_cause_code_and_place_but_no_message(out: io.StringIO) -> None:
    try:
        fail_inside()
    except NotFound as error:
        LOG.failure("request failed", error, route="/api/v1/contacts/{id}")
    assert CANARY not in out.getvalue()
    (line,) = lines_of(out)
    assert line["error_type"] == "headwater.base.errors.NotFound"
    assert line["error_cause"] == "ValueError"
    assert line["error_code"] == NotFound.code
    assert "test_log:" in line["trace"]


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    configure(LogSettings(level="warning", format="json"), stream)
    LOG.info("quiet")
    LOG.debug("quieter")
    LOG.warning("loud")
    assert [line["event"] for line in lines_of(stream)] == ["loud"]


def test_other_libraries_are_written_without_arguments_and_messages(out: io.StringIO) -> None:
    other = logging.getLogger("other.library")
    try:
        int(CANARY)
    except ValueError:
        other.exception("Task failed\nfuture: %s", CANARY)
    other.warning("frame %s", CANARY)
    other.info("not written")
    assert CANARY not in out.getvalue()
    failed, frame = lines_of(out)
    assert (failed["event"], failed["logger"], failed["error_type"]) == (
        "Task failed",
        "other.library",
        "ValueError",
    )
    assert (frame["event"], frame["level"]) == ("frame %s", "warning")


def test_the_access_log_that_prints_query_strings_is_off(out: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").error("GET /x?token=%s", CANARY)
    assert out.getvalue() == ""


def test_configuring_again_writes_each_line_once(out: io.StringIO) -> None:
    again = io.StringIO()
    configure(LogSettings(format="json"), again)
    logging.getLogger("other.library").warning("once")
    LOG.info("own")
    assert out.getvalue() == ""
    assert [line["event"] for line in lines_of(again)] == ["once", "own"]


def test_a_terminal_gets_console_lines_and_a_pipe_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        configure(LogSettings(), stream)
        LOG.info("started", port=8484, email=CANARY)
    assert not terminal.getvalue().startswith("{")
    assert "started" in terminal.getvalue()
    assert CANARY not in terminal.getvalue()
    assert lines_of(pipe)[0]["port"] == 8484


class FullDisk(io.StringIO):
    attempts = 0

    def write(self, text: str) -> int:
        self.attempts += 1
        raise OSError(errno.ENOSPC, "no space left")


def test_a_log_that_cannot_be_written_raises_nothing() -> None:
    stream = FullDisk()
    configure(LogSettings(format="json"), stream)
    LOG.error("no room for this")
    assert stream.attempts == 1


def test_a_log_whose_stream_was_closed_raises_nothing() -> None:
    stream, later = io.StringIO(), io.StringIO()
    configure(LogSettings(format="json"), stream)
    stream.close()
    LOG.error("lost")
    configure(LogSettings(format="json"), later)
    LOG.error("written")
    assert [line["event"] for line in lines_of(later)] == ["written"]


def test_no_allowed_key_names_personal_data() -> None:
    personal = {"email", "phone", "name", "body", "query", "path", "url", "message", "content", "title"}
    assert not personal & ALLOWED_KEYS


def test_every_event_in_the_source_is_a_fixed_text() -> None:
    levels = {"debug", "info", "warning", "error", "failure"}
    formatted = [
        f"{file.name}:{call.lineno}"
        for file in SOURCE.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in levels
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id.lower() in {"log", "_log"}
        and not (call.args and isinstance(call.args[0], ast.Constant))
    ]
    assert formatted == []

"""Structured log lines on standard error, without secrets, query strings and personal data.

A line contains only values that are known to be safe: keys outside `ALLOWED_KEYS` are dropped, keys that name a
secret show `***`, and an error shows its type and place but never its message. Lines of other libraries pass
the same filter, without their arguments.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from headwater.base.settings.table import LogSettings

ALLOWED_KEYS = frozenset(
    {
        *("event", "level", "timestamp", "logger", "version", "commit", "python"),
        *("request_id", "organisation_id", "user_id", "token_id", "device_id", "session_id", "share_id"),
        *("resource_id", "change_id", "conflict_id", "version_id", "upload_id", "record_id", "pack_id"),
        *("feed", "kind", "contract", "route", "method", "status", "code", "outcome", "reason", "origin"),
        *("position", "revision", "head", "floor", "count", "attempt", "migration", "role", "scope"),
        *("host", "port", "address", "database", "folder", "setting", "job", "signal", "worker", "pid"),
        *("error_type", "error_cause", "error_code", "errno", "sqlstate", "trace", "dropped"),
    }
)
"""Keys whose values may be written: ids, counts and Headwater's own names, never text that a person wrote."""

NUMBER_ENDINGS = ("_seconds", "_bytes", "_us", "_ms", "_count", "_rows", "_per_second")
"""Suffixes of keys that are allowed when the value is a number."""

SECRET_WORDS = ("token", "authorization", "password", "passwd", "secret", "cookie", "api_key")
"""Words in a key that make its value `***`."""

MASK = "***"
TEXT_LENGTH_MAX = 300

_QUERY = re.compile(r"\?[^\s\"']*")
_EMAIL = re.compile(r"[^\s@<>\"'=:,;/]+@[^\s@<>\"']+")
_USER_INFO = re.compile(r"://[^\s/@]*@")
_PHONE = re.compile(r"\+\d[\d ()-]{6,}")
# Sixty-four characters are a token, unless they are the hexadecimal digits of a content hash.
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+\S+|\b(?![0-9a-f]{64}\b)[A-Za-z0-9_-]{64}\b|\beyJ[\w-]+\.[\w.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Writes the events of one module; an event is a fixed text, and values that vary are fields.

    The methods accept no positional arguments, so that no value can be formatted into the event.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, /, **fields: object) -> None:
        """Writes a detail that helps to find a fault."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Writes an event of normal operation."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Writes an event that an operator should check."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Writes a failure."""
        self._write(logging.ERROR, event, fields)

    def failure(self, event: str, error: BaseException, /, **fields: object) -> None:
        """Writes a failure with the type and place of `error`, not with its message."""
        self._write(logging.ERROR, event, {**fields, "exc_info": error})

    def _write(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        structlog.get_logger().log(level, event, **{**fields, "logger": self._name})


def get_log(name: str) -> Log:
    """Returns the log of a module; `name` is the module's `__name__`."""
    return Log(name)


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Configures the log of the whole program; a later call replaces the configuration.

    Lines are written to `stream`, or to standard error. Lines of other libraries are written from level `warning`
    on, or all of them when the configured level is `debug`.
    """
    out = sys.stderr if stream is None else stream
    is_terminal = out.isatty()
    form = settings.format or ("console" if is_terminal else "json")
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=is_terminal)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_safe,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=lambda *_: _LineWriter(out),
        cache_logger_on_first_use=False,
    )
    _take_over_standard_logging(settings)


def keep_safe(_logger: object, _method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that are safe to write, with secrets masked and the number of dropped fields as `dropped`."""
    safe: dict[str, Any] = {}
    dropped = 0
    error = _error_of(line.pop("exc_info", None))
    for key, value in line.items():
        if key in ALLOWED_KEYS or (key.endswith(NUMBER_ENDINGS) and _is_number(value)):
            safe[key] = _safe_value(value)
        elif any(word in key.lower() for word in SECRET_WORDS):
            # Such a key is normally one of Headwater's own; one from outside may contain more than the word.
            safe[key if key.isidentifier() and len(key) <= 40 else "secret"] = MASK
        else:
            dropped += 1
    if error is not None:
        safe.update(_error_fields(error))
    if dropped:
        safe["dropped"] = dropped
    return safe


def scrub(text: str) -> str:
    """Removes credentials, query strings, addresses, phone numbers and control characters from a text."""
    text = _CONTROL.sub(" ", text[: 4 * TEXT_LENGTH_MAX])
    text = _CREDENTIAL.sub(MASK, text)
    text = _USER_INFO.sub("://", text)
    text = _QUERY.sub("", text)
    text = _EMAIL.sub(MASK, text)
    return _PHONE.sub(MASK, text)[:TEXT_LENGTH_MAX]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _safe_value(value: object) -> object:
    if value is None or _is_number(value):
        return value
    if isinstance(value, str):
        return scrub(str(value))
    # A list, a record or an object may contain personal data; its type is enough to find the call.
    return f"<{type(value).__name__}>"


def _error_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exception() if exc_info else None


def _error_fields(error: BaseException) -> dict[str, Any]:
    """Describes an error by type, cause, code and place; its message may quote what a person wrote."""
    fields: dict[str, Any] = {"error_type": _type_name(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        fields["error_cause"] = _type_name(cause)
    for name in ("error_code", "errno", "sqlstate"):
        value = getattr(error, name, None)
        if value is not None:
            fields[name] = _safe_value(value)
    if error.__traceback__ is not None:
        fields["trace"] = " > ".join(_places(error.__traceback__))
    return fields


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _places(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "?")
        yield f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next


class _LineWriter:
    """Writes whole lines; a log that cannot be written must not fail the operation that it reports."""

    _lock = threading.Lock()

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        try:
            with self._lock:
                self._out.write(line + "\n")
                self._out.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = log = msg


class _Bridge(logging.Handler):
    """Passes lines of other libraries to this log, without their arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        # Only the first line of the template: some libraries format whole objects into the rest.
        template = str(record.msg).partition("\n")[0]
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.ERROR)
        structlog.get_logger().log(level, template, logger=record.name, exc_info=record.exc_info)


def _take_over_standard_logging(settings: LogSettings) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(logging.DEBUG if settings.level == "debug" else max(_LEVELS[settings.level], logging.WARNING))
    # Uvicorn's access log prints query strings; Headwater's own line for each request replaces it.
    logging.getLogger("uvicorn.access").disabled = True

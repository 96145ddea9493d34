"""Reads the settings from their sources: default < `headwater.toml` < environment < command line.

This module is the only reader of the environment and of the configuration file. The fields are
declared in `headwater.base.settings.table`.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from headwater.base.errors import HeadwaterError
from headwater.base.settings.field import GIB, KIB, MIB, Section, SettingField, fields_of
from headwater.base.settings.table import Settings

__all__ = ["SettingRow", "SettingSpec", "Settings", "SettingsInvalid", "explain", "load", "shown", "table"]

FILE_NAME = "headwater.toml"
ENVIRONMENT_PREFIX = "HEADWATER_"
CONFIG_VARIABLE = "HEADWATER_CONFIG"
OTHER_VARIABLES = frozenset({CONFIG_VARIABLE})
"""Variables with the prefix that are not settings and are accepted nevertheless."""

_DATA_FOLDER = "database.data_folder"
_SIZE = re.compile(r"(\d+)\s*(KiB|MiB|GiB)")
_SIZE_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB}


class SettingsInvalid(HeadwaterError):
    """The settings cannot be used; `problems` contains one sentence for each error."""

    code = "SETTINGS_INVALID"
    title = "Settings invalid"
    hint = "Correct what the detail names; `headwater config show` lists every setting."

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, as the documentation shows it; `name` is dotted."""

    name: str
    environment: str
    field: SettingField


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """The present value of one setting, and its source; a secret's value is `***`."""

    name: str
    value: str
    origin: str
    default: str
    unit: str
    range: str
    sentence: str
    secret: bool


class _Given(msgspec.Struct, frozen=True):
    """A value from one source; `is_text` when it must still be parsed."""

    value: Any
    origin: str
    is_text: bool


@cache
def table() -> tuple[SettingSpec, ...]:
    """Returns every setting, in the order of its declaration."""
    specs = []
    for section in msgspec.structs.fields(Settings):
        for field in fields_of(section.type):
            name = f"{section.name}.{field.name}"
            variable = ENVIRONMENT_PREFIX + name.replace(".", "_").upper()
            specs.append(SettingSpec(name=name, environment=variable, field=field))
    return tuple(specs)


def load(
    flags: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Reads every source and returns the frozen settings.

    `flags` maps dotted names to text. `config` names a file that must exist; without it
    `headwater.toml` in the data folder is read if it exists. `environ` replaces the process's environment.

    Raises: SettingsInvalid, with every problem at once.
    """
    return _resolve(flags, config, environ)[0]


def explain(
    flags: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[SettingRow]:
    """Returns each setting with its value and source; the parameters are those of `load`.

    Raises: SettingsInvalid, as `load` does.
    """
    settings, given = _resolve(flags, config, environ)
    rows = []
    for spec in table():
        section, _, name = spec.name.partition(".")
        value = getattr(getattr(settings, section), name)
        field = spec.field
        rows.append(
            SettingRow(
                name=spec.name,
                value="***" if field.secret and value is not None else shown(value),
                origin=given[spec.name].origin if spec.name in given else "default",
                default=shown(field.default),
                unit=field.unit,
                range=field.form,
                sentence=field.sentence,
                secret=field.secret,
            )
        )
    return rows


def shown(value: object) -> str:
    """Returns a value as the environment would contain it; unset and empty are `unset` and `none`."""
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value)


def _resolve(
    flags: Mapping[str, str] | None, config: Path | None, environ: Mapping[str, str] | None
) -> tuple[Settings, dict[str, _Given]]:
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    from_environment = dict(_environment(environ, problems))
    from_flags = dict(_flags(flags or {}, problems))
    outer = from_environment | from_flags
    from_file = dict(_file(_config_path(config, environ), outer, problems))
    given = from_file | outer
    values: dict[str, dict[str, Any]] = {}
    for spec in table():
        if spec.name in given:
            section, _, name = spec.name.partition(".")
            try:
                values.setdefault(section, {})[name] = _value(spec, given[spec.name])
            except SettingsInvalid as wrong:
                problems.extend(wrong.problems)
    if not problems:
        settings = _build(values)
        problems.extend(_contradictions(settings))
        if not problems:
            return settings, given
    raise SettingsInvalid(*problems)


def _build(values: Mapping[str, Mapping[str, Any]]) -> Settings:
    sections: dict[str, Section] = {
        section.name: section.type(**values[section.name])
        for section in msgspec.structs.fields(Settings)
        if section.name in values
    }
    return Settings(**sections)  # type: ignore[arg-type]


def _config_path(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    if config is None and environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return config


def _environment(environ: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, _Given]]:
    names = {spec.environment: spec.name for spec in table()}
    for variable in sorted(environ):
        if variable in names:
            yield names[variable], _Given(environ[variable], f"environment {variable}", is_text=True)
        elif variable.startswith(ENVIRONMENT_PREFIX) and variable not in OTHER_VARIABLES:
            problems.append(_unknown("environment variable", variable, [*names, *OTHER_VARIABLES]))


_OWN_FLAGS = {
    "database.data_folder": "--data", "database.url": "--database", "server.host": "--host", "server.port": "--port",
}  # fmt: skip
"""The settings that have a flag of their own; ``--set NAME=VALUE`` sets every other one."""


def _flags(flags: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, _Given]]:
    specs = {spec.name: spec for spec in table()}
    for name, text in flags.items():
        if name not in specs:
            problems.append(_unknown("setting on the command line", name, specs))
        elif specs[name].field.secret and _has_password(text):
            # Other users of the machine can read a command line.
            problems.append(
                f"{name} on the command line holds a password: give it in {specs[name].environment} or in a file"
            )
        else:
            yield name, _Given(text, f"flag {_OWN_FLAGS.get(name, '--set ' + name)}", is_text=True)


def _file(config: Path | None, outer: Mapping[str, _Given], problems: list[str]) -> Iterator[tuple[str, _Given]]:
    specs = {spec.name: spec for spec in table()}
    path = config or _data_folder(outer, specs[_DATA_FOLDER]) / FILE_NAME
    if config is None and not path.exists():
        return
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror or type(error).__name__}")
        return
    except ValueError as error:
        # Both a TOML error and bytes that are not UTF-8; neither message quotes the text.
        problems.append(f"{path} is not valid TOML: {error}")
        return
    sections = sorted({name.partition(".")[0] for name in specs})
    for section, fields in tree.items():
        if section not in sections:
            problems.append(_unknown(f"section in {path}", section, sections))
        elif not isinstance(fields, dict):
            problems.append(f"{section} in {path} must be a section: write [{section}] above its settings")
        else:
            for field, value in fields.items():
                name = f"{section}.{field}"
                if name not in specs:
                    problems.append(_unknown(f"setting in {path}", name, specs))
                elif name == _DATA_FOLDER and config is None:
                    problems.append(f"{name} cannot be set in {path}, which lies in the data folder itself")
                else:
                    yield name, _Given(value, f"file {path}", is_text=False)


def _data_folder(outer: Mapping[str, _Given], spec: SettingSpec) -> Path:
    given = outer.get(spec.name)
    return Path(given.value if given is not None and given.value else spec.field.default)


def _unknown(what: str, name: str, valid: Mapping[str, object] | list[str]) -> str:
    nearest = difflib.get_close_matches(name, list(valid), n=1)
    return f"unknown {what}: {name}" + (f"; the nearest valid name is {nearest[0]}" if nearest else "")


def _value(spec: SettingSpec, given: _Given) -> Any:
    """Converts a source's value to the type of the field. Raises: SettingsInvalid."""
    field, value = spec.field, given.value
    kind = field.kind.__origin__
    if given.is_text and value == "" and field.optional:
        return None
    if given.is_text and getattr(kind, "__origin__", None) is tuple:
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif field.unit == "bytes" and isinstance(value, str) and (size := _SIZE.fullmatch(value.strip())):
        value = int(size[1]) * _SIZE_UNITS[size[2]]
    try:
        return msgspec.convert(value, field.kind, strict=not given.is_text)
    except msgspec.ValidationError:
        quoted = "the value" if field.secret else repr(given.value)
        unit = f" {field.unit}" if field.unit else ""
        raise SettingsInvalid(
            f"{spec.name} ({given.origin}): {quoted} is not allowed; give {field.form}{unit}"
        ) from None


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return True


def _contradictions(settings: Settings) -> Iterator[str]:
    """Yields a sentence for each contradiction between fields, and for each wrong element of a list."""
    files, limits, retry = settings.files, settings.limits, settings.terminology
    if not files.chunk_min_bytes <= files.chunk_avg_bytes <= files.chunk_max_bytes:
        yield "files.chunk_min_bytes, chunk_avg_bytes and chunk_max_bytes must not fall in this order"
    if retry.retry_base_seconds > retry.retry_max_seconds:
        yield "terminology.retry_base_seconds must not exceed terminology.retry_max_seconds"
    if limits.body_bytes > limits.cache_body_bytes:
        yield "limits.body_bytes must not exceed limits.cache_body_bytes"
    for proxy in settings.server.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            yield f"server.trusted_proxies: {proxy!r} is neither an IP address nor a network"
    for origin in settings.server.allowed_origins:
        if origin != "*" and not _is_origin(origin):
            yield f"server.allowed_origins: {origin!r} is no origin; write it as in https://app.example.org"
    for name, hosts in (
        ("server.allowed_hosts", settings.server.allowed_hosts),
        ("terminology.allowed_hosts", retry.allowed_hosts),
    ):
        for host in hosts:
            if not _is_host(host):
                yield f"{name}: {host!r} is not a host name; leave out the scheme, the port and the path"


def _is_origin(text: str) -> bool:
    scheme, mark, host = text.partition("://")
    name, _, port = host.rpartition(":")
    if name and port.isascii() and port.isdigit():
        host = name
    return bool(mark) and scheme in ("http", "https") and _is_host(host)


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text) is not None
    return True

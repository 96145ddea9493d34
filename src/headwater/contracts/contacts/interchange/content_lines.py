"""Content lines of vCard: the one place that knows the parser library, and the writing of lines.

The library (vobject) reads whatever has groups, quoted parameters or the encodings of vCard 2.1; lines of the
plain form are parsed here, which is ten times as quick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import NamedTuple

LINE_MAX_BYTES = 75
"""Longest line that is written, in bytes without its line end. Source: RFC 6350 3.2."""

_PLAIN = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9-]*)(?P<parameters>(?:;[A-Za-z][A-Za-z0-9-]*=[A-Za-z0-9/.+-]+(?:,[A-Za-z0-9/.+-]+)*)*)"
    r":(?P<value>.*)",
    re.DOTALL,
)
_HEAD = re.compile(
    # The library's own pattern takes time that doubles with each parameter of a line that does not fit it, so
    # only lines that do are handed to it.
    r"""(?:[A-Za-z0-9_-]++\.)?+[A-Za-z0-9_-]++
    (?:;[A-Za-z0-9_-]++(?:=(?:"[^"]*+"|[^";:,]*+)(?:,(?:"[^"]*+"|[^";:,]*+))*+)?+)*+:""",
    re.VERBOSE,
)
_ENCODED = frozenset({"ENCODING", "CHARSET"})
_NESTED = "AGENT"
"""The property whose value is a card, which arrives escaped in every version."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_UNESCAPED = re.compile(r"[\\,;\n]|\r\n?")
_PARTS = {
    ",": re.compile(r"(?:[^\\,]|\\.?)*+", re.DOTALL),
    ";": re.compile(r"(?:[^\\;]|\\.?)*+", re.DOTALL),
}
_SEMICOLON_21 = re.compile(r"(?<!\\);")
_QUOTED_PRINTABLE = re.compile(r"quoted-printable", re.IGNORECASE)
_MEDIA = {"PHOTO": "image/", "LOGO": "image/", "SOUND": "audio/", "KEY": "application/"}
_STRUCTURED = frozenset({"N", "ADR", "ORG"})


class LineUnreadable(ValueError):
    """A line that is no content line."""


class ContentLine(NamedTuple):
    """One property: its upper-case name, its parameters (names upper case), its value still escaped.

    ``text`` is the whole unfolded line in the form of vCard 4.0.
    """

    name: str
    parameters: dict[str, list[str]]
    value: str
    text: str

    @property
    def group(self) -> str:
        """The group of the line, such as ``item1``; empty without one."""
        return self.text.partition(":")[0].partition(";")[0].rpartition(".")[0]


def read_line(text: str, version: str = "4.0") -> ContentLine:
    """An unfolded line of a card of this version, brought into the form of vCard 4.0.

    Quoted-printable and character sets are decoded, inline pictures become ``data:`` URIs, bare parameters of
    2.1 become types. Raises: LineUnreadable.
    """
    match = _PLAIN.fullmatch(text)
    if match and (version != "2.1" or match["name"].upper() == _NESTED):
        if not match["parameters"]:
            return ContentLine(match["name"].upper(), {}, match["value"], text)
        parameters: dict[str, list[str]] = {}
        for part in match["parameters"].split(";")[1:]:
            name, _, values = part.partition("=")
            parameters.setdefault(name.upper(), []).extend(values.split(","))
        if not _ENCODED & parameters.keys():
            return ContentLine(match["name"].upper(), parameters, match["value"], text)
    return _read_by_library(text, version)


def _read_by_library(text: str, version: str) -> ContentLine:
    if not _HEAD.match(text):
        raise LineUnreadable("the line has no name and value")
    library = _card_library()
    head, colon, tail = text.partition(":")
    head, was_printable = _QUOTED_PRINTABLE.subn("QUOTED-PRINTABLE", head)
    try:
        read = library.textLineToContentLine(head + colon + tail)
    except (library.VObjectError, ValueError, LookupError, TypeError) as failure:
        raise LineUnreadable(str(failure)) from None
    name, value = str(read.name), str(read.value)
    parameters: dict[str, list[str]] = {key: list(values) for key, values in read.params.items()}
    encodings = {one.upper() for one in [*parameters.pop("ENCODING", []), *read.singletonparams]}
    bare = [one for one in read.singletonparams if one.upper() not in {"BASE64", "8BIT", "7BIT"}]
    if bare:
        parameters.setdefault("TYPE", []).extend(bare)
    changed = bool(encodings or bare or version == "2.1" or "CHARSET" in parameters)
    parameters.pop("CHARSET", None)
    if encodings & {"B", "BASE64"}:
        value = _as_uri(name, parameters, value)
    elif version == "2.1" or was_printable:
        value = _escaped_again(name, value)
    if not changed and not was_printable:
        return ContentLine(name, parameters, value, text)
    return ContentLine(name, parameters, value, line_text(name, parameters, value, read.group))


def _as_uri(name: str, parameters: dict[str, list[str]], value: str) -> str:
    """The inline bytes as a ``data:`` URI. Source: RFC 6350 6.2.4."""
    kind = (parameters.pop("TYPE", None) or ["octet-stream"])[0].lower()
    media = kind if "/" in kind else _MEDIA.get(name, "application/") + kind
    return f"data:{media};base64,{value.strip()}"


def _escaped_again(name: str, value: str) -> str:
    """A value of vCard 2.1, where only ``;`` is escaped, escaped as 4.0 requires."""
    if name not in _STRUCTURED:
        return escaped(value.replace("\\;", ";"))
    parts = _SEMICOLON_21.split(value)
    return ";".join(escaped(part.replace("\\;", ";")) for part in parts)


@cache
def _card_library() -> ModuleType:
    from vobject import base  # noqa: PLC0415 - loads calendars and time zones too; plain cards do without

    return base


def unescaped(value: str) -> str:
    """The text of an escaped value. Source: RFC 6350 3.4."""
    if "\\" not in value:
        return value
    return _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)


def escaped(text: str) -> str:
    """A text as a value: backslash, comma, semicolon and line breaks escaped. Source: RFC 6350 3.4."""
    return _UNESCAPED.sub(lambda match: "\\" + match[0] if match[0] in "\\,;" else "\\n", text)


def split_value(value: str, mark: str) -> list[str]:
    """The parts of a value between unescaped marks (``;`` or ``,``), each still escaped."""
    if "\\" not in value:
        return value.split(mark)
    parts, at = [], 0
    while True:
        match = _PARTS[mark].match(value, at)
        end = match.end() if match else at
        parts.append(value[at:end])
        if value[end : end + 1] != mark:
            return parts
        at = end + 1


def text_line(name: str, value: str, kinds: Iterable[str] = ()) -> str:
    """The unfolded line of a text property, its value escaped, with these types."""
    types = ",".join(kinds)
    return f"{name};TYPE={types}:{escaped(value)}" if types else f"{name}:{escaped(value)}"


def line_text(name: str, parameters: dict[str, list[str]], value: str, group: str | None) -> str:
    """The unfolded line of these parts; the value is escaped already."""
    shown = "".join(f";{key}={','.join(map(_parameter, values))}" for key, values in parameters.items())
    return f"{group + '.' if group else ''}{name}{shown}:{value}"


def _parameter(value: str) -> str:
    return f'"{value}"' if any(mark in value for mark in ",;:") else value


def folded(text: str) -> bytes:
    """The line in UTF-8, folded so that none is over 75 bytes and no character is cut, with its CRLF."""
    line = text.encode()
    if len(line) <= LINE_MAX_BYTES:
        return line + b"\r\n"
    pieces, start, room = [], 0, LINE_MAX_BYTES
    while len(line) - start > room:
        end = start + room
        while line[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(line[start:end])
        start, room = end, LINE_MAX_BYTES - 1
    pieces.append(line[start:])
    return b"\r\n ".join(pieces) + b"\r\n"

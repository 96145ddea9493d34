"""Names in a share: those that are accepted, their stored form, their equality, and the names of copies.

A name is stored in NFC. Two names are the same when their *keys* are equal: NFC and full case folding,
or, in a case-sensitive share, NFC alone. A path is ``/`` or ``/a/b``: absolute, no empty component.

Source: files contract, readings "Names and tree" and "Strategies" (the name of a conflict copy).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from headwater.base.errors import FieldError, Invalid, StateConflict

MAX_NAME_BYTES = 255
"""Longest component, in bytes of UTF-8 in NFC: what common file systems hold."""

MAX_PATH_BYTES = 4096
"""Longest path that a caller may send, in bytes of UTF-8 in NFC, slashes included."""

RAW_PER_BYTE = 2
"""More code points than this, a byte of the limit, never become a name in NFC that fits (no character needs more than
1.5); such text is refused unread, because normalizing a long row of combining marks costs its length squared."""

MAX_DEVICE_NAME_BYTES = 64
"""The part of a device's name in the name of a copy, in bytes of UTF-8."""

_TOO_LONG = ("too_long", f"a name has at most {MAX_NAME_BYTES} bytes in UTF-8")
_MAX_COPIES = 9_999
_WINDOWS_CHARACTERS = frozenset('<>:"\\|?*')
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789\xb9\xb2\xb3"}
)
_PLAIN = re.compile(
    r"(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z))[a-z0-9_-][a-z0-9_.-]{0,98}[a-z0-9_-]", re.IGNORECASE | re.ASCII
)
"""Names that every rule accepts unchanged: most of them, matched at once."""

_EXTENSION = re.compile(r"(?:\.tar)?\.[^\W_][\w~+-]{0,15}\Z", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NamePolicy(NamedTuple):
    """The rules of a share for names, fixed when it is created."""

    case_sensitive: bool = False
    portable: bool = True


DEFAULT_POLICY = NamePolicy()
"""Case-insensitive, case-preserving, and portable to every common system."""


def stored_name(raw: str, policy: NamePolicy = DEFAULT_POLICY, *, field: str = "name") -> str:
    """The accepted name in NFC, as it is stored.

    Raises: Invalid with one field error; its code is the reason (``empty``, ``dots``, ``slash``, ``control``,
    ``surrogate``, ``too_long``; with portable names also ``character``, ``trailing``, ``reserved``).
    """
    if _PLAIN.fullmatch(raw):
        return raw
    if len(raw) > RAW_PER_BYTE * MAX_NAME_BYTES:
        raise _refused(field, *_TOO_LONG)
    name = unicodedata.normalize("NFC", raw)
    refusal = _refusal(name) or (_portable_refusal(name) if policy.portable else None)
    if refusal is not None:
        raise _refused(field, *refusal)
    return name


def name_key(name: str, policy: NamePolicy = DEFAULT_POLICY) -> str:
    """The form in which two names of one folder are compared; of a name that ``stored_name`` accepts, raw or stored."""
    if name.isascii():
        return name if policy.case_sensitive else name.lower()
    if policy.case_sensitive:
        return unicodedata.normalize("NFC", name)
    # Folding a decomposed name is what makes canonically equal names fold alike (Unicode 3.13, D145).
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def split_path(path: str) -> tuple[str, ...]:
    """The components of a stored path; of ``/``, none."""
    return tuple(path[1:].split("/")) if len(path) > 1 else ()


def join_path(names: tuple[str, ...]) -> str:
    """The path of components; ``/`` without any."""
    return "/" + "/".join(names)


def parent_path(path: str) -> str:
    """The path of the folder that holds this path; ``/`` is its own parent."""
    return join_path(split_path(path)[:-1])


def stored_path(raw: str, policy: NamePolicy = DEFAULT_POLICY, *, field: str = "path") -> str:
    """The accepted path in NFC, as it is stored.

    Raises: Invalid with one field error; its code is a reason of ``stored_name``, ``not_absolute`` or
    ``path_too_long``. The limit on a path binds what callers send: a folder's move may make paths below it
    longer, because it does not read them.
    """
    if not raw.startswith("/"):
        raise _refused(field, "not_absolute", "a path begins with '/'")
    if len(raw) > RAW_PER_BYTE * MAX_PATH_BYTES:
        raise _path_too_long(field)
    path = join_path(tuple(stored_name(part, policy, field=field) for part in split_path(raw)))
    require_length(path, field=field)
    return path


def require_length(path: str, *, field: str = "path") -> None:
    """Refuses a path that is longer than any caller may send. Raises: Invalid (``path_too_long``)."""
    if len(path.encode()) > MAX_PATH_BYTES:
        raise _path_too_long(field)


def path_key(path: str, policy: NamePolicy = DEFAULT_POLICY) -> str:
    """The form in which two paths are compared: the keys of their components, joined."""
    return join_path(tuple(name_key(part, policy) for part in split_path(path)))


def split_extension(name: str) -> tuple[str, str]:
    """Stem and extension, which begins with its dot or is empty.

    An extension is the last dot and 1-16 letters, digits, ``_ ~ + -`` behind it, so that a sentence after a
    dot is none; ``.tar.gz`` and its kin stay whole. Dots at the start belong to the stem (``.bashrc`` has no
    extension), so the stem is never empty.
    """
    body_at = len(name) - len(name.lstrip("."))
    found = _EXTENSION.search(name, body_at + 1)
    at = found.start() if found else len(name)
    return name[:at], name[at:]


def device_label(device_name: str) -> str:
    """A device's name made safe for file names: one line, portable characters, at most 64 bytes."""
    shown = "".join("-" if _is_unsafe(c) else c for c in unicodedata.normalize("NFC", device_name))
    return _cut(" ".join(shown.split()).strip(". "), MAX_DEVICE_NAME_BYTES).strip(". ") or "device"


def copy_name(
    name: str,
    device_name: str,
    at_us: int,
    taken: Callable[[str], bool],
    *,
    policy: NamePolicy = DEFAULT_POLICY,
    folder: bool = False,
    numbers: dict[str, int] | None = None,
) -> str:
    """A free name for a conflict copy of ``name``: ``stem (conflicted copy DEVICE 2026-01-02 030405).ext``.

    The time is UTC. The stem is cut between code points until all fits 255 bytes. While ``taken`` returns True for
    the candidate's key, `` 2``, `` 3`` … follow the bracket. A folder's name has no extension.
    ``numbers`` holds, for one folder, the last number of each name, so that none is tried again.
    Units: ``at_us`` microseconds UTC since 1970.
    Raises: StateConflict when 9,999 such names are taken.
    """
    stem, extension = (name, "") if folder else split_extension(name)
    moment = _EPOCH + timedelta(microseconds=at_us)
    mark = f" (conflicted copy {device_label(device_name)} {moment:%Y-%m-%d %H%M%S})"

    def candidate(number: int) -> str:
        tail = mark + (f" {number}" if number > 1 else "") + extension
        return _cut(stem, MAX_NAME_BYTES - len(tail.encode())) + tail

    numbers = {} if numbers is None else numbers
    # Names whose first copies are equal continue alike: those that differ only where they are cut share their numbers.
    first = name_key(candidate(1), policy)
    for number in range(numbers.get(first, 0) + 1, _MAX_COPIES + 1):
        numbers[first] = number
        free = candidate(number)
        if not taken(name_key(free, policy)):
            return free
    raise StateConflict(f"every name for a conflicted copy of {name!r} at this second is taken")


def _refusal(name: str) -> tuple[str, str] | None:
    """The reason for which no share accepts the name, as a code and a sentence."""
    if not name:
        return "empty", "a name is not empty"
    if name in {".", ".."}:
        return "dots", "'.' and '..' are no names"
    if "/" in name:
        return "slash", "a name holds no '/'"
    categories = {unicodedata.category(c) for c in name}
    if "Cs" in categories:
        return "surrogate", "a name holds no lone surrogate"
    if "Cc" in categories:
        return "control", "a name holds no control character"
    if len(name.encode()) > MAX_NAME_BYTES:
        return _TOO_LONG
    return None


def _portable_refusal(name: str) -> tuple[str, str] | None:
    """The reason for which Windows cannot hold the name, as a code and a sentence."""
    if not _WINDOWS_CHARACTERS.isdisjoint(name):
        return "character", 'a portable name holds none of <>:"\\|?*'
    if name[-1] in ". ":
        return "trailing", "a portable name does not end with a dot or a space"
    # Windows reads the part before the first dot, less trailing spaces, as the device.
    if name.partition(".")[0].rstrip(" ").casefold() in _WINDOWS_DEVICES:
        return "reserved", f"Windows reserves {name.partition('.')[0]!r}, also with an extension"
    return None


def _refused(field: str, reason: str, detail: str) -> Invalid:
    return Invalid(f"{field}: {detail}", fields=(FieldError(field, reason, detail),))


def _path_too_long(field: str) -> Invalid:
    return _refused(field, "path_too_long", f"a path has at most {MAX_PATH_BYTES} bytes in UTF-8")


def _is_unsafe(character: str) -> bool:
    """True for what no file name should get from a device's name; line breaks and tabs count as spaces."""
    if character.isspace():
        return False
    return character == "/" or character in _WINDOWS_CHARACTERS or unicodedata.category(character)[0] == "C"


def _cut(text: str, limit_bytes: int) -> str:
    """The longest start of the text that has at most so many bytes of UTF-8, cut between code points."""
    return text.encode()[:limit_bytes].decode(errors="ignore")

"""Sets of labels: a valid one, the differences of two, the form in which a source writes one, and the default set.

Shape: ``{key: text}``; at most 5,000 labels, a key of 1-200 characters but no control, a text of at most 2,000.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from headwater.base.errors import FieldError, Invalid
from headwater.base.wire import decode, encode
from headwater.contracts.terminology.shapes import LABEL_KEY

Labels = dict[str, str]

_KEY = re.compile(LABEL_KEY)

MAX_LABELS = 5_000
MAX_KEY_LENGTH = 200
MAX_TEXT_LENGTH = 2_000
_MAX_ERRORS = 20
_SHIPPED = "default_labels.json"


class _Published(msgspec.Struct):
    labels: Labels


_read_object = msgspec.json.Decoder(dict[str, Any])
_read_labels = msgspec.json.Decoder(Labels)
_read_published = msgspec.json.Decoder(_Published)


def checked(given: Mapping[str, Any], *, removals: bool = False) -> dict[str, Any]:
    """The labels as they were sent, when each is valid; with ``removals`` a null text is allowed too.

    Raises: Invalid, naming the wrong ones (at most twenty).
    """
    wrong: list[FieldError] = []
    if len(given) > MAX_LABELS:
        wrong.append(FieldError("labels", "incorrect_value", f"at most {MAX_LABELS} labels are kept"))
    for key, text in given.items():
        if len(wrong) == _MAX_ERRORS:
            break
        fault = _fault(key, text, removals=removals)
        if fault is not None:
            wrong.append(FieldError(f"labels.{key[:MAX_KEY_LENGTH]}", *fault))
    if wrong:
        raise Invalid("; ".join(f"{field.field}: {field.detail}" for field in wrong[:3]), fields=tuple(wrong))
    return dict(given)


def merged(old: Labels, given: Mapping[str, str | None], *, merge: bool) -> Labels:
    """The labels after a change; a null text removes its label.

    With ``merge`` the given labels replace those of the same key, else they replace all.
    Raises: Invalid (too many labels).
    """
    after = {**(old if merge else {}), **given}
    kept = {key: text for key, text in after.items() if text is not None}
    if len(kept) > MAX_LABELS:
        raise Invalid.of("labels", "incorrect_value", f"at most {MAX_LABELS} labels are kept")
    return kept


def differences(old: Labels, new: Labels) -> int:
    """The number of labels that were added, changed or removed."""
    return sum(old.get(key) != text for key, text in new.items()) + sum(key not in new for key in old)


def of_document(document: bytes) -> Labels:
    """The labels of a source's document: an object of texts, or one that holds such an object as ``labels``.

    Raises: Malformed (no JSON), Invalid (no labels in it, or wrong ones).
    """
    found = decode(_read_object, document)
    inner = found.get("labels")
    labels = checked(inner if isinstance(inner, dict) else found)
    if not labels:
        raise Invalid("the source holds no labels")
    return labels


def to_json(labels: Labels) -> bytes:
    """A set as JSON, its keys in order."""
    return encode(dict(sorted(labels.items())))


def from_json(stored: bytes) -> Labels:
    """The set that ``to_json`` wrote."""
    return _read_labels.decode(stored)


def of_published(body: bytes) -> Labels:
    """The set inside a published record's body."""
    return _read_published.decode(body).labels


@cache
def shipped() -> Labels:
    """The labels of an organisation that has none of its own; callers must not change the set."""
    return of_document(resources.files(__package__).joinpath(_SHIPPED).read_bytes())


@cache
def shipped_version() -> str:
    """A short text that differs when another release ships other labels."""
    return hashlib.blake2b(to_json(shipped()), digest_size=6).hexdigest()


def _fault(key: str, text: object, *, removals: bool) -> tuple[str, str] | None:
    if not 0 < len(key) <= MAX_KEY_LENGTH or not _KEY.match(key):
        return "incorrect_value", f"a label's key has 1-{MAX_KEY_LENGTH} characters, no controls"
    if text is None and removals:
        return None
    if not isinstance(text, str):
        return "invalid_type", "a label is a text"
    if len(text) > MAX_TEXT_LENGTH:
        return "incorrect_value", f"a label has at most {MAX_TEXT_LENGTH} characters"
    return None

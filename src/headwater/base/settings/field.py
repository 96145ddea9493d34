"""The description of a setting: its sentence, unit, range and default."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

KIB = 1024


MIB = 1024 * KIB


GIB = 1024 * MIB


def described(sentence: str, form: str = "", *, pattern: str | None = None, secret: bool = False) -> msgspec.Meta:
    """Describes a field that is not a number; `form` states the allowed values in words."""
    return msgspec.Meta(description=sentence, pattern=pattern, extra={"unit": "", "range": form, "secret": secret})


def count(sentence: str, unit: str, ge: int, le: int) -> msgspec.Meta:
    """Describes an integer counted in `unit`, from `ge` to `le`, both included."""
    return msgspec.Meta(description=sentence, ge=ge, le=le, extra={"unit": unit, "range": "", "secret": False})


def size(sentence: str, ge: int, le: int) -> msgspec.Meta:
    """Describes a size in bytes."""
    return count(sentence, "bytes", ge, le)


def duration(sentence: str, ge: int, le: int) -> msgspec.Meta:
    """Describes a length of time in whole seconds."""
    return count(sentence, "seconds", ge, le)


class SettingField(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of one field; `kind` is its type with its constraints."""

    name: str
    kind: Any
    optional: bool
    default: Any
    sentence: str
    unit: str
    form: str
    secret: bool


@cache
def fields_of(section: type[msgspec.Struct]) -> tuple[SettingField, ...]:
    """Returns the fields that a section declares, in order; the root of the tree declares none."""
    hints = get_type_hints(section, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(section)}
    found = []
    for name, hint in hints.items():
        kinds = [part for part in (hint, *get_args(hint)) if get_origin(part) is Annotated]
        if kinds:
            meta = kinds[0].__metadata__[0]
            found.append(
                SettingField(
                    name=name,
                    kind=kinds[0],
                    optional=hint is not kinds[0],
                    default=defaults[name],
                    sentence=meta.description,
                    unit=meta.extra["unit"],
                    form=meta.extra["range"] or _form(kinds[0], meta),
                    secret=meta.extra["secret"],
                )
            )
    return tuple(found)


def _form(kind: Any, meta: msgspec.Meta) -> str:
    """Returns the allowed values of a number or a choice in words."""
    base = get_args(kind)[0]
    if get_origin(base) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(base))
    return f"{meta.ge} to {meta.le}"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section of the settings; its text form never shows a secret."""

    def __rich_repr__(self) -> Any:
        """Yields each field with its value, secrets as `***`."""
        hidden = {field.name for field in fields_of(type(self)) if field.secret}
        for field in self.__struct_fields__:
            value = getattr(self, field)
            yield field, "***" if field in hidden and value is not None else value

    def __repr__(self) -> str:
        """Returns the fields as text, secrets as `***`."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

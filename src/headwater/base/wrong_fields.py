"""The wrong fields of a JSON value under a shape, all of them, each with its path and a sentence for a person.

The decoder stops at the first wrong field and describes it in its own words; this module reads the value again, on
the failing path alone. Its work is bounded by a number of values, and grows linearly with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import inspect

from headwater.base.errors import FieldError

MAX_VALUES = 20_000
"""Most values that one request has checked again; an error behind them is reported as the decoder's first one."""

MAX_ERRORS = 100
"""Most wrong fields in one answer."""

MAX_KEY_CHARS = 200
"""Longest key of a caller's that a path shows."""

_KINDS: dict[type, str] = {
    type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list",
    dict: "an object",
}  # fmt: skip


class SecondReading(NamedTuple):
    """The wrong fields of a value; ``value`` is the value with 5.0 as 5 where whole numbers are expected."""

    errors: tuple[FieldError, ...]
    value: Any
    changed: bool


def read_again(shape: Any, value: Any) -> SecondReading:
    """Returns every wrong field of a decoded value, up to ``MAX_ERRORS``.

    A ``msgspec.Meta`` may add to a text, in ``extra``: ``form``, the noun of a pattern (``a date like 1988-04-21``),
    and ``check``, a function that returns the fault of a text or None.
    """
    walk = _ValueReader()
    checked = walk.read(_type_of(shape), value, "")
    return SecondReading(tuple(walk.errors), checked, walk.changed)


@cache
def _type_of(shape: Any) -> inspect.Type:
    return inspect.type_info(shape)


def choices_sentence(choices: list[str]) -> str:
    """Returns the sentence for a value that is none of these choices."""
    return f"must be {choices[0]}" if len(choices) == 1 else f"must be one of {', '.join(choices)}"


class _ValueReader:
    """One reading of a value: its errors so far, and the values that may still be read."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.changed = False
        self._left = MAX_VALUES

    def read(self, kind: inspect.Type, value: Any, path: str, extra: Mapping[str, Any] | None = None) -> Any:
        """Reads a value under a type; returns it with whole numbers as such."""
        self._left -= 1
        if self._left < 0 or len(self.errors) >= MAX_ERRORS:
            return value
        if isinstance(kind, inspect.Metadata):
            return self.read(kind.type, value, path, kind.extra or extra)
        if isinstance(kind, inspect.StrType):
            return self.text(kind, value, path, extra or {})
        reader = _READERS.get(type(kind))
        return value if reader is None else reader(self, kind, value, path)

    def fail(self, path: str, code: str, detail: str) -> None:
        """Notes a wrong field."""
        self.errors.append(FieldError(path, code, detail))

    def wrong_type(self, kinds: list[inspect.Type], value: Any, path: str) -> None:
        """Notes a value of another type than these."""
        wanted = list(dict.fromkeys(map(_wanted, kinds)))
        got = "" if isinstance(value, float) and "a whole number" in wanted else f", not {_KINDS[type(value)]}"
        self.fail(path, "invalid_type", f"must be {' or '.join(wanted)}{got}")

    def number(self, kind: Any, value: Any, path: str) -> Any:
        if isinstance(kind, inspect.IntType) and isinstance(value, float) and value.is_integer():
            self.changed, value = True, int(value)
        if isinstance(value, bool) or not isinstance(value, int if isinstance(kind, inspect.IntType) else (int, float)):
            self.wrong_type([kind], value, path)
        elif fault := _range_fault(kind, value):
            self.fail(path, "incorrect_value", fault)
        return value

    def text(self, kind: inspect.StrType, value: Any, path: str, extra: Mapping[str, Any]) -> Any:
        if not isinstance(value, str):
            self.wrong_type([kind], value, path)
        elif fault := _text_fault(kind, value, extra):
            self.fail(path, "incorrect_value" if value.strip() else "blank", fault)
        return value

    def plain(self, kind: inspect.Type, value: Any, path: str) -> Any:
        if not isinstance(value, bool if isinstance(kind, inspect.BoolType) else type(None)):
            self.wrong_type([kind], value, path)
        return value

    def choice(self, kind: Any, value: Any, path: str) -> Any:
        choices = _choices(kind)
        if not any(type(value) is type(each) and value == each for each in choices):
            code = "incorrect_value" if type(value) in {type(each) for each in choices} else "invalid_type"
            self.fail(path, code, choices_sentence([_shown(each) for each in choices]))
        return value

    def union(self, kind: inspect.UnionType, value: Any, path: str) -> Any:
        members = kind.types
        fitting = [member for member in members if _fits(_bare(member), value)]
        tagged = [member for member in fitting if isinstance(_bare(member), inspect.StructType)]
        if len(tagged) > 1:
            return self._tagged(tagged, value, path)
        if not fitting:
            self.wrong_type([_bare(member) for member in members], value, path)
            return value
        before = len(self.errors)
        read = self.read(fitting[0], value, path)
        if value == "" and len(self.errors) > before and any(isinstance(each, inspect.NoneType) for each in members):
            last = self.errors.pop()
            self.errors.append(last._replace(detail=f"{last.detail}; send null for none"))
        return read

    def _tagged(self, members: list[inspect.Type], value: dict[str, Any], path: str) -> Any:
        structs = [bare for member in members if isinstance(bare := _bare(member), inspect.StructType)]
        name = structs[0].tag_field or "type"
        for struct in structs:
            if struct.tag == value.get(name):
                return self.struct(struct, value, path)
        choices = choices_sentence([str(struct.tag) for struct in structs])
        code = "incorrect_value" if name in value else "missing"
        self.fail(_joined(path, name), code, choices if name in value else f"this field is required; it {choices}")
        return value

    def items(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, list):
            self.wrong_type([kind], value, path)
            return value
        if fault := _length_fault(kind, len(value), "item"):
            self.fail(path, "incorrect_value", fault)
        read = list(value)
        for place, item in enumerate(value[: max(self._left, 0)]):
            read[place] = self.read(kind.item_type, item, f"{path}[{place}]")
        return read

    def mapping(self, kind: inspect.DictType, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            self.wrong_type([kind], value, path)
            return value
        if fault := _length_fault(kind, len(value), "key"):
            self.fail(path, "incorrect_value", fault)
        read = dict(value)
        for key, item in islice(value.items(), max(self._left, 0)):
            place = _joined(path, key[:MAX_KEY_CHARS])
            before = len(self.errors)
            self.read(kind.key_type, key, place)
            self.errors[before:] = [each._replace(detail=f"the key {each.detail}") for each in self.errors[before:]]
            read[key] = self.read(kind.value_type, item, place)
        return read

    def struct(self, kind: inspect.StructType, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            self.wrong_type([kind], value, path)
            return value
        read, known = dict(value), {field.encode_name for field in kind.fields}
        for field in kind.fields:
            place = _joined(path, field.encode_name)
            if field.encode_name in value:
                read[field.encode_name] = self.read(field.type, value[field.encode_name], place)
            elif field.required:
                self.fail(place, "missing", "this field is required")
        if kind.forbid_unknown_fields:
            for name in value.keys() - known - {kind.tag_field}:
                self.fail(_joined(path, name[:MAX_KEY_CHARS]), "unknown", "there is no such field")
        return read


_Reader = Callable[[_ValueReader, Any, Any, str], Any]
_READERS: dict[type, _Reader] = {
    inspect.IntType: _ValueReader.number,
    inspect.FloatType: _ValueReader.number,
    inspect.BoolType: _ValueReader.plain,
    inspect.NoneType: _ValueReader.plain,
    inspect.LiteralType: _ValueReader.choice,
    inspect.EnumType: _ValueReader.choice,
    inspect.UnionType: _ValueReader.union,
    inspect.ListType: _ValueReader.items,
    inspect.SetType: _ValueReader.items,
    inspect.FrozenSetType: _ValueReader.items,
    inspect.VarTupleType: _ValueReader.items,
    inspect.DictType: _ValueReader.mapping,
    inspect.StructType: _ValueReader.struct,
}
"""The reader of each kind of type; other kinds accept any value here."""

_WANTED: dict[type, tuple[str, type | tuple[type, ...]]] = {
    inspect.IntType: ("a whole number", (int, float)),
    inspect.FloatType: ("a number", (int, float)),
    inspect.StrType: ("a text", str),
    inspect.BoolType: ("true or false", bool),
    inspect.NoneType: ("null", type(None)),
    inspect.ListType: ("a list", list),
    inspect.SetType: ("a list", list),
    inspect.FrozenSetType: ("a list", list),
    inspect.VarTupleType: ("a list", list),
    inspect.DictType: ("an object", dict),
    inspect.StructType: ("an object", dict),
}


def _bare(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _wanted(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType | inspect.EnumType):
        return " or ".join(map(_shown, _choices(kind)))
    return _WANTED[type(kind)][0] if type(kind) in _WANTED else "a text"


def _fits(kind: inspect.Type, value: Any) -> bool:
    """True when a value has the JSON type of this type."""
    if isinstance(kind, inspect.LiteralType | inspect.EnumType):
        return type(value) in {type(each) for each in _choices(kind)}
    wanted = _WANTED.get(type(kind))
    if wanted is None:
        return True
    return isinstance(value, wanted[1]) and (isinstance(kind, inspect.BoolType) or not isinstance(value, bool))


def _choices(kind: Any) -> tuple[Any, ...]:
    return tuple(kind.values) if isinstance(kind, inspect.LiteralType) else tuple(each.value for each in kind.cls)


def _shown(choice: Any) -> str:
    return choice if isinstance(choice, str) else msgspec.json.encode(choice).decode()


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text_fault(kind: inspect.StrType, value: str, extra: Mapping[str, Any]) -> str | None:
    form, check = extra.get("form"), extra.get("check")
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"must have at most {_counted(kind.max_length, 'character')}"
    if kind.pattern is not None and not _follows(kind.pattern, value):
        return f"must be {form}" if form else "has characters that are not allowed here"
    if kind.min_length is not None and len(value) < kind.min_length:
        return "must not be empty" if not value else f"must have at least {_counted(kind.min_length, 'character')}"
    fault: str | None = check(value) if check is not None else None
    return fault


def _follows(pattern: str, value: str) -> bool:
    """True when a text follows a shape's pattern, by the decoder's own judgement."""
    try:
        msgspec.convert(value, _pattern_type(pattern))
    except msgspec.ValidationError:
        return False
    return True


@cache
def _pattern_type(pattern: str) -> Any:
    return Annotated[str, msgspec.Meta(pattern=pattern)]


def _length_fault(kind: Any, length: int, noun: str) -> str | None:
    if kind.min_length is not None and length < kind.min_length:
        return f"must have at least {_counted(kind.min_length, noun)}"
    if kind.max_length is not None and length > kind.max_length:
        return f"must have at most {_counted(kind.max_length, noun)}"
    return None


def _range_fault(kind: Any, value: float) -> str | None:
    least = kind.ge if kind.ge is not None else kind.gt
    most = kind.le if kind.le is not None else kind.lt
    if (least is None or value > least or (value == least and kind.ge is not None)) and (
        most is None or value < most or (value == most and kind.le is not None)
    ):
        return None
    lower = None if least is None else f"at least {least}" if kind.ge is not None else f"more than {least}"
    upper = None if most is None else f"at most {most}" if kind.le is not None else f"less than {most}"
    return "must be " + " and ".join(filter(None, (lower, upper)))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

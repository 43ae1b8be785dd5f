"""JSON to dataclasses, strictly: exactly the keys that are asked for, every value of its type, and no more.

The manifest of a bundle and the files of a run are read by this. What to do about a refusal is for whoever
reads the file to say.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

T = TypeVar("T")


class MisfitError(ValueError):
    """What a JSON value has too much, too little or otherwise than asked for, and where."""


def read_strictly(kind: type[T], raw: object, where: str) -> T:
    """Build a dataclass, with those within it, from a JSON object that has exactly its keys.

    Args:
        kind: whose fields are texts, numbers, tuples (of one type of item) and mappings of these, `Literal`,
            `Any`, any of them or None, dataclasses, or tuples of dataclasses of one kind. The key of a field
            with a default must be there, too.
        raw: what `json.loads` gave.
        where: how to call the object in an error.

    Raises:
        MisfitError: a key missing or unknown, or a value of the wrong type; `where` begins the message.
    """
    own: Any = kind  # a dataclass, which no annotation can say
    expected = {f.name for f in fields(own)}
    found = set(raw) if isinstance(raw, dict) else set()
    if not isinstance(raw, dict) or found != expected:
        unknown, missing = sorted(found - expected), sorted(expected - found)
        told = [f"unknown key {k!r}" for k in unknown] + [f"missing key {k!r}" for k in missing]
        raise MisfitError(f"{where}: {', '.join(told)}")
    values = {f.name: _nested(f.type, raw[f.name], f"{where}, {f.name}") for f in fields(own)}
    for field in fields(own):
        if not _fits(values[field.name], field.type):
            raise MisfitError(f"{where}: {field.name} cannot be {reprlib.repr(raw[field.name])}")
    return kind(**values)


def _nested(kind: Any, raw: object, where: str) -> object:  # noqa: ANN401 - the type of any field
    """A JSON value, as the dataclass that its field's type asks for, or a tuple for a list."""
    if isinstance(kind, type) and is_dataclass(kind):
        return read_strictly(kind, raw, where)
    item = get_args(kind)[0] if get_origin(kind) is tuple else None
    if isinstance(item, type) and is_dataclass(item) and isinstance(raw, list):
        return tuple(read_strictly(item, each, f"{where} {number}") for number, each in enumerate(raw, 1))
    of = get_args(kind)[1] if get_origin(kind) is Mapping else Any
    if of is not Any and isinstance(raw, dict):
        return {key: _nested(of, value, f"{where}, {key}") for key, value in raw.items()}
    return tuple(raw) if isinstance(raw, list) else raw


def _fits(value: object, kind: Any) -> bool:  # noqa: ANN401 - as above
    """Whether a JSON value is of a field's type."""
    origin, of = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in of)
    if origin is UnionType:
        return any(_fits(value, one) for one in of)
    if origin is tuple:
        return (
            isinstance(value, tuple)
            and len(value) == (len(value) if of[-1] is ... else len(of))
            and all(_fits(item, of[0]) for item in value)
        )
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(item, of[1]) for item in value.values())
    return _is_plain(value, kind)


def _is_plain(value: object, kind: type) -> bool:
    """Whether a value without parts is of a type; a whole number may stand for a float, and true is none."""
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int) and kind is float:
        return abs(value) < 2**53
    return isinstance(value, kind)

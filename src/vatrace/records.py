"""Dataclasses from JSON whose types are checked, so that a damaged file is noticed where it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def record(kind: type[T], content: object) -> T:
    """Make a dataclass from a JSON object with a value for each of its fields; those with a default may be missing.

    Raises:
        TypeError: if a value is missing, unknown, or not of its field's type; the message names it.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"not an object, but {content!r:.40}")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(content.keys() - known.keys())
    if unknown:
        raise TypeError(f"unknown name {unknown[0]!r}")
    for name, field in known.items():
        if name not in content and field.default is MISSING and field.default_factory is MISSING:
            raise TypeError(f"no {name}")
    values = {}
    for name, value in content.items():
        try:
            values[name] = typed(hints[name], value)
        except TypeError as error:
            raise TypeError(f"{name} is {error}") from None
    return kind(**values)


def typed(kind: Any, value: Any) -> Any:  # noqa: PLR0911, PLR0912 - a branch for each kind
    """A JSON value as this type: a number, a text, a list, a dict, a dataclass, or a union of these.

    Raises:
        TypeError: if it is of another type, or a number that isn't finite.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in {Union, UnionType}:
        for one in inner:
            try:
                return typed(one, value)
            except TypeError:
                continue
    elif origin is Literal:
        if value in inner and type(value) in {type(choice) for choice in inner}:
            return value
    elif origin in {list, Sequence} and isinstance(value, list):
        return [typed(inner[0], item) for item in value]
    elif origin is tuple and isinstance(value, list):
        if inner[1:] == (...,):
            return tuple(typed(inner[0], item) for item in value)
        if len(value) == len(inner):
            return tuple(typed(one, item) for one, item in zip(inner, value, strict=True))
    elif origin in {dict, Mapping} and isinstance(value, dict):
        return {typed(inner[0], key): typed(inner[1], item) for key, item in value.items()}
    elif is_dataclass(kind) and isinstance(kind, type):
        return record(kind, value)
    elif kind is float and type(value) in {int, float} and isfinite(value):
        return float(value)
    elif kind in {int, str, bool, NoneType} and type(value) is kind:
        return value
    raise TypeError(f"{value!r:.40}")

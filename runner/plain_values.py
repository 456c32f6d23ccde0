"""Whether what JSON holds is what a dataclass says; for files that another program, or somebody else, may have written."""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Union


def fits(value: object, kind: Any) -> bool:  # noqa: ANN401 - a type
    """Return whether a plain value is of a type as annotations name it.

    A dataclass is an object that has its fields, those with a default if it likes; others may stand beside them. A sequence or
    tuple is a list. An int does for a float, and truth values are no numbers.
    """
    if kind is Any or kind is object:
        return True
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return isinstance(value, dict) and misfit(value, kind) is None
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if origin is tuple and inner[-1] is not Ellipsis:
        return isinstance(value, list) and len(value) == len(inner) and all(map(fits, value, inner))
    if origin is not None and issubclass(origin, Collection | Sequence):
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value)
    if kind is float:
        return type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)
    return type(value) is (types.NoneType if kind is None else kind)


def misfit(value: Mapping[str, Any], kind: type) -> str | None:
    """Return the first field of a dataclass that an object lacks, or has as something else; None where it has all."""
    for name, (annotation, needed) in _fields(kind).items():
        if name not in value:
            if needed:
                return name
        elif not fits(value[name], annotation):
            return name
    return None


@functools.cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    """Return the name of each field with its type, and whether it has to be there."""
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
    }

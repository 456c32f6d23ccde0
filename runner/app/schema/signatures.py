"""What may stand behind a key, by the annotations that configuration is held against."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from runner.app.checking import MISSING, configured_name

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Field:
    """What a section or a class takes under one key.

    Attributes:
        name: as configuration calls it.
        hint: its annotation.
        default: of the signature; ``MISSING`` where there is none.
    """

    name: str
    hint: Any
    default: Any


def fields_of(of: type) -> Iterator[Field]:
    """Yield what a section's dataclass, or a part's constructor, takes."""
    hints = get_type_hints(of if dataclasses.is_dataclass(of) else inspect.getattr_static(of, "__init__"))
    factories = (
        {
            field.name: field.default_factory
            for field in dataclasses.fields(of)
            if field.default_factory is not dataclasses.MISSING
        }
        if dataclasses.is_dataclass(of)
        else {}
    )
    for name, parameter in inspect.signature(of).parameters.items():
        if parameter.kind in _VARIADIC or name.startswith("_"):
            continue
        default = MISSING if parameter.default is inspect.Parameter.empty else parameter.default
        if name in factories:
            default = factories[name]()
        yield Field(configured_name(name), hints.get(name, Any), default)


def options_of(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401 - an annotation
    """Return the annotations of which any one may hold."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(option for argument in get_args(hint) for option in options_of(argument))
    return (hint,)


def is_section(hint: Any) -> bool:  # noqa: ANN401
    """Return whether an annotation is a section of options."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def is_protocol(hint: Any) -> bool:  # noqa: ANN401
    """Return whether an annotation is a protocol, of which a class is chosen by ``_target_``."""
    return bool(getattr(hint, "_is_protocol", False))


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a default as configuration writes it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value

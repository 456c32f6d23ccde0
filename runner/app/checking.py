"""Configuration values against what the code takes: the signature is the schema.

A section is a dataclass; a part chosen by ``_target_`` is whatever class the path names, so a user's own class is checked in
the same way as ours. One message each: which key, what was expected, what was given.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from runner.class_path import class_at
from runner.errors import ConfigError

MISSING = "???"
_TARGET = "_target_"
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_WORDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def build(value: Any, hint: Any, key: str) -> Any:  # noqa: ANN401 - configuration is any value
    """Return ``value`` as ``hint`` wants it, building dataclasses and ``_target_`` nodes on the way.

    Args:
        value: plain configuration: numbers, text, lists, dictionaries.
        hint: a type annotation.
        key: dotted path of the value, for messages.

    Raises:
        ConfigError: the value is missing, of another type, or has an unknown key.
    """
    if value == MISSING:
        raise ConfigError(f"{key}: a value is required. Give it on the command line: {key}=VALUE.")
    if isinstance(value, dict) and _TARGET in value:
        return _build_target(value, key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise _wrong(key, "a section of options", value)
        return _call(hint, value, key)
    return _plain(value, hint, key)


def _plain(value: Any, hint: Any, key: str) -> Any:  # noqa: ANN401
    if hint is Any or hint is inspect.Parameter.empty:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(value, arguments, key)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(key, " or ".join(str(argument) for argument in arguments), value)
        return value
    if origin in (list, tuple, dict):
        return _container(value, origin, arguments, key)
    if hint is types.NoneType:
        if value is not None:
            raise _wrong(key, "null", value)
        return None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in _WORDS:
        if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
            raise _wrong(key, _WORDS[hint], value)
        return value
    # A protocol or class of ours: only a _target_ node can make one, and that was handled before.
    raise _wrong(key, f"a part with {_TARGET}", value)


def _container(value: Any, origin: type, arguments: tuple[Any, ...], key: str) -> Any:  # noqa: ANN401
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(key, "names with values", value)
        return {str(name): build(item, arguments[1], f"{key}.{name}") for name, item in value.items()}
    if not isinstance(value, list):
        raise _wrong(key, "a list", value)
    return [build(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value)]


def _union(value: Any, options: tuple[Any, ...], key: str) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        lists = [option for option in options if get_origin(option) is list]
        if len(lists) == 1:
            # What is wrong with an entry says more than that none of the options fits.
            return build(value, lists[0], key)
    sections = [option for option in options if dataclasses.is_dataclass(option)]
    if isinstance(value, dict) and len(sections) == 1:
        return build(value, sections[0], key)
    for option in options:
        try:
            return build(value, option, key)
        except ConfigError:
            continue
    raise _wrong(key, " or ".join(_name(option) for option in options), value)


def _build_target(node: dict[str, Any], key: str) -> Any:  # noqa: ANN401
    path = node[_TARGET]
    target = class_at(path, f"{key}.{_TARGET}")
    return _call(target, {name: value for name, value in node.items() if name != _TARGET}, key)


def _call(target: Callable[..., Any], values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    # A class that inherits from a protocol of ours and has no constructor shows (*args, **kwargs).
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if not name.startswith("_") and parameter.kind not in _VARIADIC
    }
    hints = get_type_hints(
        target if dataclasses.is_dataclass(target) else inspect.getattr_static(target, "__init__", target)
    )
    for name in values:
        if name not in parameters:
            raise ConfigError(unknown_key(f"{key}.{name}" if key else name, parameters, name, key))
    arguments = {}
    for name, parameter in parameters.items():
        path = f"{key}.{name}" if key else name
        if name in values:
            arguments[name] = build(values[name], hints.get(name, Any), path)
        elif parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"{path}: a value is required. Give it on the command line: {path}=VALUE.")
    return target(**arguments)


def unknown_key(path: str, known: Iterable[str], name: str, owner: str = "") -> str:
    """Return the message for a key that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {f'{owner}.' if owner else ''}{near[0]}?" if near else ""
    return (
        f"{path}: no such option.{hint} {f'{owner} has' if owner else 'There are'} {', '.join(names) or 'no options'}."
    )


def _wrong(key: str, expected: str, value: Any) -> ConfigError:  # noqa: ANN401
    shown = "null" if value is None else repr(value)
    return ConfigError(f"{key}: expected {expected}, got {shown}.")


def _name(hint: Any) -> str:  # noqa: ANN401
    if hint is types.NoneType:
        return "null"
    if get_origin(hint) in (list, tuple):
        return "a list"
    if get_origin(hint) is dict:
        return "names with values"
    if get_origin(hint) is Literal:
        return " or ".join(str(argument) for argument in get_args(hint))
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))

"""Configuration values against what the code takes: the signature is the schema.

A section is a dataclass. A part is chosen by ``_target_``, the import path of a class, so a user's own class is checked in the
same way as ours. That is possible only where the annotation names what a part has to be: a protocol, or, within a part, a
class too. Anywhere else it is refused before anything is imported, and a class that lacks the protocol's methods before it is
made: a configuration file cannot have any other code called. One message each: which key, what was expected, what was given;
all that is wrong with a section is told at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import keyword
import math
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

from runner.class_path import class_at
from runner.errors import ConfigError, RunnerError, raise_all

MISSING = "???"
_TARGET = "_target_"
# What Hydra's own way of making objects takes beside it.
_SPECIAL = ("_args_", "_partial_", "_call_", "_recursive_", "_convert_")
_PLAIN = (*(int, float, bool, str, bytes, list, tuple, dict, set, object, Any), types.NoneType)
# Of a protocol's members these belong to Python.
_NOT_ASKED = ("__init__", "__new__", "__subclasshook__", "__init_subclass__", "__class_getitem__")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_WORDS: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def build(value: Any, hint: Any, key: str) -> Any:  # noqa: ANN401 - configuration is any value
    """Return ``value`` as ``hint`` wants it, building dataclasses and ``_target_`` nodes on the way.

    Args:
        value: plain configuration: numbers, text, lists, dictionaries.
        hint: a type annotation.
        key: dotted path of the value, for messages.

    Raises:
        ConfigError: the value is missing, of another type, or has an unknown key; ``CombinedError`` where several are.
    """
    if value == MISSING:
        raise ConfigError(f"{key}: a value is required. Give it on the command line: {key}=VALUE.")
    if isinstance(value, dict):
        _refuse_special(value, key)
        if _TARGET in value:
            return _build_target(value, hint, key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise _wrong(key, "a section of options", value)
        return _call(hint, value, key)
    return _plain(value, hint, key)


def refuse_misplaced(value: Any, hint: Any, key: str = "") -> None:  # noqa: ANN401
    """Refuse a ``_target_`` in sections and values that take no part; nothing is imported. Within parts see ``build``.

    Raises:
        ConfigError: there is one; names the key.
    """
    if isinstance(value, dict):
        _refuse_special(value, key)
        if _TARGET in value:
            if not any(getattr(option, "_is_protocol", False) for option in _options(hint)):
                raise _misplaced(key, hint)
            return
        for name, inner in value.items():
            refuse_misplaced(inner, _hint_inside(hint, str(name)), _below(key, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            refuse_misplaced(inner, _hint_inside(hint, None), f"{key}[{index}]")


def _hint_inside(hint: Any, name: str | None) -> Any:  # noqa: ANN401
    """Return the annotation of a section's field or of a container's entries; Any where nothing says."""
    for option in _options(hint):
        if name is None and get_origin(option) in (list, tuple):
            return get_args(option)[0]
        if name is not None and get_origin(option) is dict:
            return get_args(option)[1]
        if name is not None and dataclasses.is_dataclass(option) and isinstance(option, type):
            return get_type_hints(option).get(name, Any)
    return Any


def _options(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(option for argument in get_args(hint) for option in _options(argument))
    return (hint,)


def _plain(value: Any, hint: Any, key: str) -> Any:  # noqa: ANN401
    if hint is Any or hint is inspect.Parameter.empty:
        refuse_misplaced(value, Any, key)
        return value
    if isinstance(value, float) and not math.isfinite(value) and float in _options(hint):
        raise _wrong(key, "a finite number", value)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        refuse_misplaced(value, hint, key)  # which says more than that none of the options fits
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
        return _real(value, key)
    if hint in _WORDS:
        if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
            raise _wrong(key, _WORDS[hint], value)
        return value
    # A protocol or class: only a _target_ node can make one, and that was handled before.
    raise _wrong(key, f"a part with {_TARGET}", value)


def _real(value: int, key: str) -> float:
    if abs(value) > sys.float_info.max:
        raise _wrong(key, "a finite number", value)
    return float(value)


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


def _build_target(node: dict[str, Any], hint: Any, key: str) -> Any:  # noqa: ANN401
    kinds = [option for option in _options(hint) if inspect.isclass(option) and option not in _PLAIN]
    if not kinds:
        raise _misplaced(key, hint)
    path = node[_TARGET]
    target: Any = class_at(path, f"{key}.{_TARGET}")
    if not any(_fits(target, kind) for kind in kinds):
        raise ConfigError(f"{key}.{_TARGET}: '{path}' cannot be used here; expected {_described(kinds)}.")
    made = _call(target, {name: value for name, value in node.items() if name != _TARGET}, key)
    _check_values(made, kinds, f"{key}.{_TARGET}: '{path}'")
    return made


def _fits(target: type, kind: type) -> bool:
    """Return whether a class is of a kind, or has a protocol's methods; nothing of it is called."""
    if not getattr(kind, "_is_protocol", False):
        return issubclass(target, kind)
    found = [inspect.getattr_static(target, method, None) for method in _members(kind)[0]]
    return all(callable(member) or isinstance(member, classmethod) for member in found)


def _check_values(made: object, kinds: Iterable[type], where: str) -> None:
    """Refuse a part whose class has a protocol's methods, but which lacks one of the other members."""
    lacking = []
    for kind in kinds:
        if not getattr(kind, "_is_protocol", False):
            if isinstance(made, kind):
                return
            continue
        missing = [name for name in _members(kind)[1] if not hasattr(made, name)]
        if not missing:
            return
        lacking.append(f"{' and no '.join(missing)}, which {kind.__name__} asks for")
    raise ConfigError(f"{where} has no {' or '.join(lacking)}. Set it in the class or its constructor.")


def _members(protocol: type) -> tuple[list[str], list[str]]:
    """Return the names of a protocol's methods, and those of its other members."""
    methods: dict[str, None] = {}
    values: dict[str, None] = {}
    for base in protocol.__mro__:
        if not getattr(base, "_is_protocol", False) or base is Protocol:
            continue
        own = {name: member for name, member in vars(base).items() if name not in _NOT_ASKED}
        methods |= dict.fromkeys(name for name, member in own.items() if inspect.isfunction(member))
        values |= dict.fromkeys(name for name, member in own.items() if isinstance(member, property))
        values |= dict.fromkeys(inspect.get_annotations(base))
    return list(methods), list(values)


def _described(kinds: Iterable[type]) -> str:
    said = []
    for kind in kinds:
        protocol = getattr(kind, "_is_protocol", False)
        said.append(
            f"a class with {', '.join(_members(kind)[0])} ({kind.__name__})"
            if protocol
            else f"{kind.__name__} or a subclass"
        )
    return ", or ".join(said)


def _refuse_special(node: Mapping[Any, Any], key: str) -> None:
    for name in _SPECIAL:
        if name in node:
            raise ConfigError(
                f"{_below(key, name)}: Hydra's {name} is not taken. A class is named by {_TARGET}, and the other keys are the "
                "arguments of its constructor by their names."
            )


def _misplaced(key: str, hint: Any) -> ConfigError:  # noqa: ANN401
    known = hint is not Any and hint is not inspect.Parameter.empty
    expected = " or ".join(_name(option) for option in _options(hint)) if known else "plain values"
    return ConfigError(
        f"{_below(key, _TARGET)}: no class can be chosen here; expected {expected}. docs/howto/extend.md says where one can."
    )


def _below(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _call(target: Callable[..., Any], values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    # A class that inherits from a protocol of ours and has no constructor shows (*args, **kwargs).
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if not name.startswith("_") and parameter.kind not in _VARIADIC
    }
    hints = _annotations(target, key)
    keys = {configured_name(name): name for name in parameters}
    faults: list[RunnerError] = [
        ConfigError(unknown_key(_below(key, name), keys, name, key)) for name in values if name not in keys
    ]
    arguments = {}
    for said, name in keys.items():
        path, parameter = _below(key, said), parameters[name]
        try:
            if said in values:
                arguments[name] = build(values[said], hints.get(name, Any), path)
            elif parameter.default is inspect.Parameter.empty:
                raise ConfigError(f"{path}: a value is required. Give it on the command line: {path}=VALUE.")
        except RunnerError as error:
            faults.append(error)
    raise_all(faults)
    return target(**arguments)


def configured_name(parameter: str) -> str:
    """Return how a configuration calls a parameter: without the underscore behind a word of Python's."""
    plain = parameter.removesuffix("_")
    return plain if keyword.iskeyword(plain) else parameter


def _annotations(target: Callable[..., Any], key: str) -> dict[str, Any]:
    own = target if dataclasses.is_dataclass(target) else inspect.getattr_static(target, "__init__", target)
    try:
        return get_type_hints(own)
    except (NameError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"{key}.{_TARGET}: the annotations of {getattr(target, '__name__', target)}'s constructor cannot be read "
            f"({error}); expected names that are imported when it runs."
        ) from error


def unknown_key(path: str, known: Iterable[str], name: str, owner: str = "") -> str:
    """Return the message for a key that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {f'{owner}.' if owner else ''}{near[0]}?" if near else ""
    return (
        f"{path}: no such option.{hint} {f'{owner} has' if owner else 'There are'} {', '.join(names) or 'no options'}."
    )


def _wrong(key: str, expected: str, value: Any) -> ConfigError:  # noqa: ANN401
    shown = "null" if value is None else repr(value)
    plain = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    hint = "" if plain is None else f" Leave out the sign: {key}={plain[1]}."
    return ConfigError(f"{key}: expected {expected}, got {shown}.{hint}")


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

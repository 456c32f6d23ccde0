"""``tune.space`` read.

A parameter is a choice (``[ifmr, hfmg]``), a whole number (``{int: [8, 64], step: 8}``) or a number
(``{float: [0.9, 1], log: true}``). ``when`` makes it part of some settings only: ``when: {observer: percentile}``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from runner.errors import ConfigError, near_names
from runner.tune.space import Choice, Number, Parameter, Space, Whole
from runner.tune.values import override_text

_RANGES = ("int", "float")
_WORDS = (*_RANGES, "choices", "step", "log", "when")


def read_space(given: Mapping[str, Any]) -> Space:
    """Return what ``tune.space`` says.

    Raises:
        ConfigError: nothing to try, or an entry that says no parameter; names it.
    """
    flat = {key: value for key, value in _flat(given, "").items() if value is not None}
    if not flat:
        raise ConfigError(
            "tune.space: nothing to try. Take a shipped search, +hparams_search=digits, or name what is tried: "
            "'tune.space.observer=[ifmr,hfmg]'."
        )
    read = [_parameter(key, value) for key, value in flat.items()]
    return Space(_ordered(read))


def _flat(given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return dotted key -> entry. What the command line nests comes over what a file writes with dots."""
    found: dict[str, Any] = {}
    with_dots: set[str] = set()
    for name, value in given.items():
        key = f"{prefix}{name}"
        inner = {key: value}
        if isinstance(value, Mapping) and not set(value) & {*_RANGES, "choices"}:
            if not value:
                raise ConfigError(f"tune.space.{key}: nothing to try; expected a list, or {{int: [low, high]}}.")
            inner = _flat(value, f"{key}.")
        for full, entry in inner.items():
            if full not in found or full in with_dots or "." not in str(name):
                found[full] = entry
            if "." in str(name):
                with_dots.add(full)
    return found


def _parameter(key: str, given: Any) -> Parameter:  # noqa: ANN401
    where = f"tune.space.{key}"
    if isinstance(given, list):
        return Choice(key, _choices(given, where))
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where}: expected a list of what is tried, {{int: [low, high]}} or {{float: [low, high]}}, got "
            f"{override_text(given)}."
        )
    unknown = next((str(word) for word in given if word not in _WORDS), None)
    if unknown is not None:
        raise ConfigError(f"{where}: no such word '{unknown}'.{near_names(unknown, _WORDS)}")
    kinds = [kind for kind in (*_RANGES, "choices") if kind in given]
    if len(kinds) != 1:
        raise ConfigError(f"{where}: expected one of int, float and choices, got {' and '.join(kinds)}.")
    when = _when(given.get("when"), where)
    if kinds == ["choices"]:
        misplaced = next((word for word in ("step", "log") if word in given), None)
        if misplaced is not None:
            raise ConfigError(f"{where}: {misplaced} belongs to int and float, not to choices.")
        return Choice(key, _choices(given["choices"], where), when)
    return _range(key, given, kinds[0], when)


def _choices(given: Any, where: str) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: nothing to try; expected a list of values.")
    texts = tuple(map(override_text, given))
    twice = next((text for index, text in enumerate(texts) if text in texts[:index]), None)
    if twice is not None:
        raise ConfigError(f"{where}: {twice} stands there twice.")
    # Python, and so a sampler, holds them for the same.
    same = next(((a, b) for a, b in itertools.combinations(given, 2) if _number(a) and _number(b) and a == b), None)
    if same is not None:
        raise ConfigError(f"{where}: {override_text(same[0])} and {override_text(same[1])} are the same.")
    return texts


def _range(key: str, given: Mapping[str, Any], kind: str, when: Mapping[str, tuple[str, ...]]) -> Parameter:
    where, ends, step, log = f"tune.space.{key}", given[kind], given.get("step"), given.get("log", False)
    wanted = "whole numbers" if kind == "int" else "numbers"
    fits = _whole if kind == "int" else _number
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(fits, ends)) or not ends[0] <= ends[1]:
        raise ConfigError(f"{where}: expected {{{kind}: [low, high]}} of {wanted}, got {override_text(ends)}.")
    if step is not None and not (fits(step) and step > 0):
        raise ConfigError(f"{where}: expected a step above 0, of {wanted}, got {override_text(step)}.")
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: expected log: true or false, got {override_text(log)}.")
    if log and (ends[0] <= 0 or step is not None):
        raise ConfigError(f"{where}: log: true needs a lower end above 0, and takes no step.")
    if kind == "int":
        step = 1 if step is None else step
        return Whole(key, ends[0], ends[0] + (ends[1] - ends[0]) // step * step, step, log, when)
    if step is None:
        return Number(key, float(ends[0]), float(ends[1]), None, log, when)
    # The upper end is what steps reach.
    steps = math.floor((ends[1] - ends[0]) / step + 1e-9)
    return Number(key, float(ends[0]), round(ends[0] + steps * step, 12), float(step), log, when)


def _when(given: Any, where: str) -> dict[str, tuple[str, ...]]:  # noqa: ANN401
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{where}: expected when: {{KEY: VALUE}} of another parameter, got {override_text(given)}.")
    return {str(k): tuple(map(override_text, v if isinstance(v, list) else [v])) for k, v in given.items()}


def _ordered(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Return the parameters with each behind those that its ``when`` names."""
    known = {parameter.key: parameter for parameter in parameters}
    for parameter in parameters:
        for key, values in parameter.when.items():
            _refuse_when(parameter.key, key, values, known)
    placed: list[Parameter] = []
    left = list(parameters)
    while left:
        free = [p for p in left if all(key in {q.key for q in placed} for key in p.when)]
        if not free:
            raise ConfigError(f"tune.space: the conditions of {', '.join(p.key for p in left)} depend on each other.")
        placed.append(free[0])
        left.remove(free[0])
    return tuple(placed)


def _refuse_when(key: str, on: str, values: Sequence[str], known: Mapping[str, Parameter]) -> None:
    where = f"tune.space.{key}: when"
    if on not in known:
        raise ConfigError(f"{where}: {on} is not tried itself.{near_names(on, (k for k in known if k != key))}")
    parent = known[on]
    if not isinstance(parent, Choice):
        raise ConfigError(f"{where}: {on} is no choice of values; only those can be asked for.")
    odd = next((value for value in values if value not in parent.values), None)
    if odd is not None:
        raise ConfigError(f"{where}: {on} is never {odd}.{near_names(odd, parent.values)}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

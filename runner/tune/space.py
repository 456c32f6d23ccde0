"""What may be tried: parameters by key of the configuration, and the settings made of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner.tune.values import number_text

# Key of the configuration -> value, as an override has it.
Setting = Mapping[str, str]


class Suggests(Protocol):
    """What proposes values: a trial of Optuna's."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:  # noqa: ANN401, D102
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...  # noqa: D102

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, as overrides have them."""

    key: str
    values: tuple[str, ...]
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def suggest(self, trial: Suggests) -> str:
        """Return what a trial proposes."""
        return self.text(trial.suggest_categorical(self.key, self.values))

    def text(self, value: Any) -> str:  # noqa: ANN401
        """Return the sampler's value as an override has it."""
        return str(value)

    def all_values(self) -> tuple[str, ...]:
        """Return each value, in order."""
        return self.values

    def proposal(self, text: str) -> str:
        """Return a value as the sampler has it."""
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two, both included."""

    key: str
    low: int
    high: int
    step: int = 1
    log: bool = False
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def suggest(self, trial: Suggests) -> str:
        """Return what a trial proposes."""
        return self.text(trial.suggest_int(self.key, self.low, self.high, step=self.step, log=self.log))

    def text(self, value: Any) -> str:  # noqa: ANN401
        """Return the sampler's value as an override has it."""
        return str(int(value))

    def all_values(self) -> tuple[str, ...]:
        """Return each value, in order."""
        return tuple(map(str, range(self.low, self.high + 1, self.step)))

    def proposal(self, text: str) -> int:
        """Return a value as the sampler has it."""
        return int(text)


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two, both included; without a step any of them."""

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def suggest(self, trial: Suggests) -> str:
        """Return what a trial proposes."""
        return self.text(trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log))

    def text(self, value: Any) -> str:  # noqa: ANN401
        """Return the sampler's value as an override has it."""
        if self.step is not None:
            # As all_values has it: 3 * 0.1 is 0.3.
            return number_text(round(value, 12))
        # More digits make no difference, and people read and copy them.
        return number_text(min(max(float(f"{value:.8g}"), self.low), self.high))

    def all_values(self) -> tuple[str, ...] | None:
        """Return each value, in order; None where there is no step, so that they are without number."""
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(number_text(round(self.low + index * self.step, 12)) for index in range(count))

    def proposal(self, text: str) -> float:
        """Return a value as the sampler has it."""
        return float(text)


Parameter = Choice | Whole | Number


@dataclass(frozen=True, slots=True)
class Space:
    """Parameters, each behind those that its ``when`` names."""

    parameters: tuple[Parameter, ...]

    def suggest(self, trial: Suggests) -> dict[str, str]:
        """Return the setting that a trial proposes: a value for each parameter that applies."""
        setting: dict[str, str] = {}
        for parameter in self.parameters:
            if _applies(parameter, setting):
                setting[parameter.key] = parameter.suggest(trial)
        return setting

    def setting(self, proposal: Mapping[str, Any]) -> dict[str, str]:
        """Return a setting of the sampler's as overrides have it."""
        return {p.key: p.text(proposal[p.key]) for p in self.parameters if p.key in proposal}

    def proposal(self, setting: Setting) -> dict[str, Any]:
        """Return a setting as the sampler has it."""
        return {p.key: p.proposal(setting[p.key]) for p in self.parameters if p.key in setting}

    def endless(self) -> list[str]:
        """Return the keys of numbers without a step, of which there is no grid."""
        return [p.key for p in self.parameters if p.all_values() is None]

    def settings(self) -> Iterator[dict[str, str]]:
        """Yield each setting once, the last parameter turning fastest; only where nothing is endless."""
        yield from self._below({}, self.parameters)

    def _below(self, setting: dict[str, str], left: tuple[Parameter, ...]) -> Iterator[dict[str, str]]:
        if not left:
            yield setting
            return
        first, *rest = left
        if not _applies(first, setting):
            yield from self._below(setting, tuple(rest))
            return
        for value in first.all_values() or ():
            yield from self._below({**setting, first.key: value}, tuple(rest))

    def size(self, most: int = 100_000) -> int | None:
        """Return how many settings there are; None where they are endless, or more than ``most``."""
        if self.endless():
            return None
        count = sum(1 for _ in itertools.islice(self.settings(), most + 1))
        return None if count > most else count

    def probes(self) -> Iterator[dict[str, str]]:
        """Yield settings in which each value of a choice and both ends of each range occur, one parameter changed at a time."""
        for parameter in self.parameters:
            base: dict[str, str] = {}
            for other in self.parameters:
                if other is parameter:
                    break
                if other.key in parameter.when:
                    base[other.key] = parameter.when[other.key][0]
                elif _applies(other, base):
                    base[other.key] = _ends(other)[0]
            for value in _ends(parameter):
                needed = {key: base[key] for key in _ancestors(parameter, self.parameters) if key in base}
                yield {**needed, parameter.key: value}


def _ends(parameter: Parameter) -> tuple[str, ...]:
    if isinstance(parameter, Choice):
        return parameter.values
    if isinstance(parameter, Whole):
        return (str(parameter.low), str(parameter.high))
    return (number_text(parameter.low), number_text(parameter.high))


def _ancestors(parameter: Parameter, parameters: Sequence[Parameter]) -> list[str]:
    direct = list(parameter.when)
    above = [key for p in parameters if p.key in direct for key in _ancestors(p, parameters)]
    return [*above, *direct]


def _applies(parameter: Parameter, setting: Setting) -> bool:
    return all(setting.get(key) in values for key, values in parameter.when.items())

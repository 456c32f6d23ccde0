"""What tuning minimises: a number of a job's summary that is larger for any missed target than for a met one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import ConfigError, near_names

# More than any met job's seconds, nats or decibels.
_BEYOND = 1e6


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure to be made small.

    Attributes:
        name: what ``tune.objective`` calls it.
        meaning: what it is, with its unit.
        figure: reads it from a summary; None where the summary does not tell it.
        worst: more than it is for any job that meets its target; None: that is the target itself.
    """

    name: str
    meaning: str
    figure: Callable[[Mapping[str, Any]], float | None]
    worst: float | None = _BEYOND

    def value(self, summary: Mapping[str, Any]) -> float:
        """Return the figure of a job that meets its target or has none; else ``worst`` and by how much the target is missed.

        So a missed target is worse than any met one, and the further it is missed the worse, continuously. The loss needs no
        such rule: beyond the target it is its own penalty. NaN where the summary does not tell the figure.
        """
        figure, target = self.figure(summary), summary.get("target_loss")
        if figure is None or not math.isfinite(figure):
            return math.nan
        if summary.get("target_met", True):
            return float(figure)
        loss = summary.get("loss")
        # Without a target AMCT's own evaluator decides, and only that it was missed is known.
        beyond = 0.0 if loss is None or target is None else max(0.0, loss - target)
        worst = target if self.worst is None else self.worst
        return float(figure if worst is None else worst + beyond)


def _key(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda summary: summary.get(name)


def _turned(name: str, whole: float) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda summary: None if summary.get(name) is None else whole - summary[name]


OBJECTIVES: Mapping[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("loss", "what the int8 model loses, in the metric's unit", _key("loss"), worst=None),
        Objective("macs_float", "share of multiply-accumulates left float", _turned("macs_int8_share", 1), worst=2.0),
        Objective("disagreement", "share of items whose answer changes", _turned("agreement", 1), worst=2.0),
        Objective("kl", "nats between the class scores of float and int8", _key("kl")),
        Objective("noise", "decibels of noise against the signal: the worst output's SQNR, turned", _turned("sqnr_db", 0)),
        Objective("seconds", "seconds of work on the model; cache=none, or a job that finds all kept takes none",
                  lambda summary: summary.get("seconds", {}).get("model_work")),
    )
}  # fmt: skip


def objectives(named: object) -> tuple[Objective, ...]:
    """Return what ``tune.objective`` names: one objective, or a list of two.

    Raises:
        ConfigError: there is no such objective, or not one or two of them.
    """
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, Sequence) or not 1 <= len(names) <= 2 or len(set(map(str, names))) < len(names):
        raise ConfigError(f"tune.objective: expected one of {', '.join(OBJECTIVES)}, or a list of two, got {named!r}.")
    unknown = next((name for name in names if name not in OBJECTIVES), None)
    if unknown is not None:
        raise ConfigError(f"tune.objective: no such objective '{unknown}'.{near_names(str(unknown), OBJECTIVES)}")
    return tuple(OBJECTIVES[name] for name in names)


def returned(wanted: Sequence[Objective], summary: Mapping[str, Any] | None) -> float | list[float]:
    """Return what a job gives to Hydra's sweeper: a number, or a list of two; infinite where it failed.

    Infinite, not NaN, at which the plugin for Optuna (1.3.0) ends the sweep with an error of its own.
    """
    found = [math.nan if summary is None else objective.value(summary) for objective in wanted]
    values = [math.inf if math.isnan(value) else value for value in found]
    return values[0] if len(values) == 1 else values

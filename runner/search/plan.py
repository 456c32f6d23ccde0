"""What a search speaks of: plans, trials, rankings."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# Treatments of a layer. A repaired int8 layer is called by its repair, such as "int8+bias".
INT8 = "int8"
FLOAT = "float"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to each layer, in graph order; a plan is its own memo key."""

    treatments: tuple[tuple[str, str], ...]

    @classmethod
    def all_int8(cls, layers: Iterable[str]) -> Plan:
        """Return the plan in which every layer is int8."""
        return cls(tuple((name, INT8) for name in layers))

    def with_fallback(self, names: Iterable[str]) -> Plan:
        """Return the plan in which the named layers are float as well."""
        dropped = set(names)
        return Plan(tuple((name, FLOAT if name in dropped else treatment) for name, treatment in self.treatments))

    @property
    def fallback(self) -> tuple[str, ...]:
        """The layers left float, in graph order."""
        return tuple(name for name, treatment in self.treatments if treatment == FLOAT)

    @property
    def int8_layers(self) -> tuple[str, ...]:
        """The layers in int8, repaired or not, in graph order."""
        return tuple(name for name, treatment in self.treatments if treatment != FLOAT)


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan and what it cost. ``loss`` is in the metric's unit, ``value`` is the metric of the quantized model.

    Attributes:
        settled_after: items that settled the verdict, where not all were scored; value and loss are estimates then.
    """

    plan: Plan
    value: float
    loss: float
    accepted: bool
    settled_after: int | None = None

    @property
    def full(self) -> bool:
        """Whether every item was scored."""
        return self.settled_after is None


@dataclass(frozen=True, slots=True)
class Ranking:
    """(layer, sensitivity), most sensitive first; ties in graph order."""

    entries: tuple[tuple[str, float], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' names, most sensitive first."""
        return tuple(name for name, _ in self.entries)


Proposals = Generator[Plan, Trial, None]


class Strategy(Protocol):
    """Proposes plans and is told what each cost; holds no model, data or budget."""

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield plans; each ``yield`` returns the plan's trial. Called when the all-int8 trial was not accepted."""
        ...

    def most_trials(self, layers: int) -> int:
        """Return the largest number of plans it can propose for so many layers."""
        ...


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        trials: in the order tried, the all-int8 plan first.
        best: the accepted trial with the fewest layers left float, the earliest among equals; None if there is none.
        stopped: what ended the search before the strategy did, if anything.
    """

    trials: tuple[Trial, ...]
    best: Trial | None
    stopped: Literal["interrupted", "budget"] | None = None

    @property
    def closest(self) -> Trial:
        """The trial of least loss among those scored in full, the one with the fewest float layers among equals."""
        return closest_of([trial for trial in self.trials if trial.full])


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the accepted trial with the fewest float layers that leaves at least one in int8."""
    accepted = [trial for trial in trials if trial.accepted and trial.plan.int8_layers]
    return min(accepted, key=lambda trial: len(trial.plan.fallback), default=None)


def closest_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial of least loss, the one with the fewest float layers among equals."""
    return min(trials, key=lambda trial: (trial.loss, len(trial.plan.fallback)))

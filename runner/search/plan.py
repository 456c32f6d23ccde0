"""What a search speaks of: plans, trials, rankings."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

# Treatments of a layer. A repaired int8 layer is called by its repair, such as "int8+bias".
INT8 = "int8"
FLOAT = "float"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to each layer, in graph order; a plan is its own memo key.

    Attributes:
        treatments: (layer, treatment).
        float_tensors: whether what other nodes read is left float although it was to be rounded.
    """

    treatments: tuple[tuple[str, str], ...]
    float_tensors: bool = False

    @classmethod
    def all_int8(cls, layers: Iterable[str]) -> Plan:
        """Return the plan in which every layer is int8."""
        return cls(tuple((name, INT8) for name in layers))

    def with_fallback(self, names: Iterable[str]) -> Plan:
        """Return the plan in which the named layers are float as well."""
        dropped = set(names)
        return replace(
            self, treatments=tuple((name, FLOAT if name in dropped else now) for name, now in self.treatments)
        )

    def with_repair(self, treatment: str) -> Plan:
        """Return the plan in which every layer that is int8 is repaired in the given way."""
        return replace(
            self, treatments=tuple((name, FLOAT if was == FLOAT else treatment) for name, was in self.treatments)
        )

    def with_float_tensors(self) -> Plan:
        """Return the plan in which layers alone are quantized."""
        return replace(self, float_tensors=True)

    def restored(self, names: Iterable[str], start: Plan) -> Plan:
        """Return the plan in which the named layers are treated as in ``start``, a plan of the same layers."""
        back = set(names)
        pairs = zip(self.treatments, start.treatments, strict=True)
        return replace(self, treatments=tuple(old if old[0] in back else now for now, old in pairs))

    @property
    def fallback(self) -> tuple[str, ...]:
        """The layers left float, in graph order."""
        return tuple(name for name, treatment in self.treatments if treatment == FLOAT)

    @property
    def int8_layers(self) -> tuple[str, ...]:
        """The layers in int8, repaired or not, in graph order."""
        return tuple(name for name, treatment in self.treatments if treatment != FLOAT)

    @property
    def used(self) -> tuple[str, ...]:
        """The treatments of the int8 layers, each once."""
        return tuple(dict.fromkeys(treatment for _, treatment in self.treatments if treatment != FLOAT))

    @property
    def repaired(self) -> tuple[str, ...]:
        """The layers in a repaired int8 form, in graph order."""
        return tuple(name for name, treatment in self.treatments if treatment not in (INT8, FLOAT))


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan and what it cost.

    Attributes:
        value: the metric of the quantized model.
        loss: in the metric's unit.
        float_macs: multiply-accumulates of the layers that the plan leaves float, for one item.
        settled_after: items that settled the verdict, where not all were scored; value and loss are estimates then.
    """

    plan: Plan
    value: float
    loss: float
    accepted: bool
    float_macs: int = 0
    settled_after: int | None = None

    @property
    def full(self) -> bool:
        """Whether every item was scored."""
        return self.settled_after is None


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers that are left float, and made int8 again, together; ``macs`` for one item."""

    layers: tuple[str, ...]
    macs: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a strategy may know of the layers.

    Attributes:
        entries: (layer, sensitivity), most sensitive first; ties in graph order.
        groups: what the layers form, in graph order, with its price; nothing where prices are not known.
    """

    entries: tuple[tuple[str, float], ...]
    groups: tuple[LayerGroup, ...] = ()

    @property
    def units(self) -> tuple[LayerGroup, ...]:
        """The groups, under the name that strategies written earlier know."""
        return self.groups

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' names, most sensitive first."""
        return tuple(name for name, _ in self.entries)


Proposals = Generator[Plan, Trial, None]

# Which trials are scored over every item: only the plan that is returned, every accepted one because others are made from it,
# or all. The others are scored as long as it takes to settle their verdict.
InFull = Literal["chosen", "accepted", "all"]

# What ends a search before its strategy does.
Stopped = Literal["interrupted", "budget"]


class Strategy(Protocol):
    """Proposes plans and is told what each cost; holds no model, data or budget.

    Attributes beside its methods say what it needs of the search, see ``runner.search.needs``.
    """

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield plans; each ``yield`` returns the plan's trial. Called when the all-int8 trial was not accepted.

        Args:
            ranking: of the layers.
            all_int8: the trial of the plan to start from, in which every layer is int8, repaired or not.
        """
        ...

    def most_trials(self, layers: int) -> int:
        """Return the largest number of plans it can propose for so many layers."""
        ...


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        trials: in the order tried, the all-int8 plan first.
        best: the one of them that ``best_of`` picks among those scored in full; None if there is none.
        stopped: what ended the search before the strategy did, if anything.
    """

    trials: tuple[Trial, ...]
    best: Trial | None
    stopped: Stopped | None = None

    @classmethod
    def of(cls, trials: Iterable[Trial], stopped: Stopped | None = None) -> SearchResult:
        """Return the result that trials make; an estimate is never the best of them."""
        made = tuple(trials)
        return cls(made, best_of([trial for trial in made if trial.full]), stopped)

    @property
    def closest(self) -> Trial:
        """The trial of least loss among those scored in full, the one that leaves the least float among equals."""
        return closest_of([trial for trial in self.trials if trial.full])


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the accepted trial that leaves the fewest multiply-accumulates float, and at least one layer in int8.

    Among equals the one with the fewest float layers, then one with rounded tensors, then the earliest.
    """
    accepted = [trial for trial in trials if trial.accepted and trial.plan.int8_layers]
    return min(accepted, key=_left_float, default=None)


def closest_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial of least loss, the one that leaves the least float among equals."""
    return min(trials, key=lambda trial: (trial.loss, *_left_float(trial)))


def _left_float(trial: Trial) -> tuple[int, int, bool]:
    return trial.float_macs, len(trial.plan.fallback), trial.plan.float_tensors

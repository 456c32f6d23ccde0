"""Searches small enough to try every plan."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runner.search.driver import search
from runner.search.end_to_end import leave_one_out
from runner.search.plan import Plan, Ranking, SearchResult, Strategy, Trial, Unit

Loss = Callable[[tuple[str, ...]], float]


@dataclass(frozen=True)
class Small:
    """Units with prices, the loss of a set of int8 layers, and a target."""

    units: tuple[Unit, ...]
    loss: Loss
    target: float

    @property
    def start(self) -> Plan:
        return Plan.all_int8(name for unit in self.units for name in unit.layers)

    def trial(self, plan: Plan) -> Trial:
        macs = sum(unit.macs for unit in self.units if set(unit.layers) <= set(plan.fallback))
        loss = self.loss(plan.int8_layers)
        return Trial(plan, 100 - loss, loss, loss < self.target, macs)

    def run(self, strategy: Strategy, ranking: Ranking | None = None) -> SearchResult:
        """Search, with damages measured by leaving one unit out unless another ranking is given."""
        return search(self.trial(self.start), ranking or self.damage().ranking, strategy, self.trial)

    def misleading(self, seed: int) -> Ranking:
        """Return a ranking that knows the prices but nothing of the damages."""
        values = np.random.default_rng(seed).random(len(self.units))
        entries = [(unit.layers[0], float(value)) for unit, value in zip(self.units, values, strict=True)]
        return Ranking(tuple(sorted(entries, key=lambda entry: -entry[1])), self.units)

    def damage(self):
        return leave_one_out(
            self.units,
            self.start,
            lambda plan: self.loss(plan.int8_layers),
            total=self.loss(self.start.int8_layers),
            measure="kl",
            items=[0],
        )

    def plans(self) -> Iterator[Plan]:
        """Yield every plan that leaves at least one unit int8."""
        for count in range(len(self.units)):
            for chosen in itertools.combinations(self.units, count):
                yield self.start.with_fallback(name for unit in chosen for name in unit.layers)

    def optimum(self) -> int | None:
        """Return the fewest multiply-accumulates left float by any accepted plan."""
        return min((t.float_macs for t in map(self.trial, self.plans()) if t.accepted), default=None)

    def can_give_back(self, plan: Plan) -> list[Unit]:
        """Return the units that could be int8 beside what is int8 already."""
        left = [unit for unit in self.units if set(unit.layers) <= set(plan.fallback)]
        return [unit for unit in left if self.trial(plan.restored(unit.layers, self.start)).accepted]


def units(prices: Sequence[int]) -> tuple[Unit, ...]:
    return tuple(Unit((f"layer{index}",), int(price)) for index, price in enumerate(prices))


def additive(damages: Sequence[float]) -> Loss:
    """Return the loss that is the sum of the int8 layers' damages."""
    table = {f"layer{index}": float(damage) for index, damage in enumerate(damages)}
    return lambda int8: sum(table[name] for name in int8)


def growing(rng: np.random.Generator, count: int) -> Loss:
    """Return a loss that does not add up but never falls as layers become int8: errors meet, then saturate."""
    single, pairs = rng.random(count) ** 3, rng.random((count, count)) ** 4

    def loss(int8: tuple[str, ...]) -> float:
        chosen = [int(name[5:]) for name in int8]
        meeting = sum(pairs[i, j] for i, j in itertools.combinations(chosen, 2))
        return float(np.tanh(single[chosen].sum() + meeting))

    return loss


def random_small(seed: int, kind: str, *, equal_prices: bool = False) -> Small:
    """Return a search over 1 to 6 layers whose first plan is refused."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    prices = [5] * count if equal_prices else rng.integers(1, 20, count)
    loss = additive(rng.random(count) ** 3) if kind == "additive" else growing(rng, count)
    everything = loss(tuple(f"layer{index}" for index in range(count)))
    return Small(units(prices), loss, everything * float(rng.uniform(0.05, 1.0)))

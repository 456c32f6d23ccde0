"""Searches small enough to try every plan."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runner.evaluation.judge import PartialScores, Verdict
from runner.search.budget import Budget, Meter
from runner.search.end_to_end import LossContributions, leave_one_out
from runner.search.plan import LayerGroup, Plan, Ranking, SearchResult, Strategy, Trial
from runner.search.search import search
from runner.search.trial_log import TrialLog

Loss = Callable[[tuple[str, ...]], float]


def log_of(
    start: Trial,
    evaluate: Callable[[Plan], Trial],
    *,
    glance: Callable[[Plan], Trial] | None = None,
    told: Callable[[int, Trial], None] = lambda step, trial: None,
) -> TrialLog:
    """Return a log that has the first trial, and gets the others from a function; from ``glance`` where a verdict is enough."""
    made = {start.plan: start}

    def measure(plan: Plan, progress: object, *, early: bool, known: PartialScores | None) -> Verdict:
        if plan != start.plan:
            made[plan] = evaluate(plan) if glance is None or not early else glance(plan)
        trial = made[plan]
        partial = (
            None if trial.full else PartialScores({position: {} for position in range(trial.settled_after or 0)}, True)
        )
        return Verdict(trial.value, trial.loss, trial.accepted, None, partial)

    log = TrialLog(measure, lambda plan: made[plan].float_macs, told)
    log.trial(start.plan)
    return log


def searched(
    start: Trial, ranking: Ranking, strategy: Strategy, evaluate: Callable[[Plan], Trial], **options: Any
) -> SearchResult:
    """Return what a search finds whose trials come from functions; ``options`` are those of ``log_of``."""
    log, meter = log_of(start, evaluate, **options), Meter(Budget())
    search(start, ranking, strategy, log, meter)
    return log.result(meter.stopped)


@dataclass(frozen=True)
class Small:
    """Units with prices, the loss of a set of int8 layers, and a target."""

    groups: tuple[LayerGroup, ...]
    loss: Loss
    target: float

    @property
    def start(self) -> Plan:
        return Plan.all_int8(name for group in self.groups for name in group.layers)

    def trial(self, plan: Plan) -> Trial:
        macs = sum(group.macs for group in self.groups if set(group.layers) <= set(plan.fallback))
        loss = self.loss(plan.int8_layers)
        return Trial(plan, 100 - loss, loss, loss < self.target, macs)

    def run(self, strategy: Strategy, ranking: Ranking | None = None) -> SearchResult:
        """Search, with contributions measured by leaving one group out unless another ranking is given."""
        return searched(self.trial(self.start), ranking or self.contributions().ranking, strategy, self.trial)

    def misleading(self, seed: int) -> Ranking:
        """Return a ranking that knows the prices but nothing of the contributions."""
        values = np.random.default_rng(seed).random(len(self.groups))
        entries = [(group.layers[0], float(value)) for group, value in zip(self.groups, values, strict=True)]
        return Ranking(tuple(sorted(entries, key=lambda entry: -entry[1])), self.groups)

    def contributions(self) -> LossContributions:
        return leave_one_out(
            self.groups,
            lambda group: self.loss(self.start.with_fallback(group.layers).int8_layers),
            total=self.loss(self.start.int8_layers),
            measure="kl",
            items=[0],
        )

    def plans(self) -> Iterator[Plan]:
        """Yield every plan that leaves at least one group int8."""
        for count in range(len(self.groups)):
            for chosen in itertools.combinations(self.groups, count):
                yield self.start.with_fallback(name for group in chosen for name in group.layers)

    def optimum(self) -> int | None:
        """Return the fewest multiply-accumulates left float by any accepted plan."""
        return min((t.float_macs for t in map(self.trial, self.plans()) if t.accepted), default=None)

    def can_give_back(self, plan: Plan) -> list[LayerGroup]:
        """Return the groups that could be int8 beside what is int8 already."""
        left = [group for group in self.groups if set(group.layers) <= set(plan.fallback)]
        return [group for group in left if self.trial(plan.restored(group.layers, self.start)).accepted]


def groups(prices: Sequence[int]) -> tuple[LayerGroup, ...]:
    return tuple(LayerGroup((f"layer{index}",), int(price)) for index, price in enumerate(prices))


def additive(contributions: Sequence[float]) -> Loss:
    """Return the loss that is the sum of the int8 layers' contributions."""
    table = {f"layer{index}": float(contribution) for index, contribution in enumerate(contributions)}
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
    return Small(groups(prices), loss, everything * float(rng.uniform(0.05, 1.0)))

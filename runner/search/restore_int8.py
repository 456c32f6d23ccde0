"""What a strategy left float is made int8 again, as long as the plan stays accepted (``strategy.give_back``)."""

from __future__ import annotations

from dataclasses import dataclass

from runner.errors import ConfigError
from runner.search.plan import InFull, LayerGroup, Plan, Proposals, Ranking, Trial, best_of


def check_restored(most: int | None) -> None:
    """Raise a ConfigError where a strategy's bound is negative."""
    if most is not None and most < 0:
        raise ConfigError(f"strategy.give_back: expected 0 or more units, or null for all, got {most}.")


@dataclass(frozen=True, slots=True)
class RestoresInt8:
    """A strategy along the ranking that may restore to int8 what it left float.

    Attributes:
        give_back: how many layer groups of the prefix that it finds are tried in int8 again; 0 for none, as AMCT; None for all.
    """

    give_back: int | None = 0

    def __post_init__(self) -> None:
        check_restored(self.give_back)

    @property
    def in_full(self) -> InFull:
        """Where groups are restored every accepted trial: each step starts from one."""
        return "accepted" if self.give_back != 0 else "chosen"


def with_int8_restored(proposals: Proposals, ranking: Ranking, start: Plan, most: int | None) -> Proposals:
    """Yield a strategy's plans, then its best accepted one with one more layer group int8 at a time.

    The group that saves most multiply-accumulates comes first; the layers of groups, one at a time, come last. A step that is
    accepted is kept, so a strategy that restores wants its accepted trials ``in_full``. Each is tried once, so that no single
    one is left to restore where the loss never falls as layers become int8.

    Args:
        proposals: the strategy's own.
        ranking: with the groups; without them every layer is one, at an equal price.
        start: what a layer that is restored becomes again; the first trial's plan, known to be refused.
        most: steps at most; None for all.
    """
    trials: list[Trial] = []
    try:
        plan = next(proposals)
        while True:
            trials.append((yield plan))
            plan = proposals.send(trials[-1])
    except StopIteration:
        pass
    best = best_of(trials)
    if best is None:
        return
    plan, left = best.plan, set(best.plan.fallback)
    groups = [group for group in priced_groups(ranking) if left.intersection(group.layers)]
    groups.sort(key=lambda group: group.macs, reverse=True)
    # What a group's rounding costs may be the matter of one of its layers.
    alone = [LayerGroup((name,), 0) for group in groups if len(group.layers) > 1 for name in group.layers]
    for group in [*groups, *alone][:most]:
        cheaper = plan.restored(group.layers, start)
        # The plan without fallback was refused, or there would be nothing to search.
        if cheaper not in (start, plan) and (yield cheaper).accepted:
            plan = cheaper


def most_restored(most: int | None, layers: int) -> int:
    """Return the largest number of steps for so many layers: one of them is int8 already, and groups are taken apart."""
    able = 2 * max(0, layers - 1)
    return able if most is None else min(most, able)


def priced_groups(ranking: Ranking) -> tuple[LayerGroup, ...]:
    """Return the ranking's groups, or every layer as one at a price of 1 where it has none."""
    return ranking.groups or tuple(LayerGroup((name,), 1) for name in ranking.layers)

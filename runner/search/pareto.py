"""The whole curve, from every layer int8 to almost none, for a user to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from runner.errors import ConfigError
from runner.graph.macs import LayerCost
from runner.search.greedy import by_worth, fallen_back
from runner.search.plan import InFull, LayerGroup, Plan, Proposals, Ranking, SearchResult, Trial
from runner.search.restore_int8 import check_restored, most_restored, with_int8_restored

_FEWEST_POINTS = 2


@dataclass(frozen=True, slots=True)
class Pareto:
    """Try plans from one end of the greedy order to the other, then narrow down where the target is met, then restore int8.

    The ranking's values must be loss contributions (``sensitivity=end_to_end``). Works also where the first plan meets the
    target.

    Attributes:
        points: plans on the curve, evenly spaced in layer groups; None for one a group.
        give_back: how many groups are tried in int8 again; None for all.
    """

    points: int | None = 10
    give_back: int | None = None
    always: ClassVar[bool] = True
    in_full: ClassVar[InFull] = "all"
    needs_loss_contributions: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_restored(self.give_back)
        if self.points is not None and self.points < _FEWEST_POINTS:
            raise ConfigError(
                f"strategy.points: expected {_FEWEST_POINTS} or more, or null for one a layer, got {self.points}."
            )

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield the points, then plans between the last refused and the first accepted one, then plans that restore int8."""
        curve = self._curve(by_worth(ranking), all_int8)
        return curve if all_int8.accepted else with_int8_restored(curve, ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        """Return the points, the halvings between two of them, and the most that is restored."""
        return len(self._sizes(layers)) + max(0, layers - 1).bit_length() + most_restored(self.give_back, layers)

    def _sizes(self, groups: int) -> list[int]:
        """Return after how many groups falling back the points lie; of every group is the float model."""
        most = groups - 1
        points = most if self.points is None else min(self.points, most)
        return [round((point + 1) * most / points) for point in range(points)]

    def _curve(self, groups: Sequence[LayerGroup], all_int8: Trial) -> Proposals:
        refused, accepted = 0, None
        for size in self._sizes(len(groups)):
            if (yield fallen_back(groups, size, all_int8.plan)).accepted:
                accepted = accepted or size
            elif accepted is None:
                refused = size
        while not all_int8.accepted and accepted is not None and accepted - refused > 1:
            middle = (refused + accepted) // 2
            if (yield fallen_back(groups, middle, all_int8.plan)).accepted:
                accepted = middle
            else:
                refused = middle


@dataclass(frozen=True, slots=True)
class Point:
    """A plan tried.

    Attributes:
        step: which trial it was; 0 is the plan with every layer int8.
        int8_share: of all layers' multiply-accumulates, 0..1.
        best_of_its_price: no other plan loses less at as large an int8 share, or as little at a larger one.
        chosen: the search's result.
    """

    step: int
    int8_share: float
    loss: float
    accepted: bool
    best_of_its_price: bool
    chosen: bool
    plan: Plan


def curve_of(search: SearchResult, costs: Mapping[str, LayerCost]) -> tuple[Point, ...]:
    """Return every plan that was scored over every item, the most int8 first.

    Args:
        search: as it ended.
        costs: of all layers, those that no plan speaks of included.
    """
    total = sum(cost.macs for cost in costs.values())
    prices = [(trial.float_macs, trial.loss) for trial in search.trials if trial.full]

    def beaten(macs: int, loss: float) -> bool:
        return any(m <= macs and o <= loss and (m, o) != (macs, loss) for m, o in prices)

    points = [
        Point(
            step,
            sum(costs[name].macs for name in trial.plan.int8_layers) / total if total else 0.0,
            trial.loss,
            trial.accepted,
            not beaten(trial.float_macs, trial.loss),
            trial is search.best,
            trial.plan,
        )
        for step, trial in enumerate(search.trials)
        if trial.full
    ]
    return tuple(sorted(points, key=lambda point: (-point.int8_share, point.step)))

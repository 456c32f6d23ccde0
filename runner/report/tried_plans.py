"""The plans of a search as pictures show them."""

from __future__ import annotations

from runner.modes.result import AccAutoResult
from runner.report.charts.loss_against_share import loss_against_share
from runner.report.charts.tried import Tried
from runner.search.pareto import curve_of


def tried_plans(result: AccAutoResult) -> list[Tried]:
    """Return every plan, in the order tried."""
    search = result.search
    return [
        Tried(
            step,
            result.layers.int8_share(tuple(set(result.layers.costs) - set(trial.plan.int8_layers))),
            trial.loss,
            trial.accepted,
            trial.settled_after,
            trial is search.best,
            trial.plan.fallback,
            len(trial.plan.treatments),
        )
        for step, trial in enumerate(search.trials)
    ]


def curve_picture(result: AccAutoResult, *, title: str = "") -> str:
    """Return the picture of loss against the share of int8; the line joins plans that no other beats."""
    front = {point.step for point in curve_of(result.search, result.layers.costs) if point.best_of_its_price}
    unit = result.comparison.headline.unit
    return loss_against_share(tried_plans(result), front, unit=unit, target=result.target_loss, title=title)

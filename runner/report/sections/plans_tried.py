"""The plans that were tried, with their verdicts, and a picture of those scored in full."""

from __future__ import annotations

from collections.abc import Iterator

from runner.figure import Block, Column, Paragraph, Picture, Row, Section, Table
from runner.modes.result import AccAutoResult
from runner.report.curve_chart import curve_chart
from runner.search.pareto import curve_of
from runner.search.plan import Trial

_MOST = 60
_COLUMNS = (
    Column("step", "number"),
    Column("int8 layers", "number"),
    Column("of them repaired", "number"),
    Column("MACs in int8", "number"),
    Column("loss", "number"),
    Column("verdict"),
)


def plans_tried(result: AccAutoResult) -> Section:
    """Return the section; empty where there was nothing to choose from."""
    trials = result.search.trials
    if result.from_record or len(trials) < 2:
        return Section(name="plans_tried")
    return Section(name="plans_tried", heading="Plans tried", blocks=tuple(_blocks(result)))


def _blocks(result: AccAutoResult) -> Iterator[Block]:
    curve = curve_of(result.search, result.layers.costs)
    if len({point.plan for point in curve}) > 1:
        unit = result.comparison.headline.unit
        yield Picture(curve_chart(curve, title="Plans scored over every item", unit=unit, target=result.target_loss))
    trials = result.search.trials
    yield Table(_COLUMNS, [_row(result, step, trial) for step, trial in enumerate(trials[:_MOST])])
    if len(trials) > _MOST:
        yield Paragraph((f"The first {_MOST} of {len(trials)}; the history file has all.",), soft=True)


def _row(result: AccAutoResult, step: int, trial: Trial) -> Row:
    costs = result.layers.costs
    total = sum(cost.macs for cost in costs.values())
    share = f"{sum(costs[name].macs for name in trial.plan.int8_layers) / total:.1%}" if total else ""
    chosen = trial is result.search.best
    cells = (
        str(step),
        str(len(trial.plan.int8_layers)),
        str(len(trial.plan.repaired)),
        share,
        f"{trial.loss:.4g}",
        _verdict(trial) + (", chosen" if chosen else ""),
    )
    return Row(cells, "chosen" if chosen else "")


def _verdict(trial: Trial) -> str:
    said = "accepted" if trial.accepted else "refused"
    return said if trial.settled_after is None else f"{said}, settled after {trial.settled_after} items"

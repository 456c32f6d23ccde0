"""The plans that were tried, with their verdicts, and a picture of those scored in full."""

from __future__ import annotations

from collections.abc import Iterator

from runner.figure import Block, Column, Paragraph, Picture, Row, Section, Table
from runner.modes.result import AccAutoResult
from runner.report.charts.search_path import search_path
from runner.report.tried_plans import curve_picture, tried_plans
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
_OF_THE_PATH = (
    "A circle is a plan that was accepted, a cross one that was refused; a hollow or thin one was settled before every item "
    "was scored, so its loss is an estimate. The ring is the plan that was chosen."
)
_OF_THE_CURVE = (
    "The same plans by how much of the work they leave int8: further right is cheaper, further down is better. The line joins "
    "the plans that no other beats in both."
)


def plans_tried(result: AccAutoResult) -> Section:
    """Return the section; empty where there was nothing to choose from."""
    trials = result.search.trials
    if result.from_record or len(trials) < 2:
        return Section(name="plans_tried")
    return Section(name="plans_tried", heading="Plans tried", blocks=tuple(_blocks(result)))


def _blocks(result: AccAutoResult) -> Iterator[Block]:
    trials, unit = result.search.trials, result.comparison.headline.unit
    yield Paragraph((_told(result, unit),))
    yield Picture(
        search_path(tried_plans(result), unit=unit, target=result.target_loss), shows="plans in the order tried"
    )
    if len({trial.plan.fallback for trial in trials}) > 1:
        yield Paragraph((_OF_THE_CURVE,))
        yield Picture(curve_picture(result), shows="loss against the share of int8")
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


def _told(result: AccAutoResult, unit: str) -> str:
    """Return what happened, and how the picture of it is read."""
    search = result.search
    first, end = search.trials[0], search.best or search.closest
    said = f"With every layer int8 the loss is {first.loss:.4g} {unit}"
    if end is not first:
        does = "meets the target" if search.best is not None else "comes closest, and misses the target"
        left = f"{len(end.plan.fallback)} of {len(end.plan.treatments)} layers float"
        said += f"; of {len(search.trials)} plans the one with {left} {does} at {end.loss:.4g}"
    return f"{said}. {_OF_THE_PATH}"

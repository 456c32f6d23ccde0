"""The plans that were tried, with their verdicts, and a picture of those scored in full."""

from __future__ import annotations

from collections.abc import Iterator

from runner.figure import Block, Column, Paragraph, Picture, Row, Section, Table
from runner.modes.result import AccAutoResult
from runner.report.charts.search_path import search_path
from runner.report.tried_plans import curve_picture, tried_plans
from runner.search.plan import Trial
from runner.wording import say

_MOST = 60
_COLUMNS = (
    Column(say("step"), "number"),
    Column(say("int8 layers"), "number"),
    Column(say("of them repaired"), "number"),
    Column(say("MACs in int8"), "number"),
    Column(say("loss"), "number"),
    Column(say("verdict")),
)
_OF_THE_PATH = say(
    "A circle is a plan that was accepted, a cross one that was refused; a hollow or thin one was settled before every item "
    "was scored, so its loss is an estimate. The ring is the plan that was chosen."
)
_OF_THE_CURVE = say(
    "The same plans by how much of the work they leave int8: further right is cheaper, further down is better. The line joins "
    "the plans that no other beats in both."
)


def plans_tried(result: AccAutoResult) -> Section:
    """Return the section; empty where there was nothing to choose from."""
    trials = result.search.trials
    if result.from_record or len(trials) < 2:
        return Section(name="plans_tried")
    return Section(name="plans_tried", heading=say("Plans tried"), place="pictures", blocks=tuple(_blocks(result)))


def _blocks(result: AccAutoResult) -> Iterator[Block]:
    trials, unit = result.search.trials, result.comparison.headline.unit
    yield Paragraph((_told(result, unit),))
    yield Picture(
        lambda: search_path(tried_plans(result), unit=unit, target=result.target_loss),
        shows=say("plans in the order tried"),
    )
    if len({trial.plan.fallback for trial in trials}) > 1:
        yield Paragraph((_OF_THE_CURVE,))
        yield Picture(lambda: curve_picture(result), shows=say("loss against the share of int8"))
    yield Table(_COLUMNS, [_row(result, step, trial) for step, trial in enumerate(trials[:_MOST])])
    if len(trials) > _MOST:
        yield Paragraph(
            (say("The first {count} of {total}; the history file has all.", count=_MOST, total=len(trials)),), soft=True
        )


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
        say("{verdict}, chosen", verdict=_verdict(trial)) if chosen else _verdict(trial),
    )
    return Row(cells, "chosen" if chosen else "")


def _verdict(trial: Trial) -> str:
    said = say("accepted") if trial.accepted else say("refused")
    if trial.settled_after is None:
        return said
    return say("{verdict}, settled after {count} items", verdict=said, count=trial.settled_after)


def _told(result: AccAutoResult, unit: str) -> str:
    """Return what happened, and how the picture of it is read."""
    search = result.search
    first, end = search.trials[0], search.best or search.closest
    said = say("With every layer int8 the loss is {loss:.4g} {unit}", loss=first.loss, unit=unit)
    if end is not first:
        does = say("comes closest, and misses the target") if search.best is None else say("meets the target")
        said = say(
            "{first}; of {plans} plans the one with {count} of {total} layers float {does} at {loss:.4g}",
            first=said,
            plans=len(search.trials),
            count=len(end.plan.fallback),
            total=len(end.plan.treatments),
            does=does,
            loss=end.loss,
        )
    return say("{said}. {reading}", said=said, reading=_OF_THE_PATH)

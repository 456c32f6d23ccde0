"""The plans of a search in the order in which they were tried: what each loses, and how much of it is float."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from runner.report.charts.axis import Axis, linear
from runner.report.charts.drawing import line, mark, picture, rectangle, written
from runner.report.charts.plane import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Area, Plane
from runner.report.charts.tried import Tried, chosen_name, draw, losses, target_line
from runner.wording import say

_LOSSES, _BETWEEN, _LAYERS = 240, 46, 70
_WIDEST, _LEAST_PLACES, _MARKS, _FEW = 22, 6, 14, 4


def search_path(plans: Sequence[Tried], *, unit: str, target: float | None) -> str:
    """Return the picture: losses above, joined in their order; below, the layers that each plan leaves float.

    Args:
        plans: in the order tried, at least one.
        unit: of the loss.
        target: what the loss must stay below, drawn as a line; None for none.
    """
    across = _order(plans)
    bottom = TOP + _LOSSES
    upper = Plane(Area(LEFT, WIDTH - RIGHT, TOP, bottom), across, losses(plans, target))
    most = max(len(plan.fallback) for plan in plans)
    below = Area(LEFT, WIDTH - RIGHT, bottom + _BETWEEN, bottom + _BETWEEN + _LAYERS)
    lower = Plane(below, across, _whole(most))
    svg = picture(
        WIDTH, below.bottom + BOTTOM, say("loss ({unit}) of the plans in the order tried", unit=unit), "chart"
    )
    upper.rows(svg, say("loss, {unit}", unit=unit))
    lower.rows(svg, say("layers left float, of {layers}", layers=plans[0].layers))
    lower.columns(svg, say("plans, in the order tried"), lines=False)
    target_line(svg, upper, target, named="left")
    line(svg, [upper.at(number, plan.loss) for number, plan in enumerate(plans)], "path")
    for number, plan in enumerate(plans):
        _layers(svg, lower, number, plan, len(plans))
    for number, plan in sorted(enumerate(plans), key=lambda numbered: numbered[1].chosen):
        draw(svg, upper.at(number, plan.loss), plan, unit)
    chosen_name(svg, plans, upper)
    return written(svg)


def _layers(svg: ET.Element, plane: Plane, number: int, plan: Tried, count: int) -> None:
    step = (plane.area.right - plane.area.left) / max(count, _LEAST_PLACES)
    x, half = plane.x(number), min(_WIDEST, 0.7 * step) / 2
    group = mark(
        svg,
        say(
            "trial {step}: {count} of {layers} layers float",
            step=plan.step,
            count=len(plan.fallback),
            layers=plan.layers,
        ),
    )
    rectangle(group, (x - step / 2, plane.area.top), (x + step / 2, plane.area.bottom), "hit")
    rectangle(group, (x - half, plane.y(0)), (x + half, plane.y(len(plan.fallback))), "bar layers")


def _order(plans: Sequence[Tried]) -> Axis:
    """Return the axis of the steps, each in the middle of its share of the length."""
    places = max(len(plans), _LEAST_PLACES)
    every = max(1, -(-len(plans) // _MARKS))
    marks = [float(number) for number in range(0, len(plans), every)]
    return Axis(marks, lambda number: (number + 0.5) / places)


def _whole(most: int) -> Axis:
    """Return an axis from 0 to a count, with few marks."""
    axis = linear(0, max(most, 1))
    whole = [value for value in axis.marks if value == int(value)]
    return Axis(whole if len(whole) <= _FEW else [whole[0], whole[-1]], axis.place)

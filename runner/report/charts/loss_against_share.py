"""A picture of the plans tried: loss against the share of int8 multiply-accumulates."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from runner.report.charts.axis import linear
from runner.report.charts.drawing import line, picture, text, written
from runner.report.charts.plane import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Area, Plane
from runner.report.charts.tried import Tried, chosen_name, draw, losses, target_line
from runner.wording import say

_HEIGHT, _TITLE = 400, 26


def loss_against_share(
    plans: Sequence[Tried], front: Collection[int], *, unit: str, target: float | None, title: str = ""
) -> str:
    """Return an SVG: circles for plans that were accepted, crosses for the others, a ring around the chosen one.

    Args:
        plans: at least one.
        front: steps of those that no other beats, joined by a line.
        unit: of the loss.
        target: what the loss must stay below, drawn as a line; None for none.
        title: above the picture, in a file of its own.
    """
    low = min(100 * plan.int8_share for plan in plans)
    above = _TITLE if title else 0
    area = Area(LEFT, WIDTH - RIGHT - 12, TOP + above, _HEIGHT + above - BOTTOM)
    plane = Plane(area, linear(min(low, 99.0), 100.0), losses(plans, target))
    svg = picture(
        WIDTH, _HEIGHT + above, say("loss ({unit}) against the share of int8 multiply-accumulates", unit=unit), "chart"
    )
    if title:
        text(svg, (4, 22), title, "title")
    plane.rows(svg, say("loss, {unit}", unit=unit))
    plane.columns(svg, say("multiply-accumulates in int8"), "{:g} %".format)
    target_line(svg, plane, target, named="right")
    joined = sorted((plan for plan in plans if plan.step in front), key=lambda plan: -plan.int8_share)
    line(svg, [plane.at(100 * plan.int8_share, plan.loss) for plan in joined], "front")
    for plan in sorted(plans, key=lambda plan: plan.chosen):
        draw(svg, plane.at(100 * plan.int8_share, plan.loss), plan, unit)
    chosen_name(svg, plans, plane)
    return written(svg)

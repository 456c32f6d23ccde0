"""A plan that was tried, as pictures show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from runner.report.charts.axis import Axis, bent, linear
from runner.report.charts.drawing import cross, dot, line, mark, text
from runner.report.charts.plane import Plane
from runner.wording import listed, say

# Losses so many times the target would press everything near it flat.
_FAR = 12


@dataclass(frozen=True, slots=True)
class Tried:
    """A plan that was tried.

    Attributes:
        step: which trial it was; 0 is the first.
        int8_share: of all layers' multiply-accumulates, 0..1.
        loss: in the metric's unit; an estimate where the verdict was settled early.
        accepted: the verdict.
        settled_after: items that settled it, where not all were scored.
        chosen: whether it is the search's result.
        fallback: the layers that it leaves float.
        layers: how many it speaks of.
    """

    step: int
    int8_share: float
    loss: float
    accepted: bool
    settled_after: int | None
    chosen: bool
    fallback: Sequence[str]
    layers: int


def losses(plans: Sequence[Tried], target: float | None) -> Axis:
    """Return the axis of losses: linear, or bent where some are many times the target or the least of them."""
    values = [plan.loss for plan in plans if math.isfinite(plan.loss)] + ([] if target is None else [target])
    sizes = sorted(abs(value) for value in values if value)
    knee = target or (sizes[0] if sizes else 1.0)
    if sizes and sizes[-1] > _FAR * knee:
        return bent(min(0.0, *values), max(0.0, *values), knee)
    low, high = min(values, default=0.0), max(values, default=0.0)
    # Where all are far from 0, what lies between them matters.
    return linear(low if low > high / 2 else min(0.0, low), max(0.0, high))


def target_line(svg: ET.Element, plane: Plane, target: float | None, *, named: Literal["left", "right"]) -> None:
    """Draw what losses have to stay below, with its name on the side where few marks lie."""
    if target is None:
        return
    y = plane.y(target)
    line(svg, [(plane.area.left, y), (plane.area.right, y)], "target")
    x, anchor = (plane.area.left + 4, "start") if named == "left" else (plane.area.right, "end")
    text(svg, (x, y - 6), say("target {target:g}", target=target), "target-name halo", anchor=anchor)


def draw(svg: ET.Element, at: tuple[float, float], plan: Tried, unit: str) -> ET.Element:
    """Draw a plan: a circle where it was accepted, a cross where not, hollow or thin where it was settled early."""
    group = mark(svg, _told(plan, unit))
    # For the pointer.
    dot(group, at, 10, "hit")
    if plan.chosen:
        dot(group, at, 9, "ring")
    early = "" if plan.settled_after is None else " open"
    if plan.accepted:
        dot(group, at, 5, f"dot{early}")
    else:
        cross(group, at, 4.5, f"refused{early}")
    return group


def chosen_name(svg: ET.Element, plans: Sequence[Tried], plane: Plane) -> None:
    """Write what the chosen plan is, above the picture: around its mark others may lie close."""
    for plan in plans:
        if plan.chosen:
            told = say("chosen: {int8_share:.1%} int8, loss {loss:.4g}", int8_share=plan.int8_share, loss=plan.loss)
            text(svg, (plane.area.right, plane.area.top - 20), told, "chosen-name", anchor="end")


def _told(plan: Tried, unit: str) -> str:
    verdict = say("accepted") if plan.accepted else say("refused")
    if plan.settled_after is not None:
        verdict = say("{verdict}, settled after {count} items", verdict=verdict, count=plan.settled_after)
    names = listed(plan.fallback[:12]) if plan.fallback else say("none")
    if len(plan.fallback) > 12:
        names = say("{names} and {count} more", names=names, count=len(plan.fallback) - 12)
    return say(
        "trial {step}: {verdict}, loss {loss:.4g} {unit}\n{share:.1%} int8; {count} of {layers} layers float: {names}",
        step=plan.step,
        verdict=verdict,
        loss=plan.loss,
        unit=unit,
        share=plan.int8_share,
        count=len(plan.fallback),
        layers=plan.layers,
        names=names,
    )

"""Loss against the share of int8 multiply-accumulates: a point a job, those at one place together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from runner.report.charts.axis import scale, ticks
from runner.report.charts.drawing import line, picture, text
from runner.report.sweep.drawing import kind_of, linked, tip
from runner.report.sweep.swept import Sweep, SweptJob

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 40, 24, 60
_LOOKS = ("failed", "missed", "met", "best")
_NAMED = 6


def scatter(sweep: Sweep) -> str:
    """Return the picture; empty where no job has a loss and a share."""
    jobs = [job for job in sweep.jobs if job.loss is not None and job.int8_share is not None]
    if not jobs:
        return ""
    targets = {job.summary.get("target_loss") for job in jobs}
    target = next(iter(targets)) if len(targets) == 1 else None
    losses = [*(job.loss or 0.0 for job in jobs), *([] if target is None else [float(target)])]
    least = min(100 * (job.int8_share or 0.0) for job in jobs)
    xs, ys = ticks(min(least, 99.0), 100.0), ticks(min(0.0, *losses), max(0.0, *losses))
    x, y = scale(xs, _LEFT, _WIDTH - _RIGHT), scale(ys, _HEIGHT - _BOTTOM, _TOP)
    svg = picture(_WIDTH, _HEIGHT, "loss against the share of int8 multiply-accumulates, a point a job")
    for tick in xs:
        line(svg, [(x(tick), _TOP), (x(tick), _HEIGHT - _BOTTOM)], "grid")
        text(svg, (x(tick), _HEIGHT - _BOTTOM + 20), f"{tick:g} %", "soft", anchor="middle")
    for tick in ys:
        line(svg, [(_LEFT, y(tick)), (_WIDTH - _RIGHT, y(tick))], "grid")
        text(svg, (_LEFT - 8, y(tick) + 4), f"{tick:g}", "soft", anchor="end")
    text(svg, ((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14), "MACs in int8", anchor="middle")
    turned = text(svg, (0, 0), "loss", anchor="middle")
    turned.set("transform", f"translate(20 {(_TOP + _HEIGHT - _BOTTOM) / 2:g}) rotate(-90)")
    if target is not None:
        line(svg, [(_LEFT, y(float(target))), (_WIDTH - _RIGHT, y(float(target)))], "target")
        text(svg, (_LEFT + 6, y(float(target)) - 6), f"target {target:g}", "target-name")
    places = defaultdict[tuple[float, float], list[SweptJob]](list)
    for job in jobs:
        places[round(x(100 * (job.int8_share or 0.0)), 1), round(y(job.loss or 0.0), 1)].append(job)
    for place, there in places.items():
        _mark(svg, place, there, sweep)
    return ET.tostring(svg, encoding="unicode")


def _mark(svg: ET.Element, place: tuple[float, float], jobs: Sequence[SweptJob], sweep: Sweep) -> None:
    shown = max(jobs, key=lambda job: _LOOKS.index(kind_of(job, sweep)))
    group = ET.SubElement(linked(svg, shown), "g", {"class": f"job {kind_of(shown, sweep)}"})
    circle = {"cx": f"{place[0]:.1f}", "cy": f"{place[1]:.1f}"}
    if shown is sweep.best:
        ET.SubElement(group, "circle", {**circle, "r": "9", "class": "ring"})
    tip(ET.SubElement(group, "circle", {**circle, "r": "5"}), shown)
    named = ", ".join(str(job.number) for job in jobs[:_NAMED]) + (
        f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    )
    right = place[0] > (_LEFT + _WIDTH - _RIGHT) / 2
    at = (place[0] + (-12 if right else 12), place[1] - 8)
    text(group, at, named, "halo", anchor="end" if right else "start")

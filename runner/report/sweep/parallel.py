"""Parallel coordinates: an axis for each option that varies and for each figure, a line a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from runner.report.charts.drawing import line, picture, text
from runner.report.sweep.drawing import kind_of, linked, tip
from runner.report.sweep.swept import Sweep, SweptJob

_HEIGHT, _TOP, _BOTTOM, _SIDE, _STEP = 360, 52, 24, 100, 170
_MOST_PLACES, _LONGEST = 24, 22


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        title: above it.
        place: of a job on it, 0 (bottom) to 1; None where the job has nothing there.
        marks: places and what is written beside them.
    """

    title: str
    place: Callable[[SweptJob], float | None]
    marks: Sequence[tuple[float, str]]


def parallel(sweep: Sweep) -> str:
    """Return the picture; empty where nothing varies or no job has figures."""
    if not sweep.keys or all(job.loss is None for job in sweep.jobs):
        return ""
    axes = [_option(key, sweep.jobs) for key in sweep.keys]
    axes += [
        _figure("loss", lambda job: job.loss, sweep.jobs, "{:.4g}"),
        _figure("MACs in int8", lambda job: job.int8_share, sweep.jobs, "{:.1%}"),
        _figure("seconds", lambda job: job.seconds, sweep.jobs, "{:.1f}"),
    ]
    width = 2 * _SIDE + _STEP * (len(axes) - 1)
    svg = picture(width, _HEIGHT, "options and figures of each job, a line a job")
    for number, axis in enumerate(axes):
        x = _x(number)
        line(svg, [(x, _TOP), (x, _HEIGHT - _BOTTOM)], "axis")
        text(svg, (x, 24), axis.title, anchor="middle", longest=_LONGEST)
    # The best one is drawn last, above the others.
    for job in sorted(sweep.jobs, key=lambda job: job is sweep.best):
        _line(svg, job, axes, sweep)
    for number, axis in enumerate(axes):
        for place, words in axis.marks:
            text(svg, (_x(number) - 7, _y(place) + 4), words, "soft halo", anchor="end", longest=_LONGEST)
    return ET.tostring(svg, encoding="unicode")


def _line(svg: ET.Element, job: SweptJob, axes: Sequence[Axis], sweep: Sweep) -> None:
    places = [(number, axis.place(job)) for number, axis in enumerate(axes)]
    points = [(_x(number), _y(place)) for number, place in places if place is not None]
    group = ET.SubElement(linked(svg, job), "g", {"class": f"job {kind_of(job, sweep)}"})
    tip(line(group, points, "path"), job)
    for x, y in points:
        ET.SubElement(group, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "3"})


def _option(key: str, jobs: Sequence[SweptJob]) -> Axis:
    values = list(dict.fromkeys(job.varied[key] for job in jobs if key in job.varied))
    numbers = [_number(value) for value in values]
    if None not in numbers:
        values.sort(key=float)
    # Evenly spaced, numbers too: 0.1, 0.2, 0.5 ... 50 would lie on each other.
    places = {value: _share(index, 0, len(values) - 1) for index, value in enumerate(values)}
    every = max(1, -(-len(values) // _MOST_PLACES))
    marks = [(places[value], value) for value in values[::every]]
    return Axis(key, lambda job: places.get(job.varied.get(key, "\0")), marks)


def _figure(title: str, of: Callable[[SweptJob], float | None], jobs: Sequence[SweptJob], form: str) -> Axis:
    found = [value for value in map(of, jobs) if value is not None]
    low, high = min(found, default=0.0), max(found, default=0.0)

    def place(job: SweptJob) -> float | None:
        value = of(job)
        return None if value is None else _share(value, low, high)

    return Axis(
        title, place, [(_share(value, low, high), form.format(value)) for value in sorted({low, high} if found else ())]
    )


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _x(axis: int) -> float:
    return _SIDE + _STEP * axis


def _y(place: float) -> float:
    return _HEIGHT - _BOTTOM - 14 - place * (_HEIGHT - _TOP - _BOTTOM - 28)

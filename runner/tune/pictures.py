"""Pictures of a study: the best so far, the front of two objectives, how much each parameter decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree as ET

from runner.printable import printable
from runner.report.charts.axis import scale, ticks
from runner.report.objective import Objective
from runner.tune.trial import Trial, front

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 24, 40, 56
_INK, _SOFT, _FAINT, _MARK, _BEST, _MISSED = "#1d2433", "#5c6678", "#dfe3ea", "#7aa0cf", "#1b7a45", "#b3261e"
_BAR = 26


def history(trials: Sequence[Trial], objective: Objective) -> str:
    """Return an SVG of each trial's value by its number, and the smallest so far as a line.

    Values of missed targets that hold a penalty lie on the upper edge: drawn to scale they would hide the others.
    """
    done = [trial for trial in trials if trial.state == "done"]
    inside = [trial for trial in done if _to_scale(trial, objective)]
    values = [trial.values[0] for trial in inside] or [0.0]
    xs, ys = _whole_ticks(0, max(trial.number for trial in done)), ticks(min(values), max(values))
    svg, x, y = _plane(xs, ys, "trial", objective.name, f"{objective.name} of each trial, and the smallest so far")
    best: float | None = None
    path: list[tuple[float, float]] = []
    for trial in inside:
        value = trial.values[0]
        if best is None or value < best:
            if best is not None:
                path.append((x(trial.number), y(best)))
            best = value
            path.append((x(trial.number), y(value)))
    if best is not None:
        path.append((x(xs[-1]), y(best)))
        _polyline(svg, path, _BEST)
    for trial in done:
        shown = y(trial.values[0]) if trial in inside else y(ys[-1])
        _mark(svg, x(trial.number), shown, trial, best=trial in inside and trial.values[0] == best)
    legend = [(_BEST, "smallest so far"), (_MARK, "trial")]
    missed = any(trial.outcome is not None and not trial.outcome.met for trial in done)
    _legend(svg, [*legend, (_MISSED, "target missed")] if missed else legend)
    return ET.tostring(svg, encoding="unicode")


def front_chart(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """Return an SVG of two objectives against each other; those that no other trial beats are joined."""
    first, second = objectives
    done = [t for t in trials if t.state == "done"]
    inside = [t for t in done if t.outcome is not None and t.outcome.met] or done
    on_front = sorted(front(inside), key=lambda trial: trial.values)
    xs = ticks(*_extent([trial.values[0] for trial in inside]))
    ys = ticks(*_extent([trial.values[1] for trial in inside]))
    svg, x, y = _plane(xs, ys, first.name, second.name, f"{second.name} against {first.name}")
    _polyline(svg, [(x(t.values[0]), y(t.values[1])) for t in on_front], _BEST)
    for trial in sorted(inside, key=lambda trial: trial in on_front):
        _mark(svg, x(trial.values[0]), y(trial.values[1]), trial, best=trial in on_front)
    left_out = len(done) - len(inside)
    legend = [(_BEST, "beaten by none"), (_MARK, "beaten")]
    _legend(svg, [*legend, (_MISSED, f"{left_out} that miss the target lie outside")] if left_out else legend)
    return ET.tostring(svg, encoding="unicode")


def importance_bars(shares: Mapping[str, float]) -> str:
    """Return an SVG of a bar a parameter, the longest first."""
    rows = sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))
    height = _BAR * len(rows) + 12
    svg = _canvas(height, "share of what decides about the objective, by parameter")
    left = 250
    for index, (key, share) in enumerate(rows):
        top = _BAR * index
        _text(svg, left - 10, top + 16, key, anchor="end")
        width = share * (_WIDTH - left - 80)
        bar = {"x": str(left), "y": str(top + 3), "width": f"{width:.1f}", "height": str(_BAR - 8), "fill": _MARK}
        ET.SubElement(svg, "rect", bar)
        _text(svg, left + width + 8, top + 16, f"{share:.0%}", colour=_SOFT)
    return ET.tostring(svg, encoding="unicode")


def _to_scale(trial: Trial, objective: Objective) -> bool:
    return objective.worst is None or (trial.outcome is not None and trial.outcome.met)


def _extent(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _whole_ticks(low: int, high: int) -> list[float]:
    marks = [mark for mark in ticks(low, max(high, low + 1)) if mark == round(mark)]
    return marks if len(marks) > 1 else [low, low + 1]


def _plane(
    xs: Sequence[float], ys: Sequence[float], below: str, beside: str, shows: str
) -> tuple[ET.Element, Callable[[float], float], Callable[[float], float]]:
    """Return an empty picture with its axes, and where values lie on them."""
    svg = _canvas(_HEIGHT, shows)
    x, y = scale(xs, _LEFT, _WIDTH - _RIGHT), scale(ys, _HEIGHT - _BOTTOM, _TOP)
    for tick in xs:
        _polyline(svg, [(x(tick), _TOP), (x(tick), _HEIGHT - _BOTTOM)], _FAINT, width=1)
        _text(svg, x(tick), _HEIGHT - _BOTTOM + 18, f"{tick:g}", anchor="middle", colour=_SOFT)
    for tick in ys:
        _polyline(svg, [(_LEFT, y(tick)), (_WIDTH - _RIGHT, y(tick))], _FAINT, width=1)
        _text(svg, _LEFT - 8, y(tick) + 4, f"{tick:g}", anchor="end", colour=_SOFT)
    _text(svg, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, below, anchor="middle")
    turned = _text(svg, 0, 0, beside, anchor="middle")
    turned.set("transform", f"translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:g}) rotate(-90)")
    return svg, x, y


def _canvas(height: float, shows: str) -> ET.Element:
    size = {"viewBox": f"0 0 {_WIDTH} {height:g}", "width": str(_WIDTH), "height": f"{height:g}"}
    look = {"role": "img", "aria-label": shows, "font-family": "sans-serif", "font-size": "12"}
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **look})
    ET.SubElement(svg, "rect", width="100%", height="100%", fill="white")
    return svg


def _legend(svg: ET.Element, entries: Sequence[tuple[str, str]]) -> None:
    x = float(_LEFT)
    for colour, words in entries:
        ET.SubElement(svg, "circle", {"cx": f"{x + 5:g}", "cy": "18", "r": "4", "fill": colour})
        _text(svg, x + 15, 22, words, colour=_SOFT)
        x += 34 + 6.4 * len(words)


def _mark(svg: ET.Element, x: float, y: float, trial: Trial, *, best: bool) -> None:
    met = trial.outcome is None or trial.outcome.met
    colour = _MISSED if not met else _BEST if best else _MARK
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "5" if best else "4"}
    dot = ET.SubElement(svg, "circle", {**place, "fill": colour})
    values = ", ".join(f"{value:.6g}" for value in trial.values)
    ET.SubElement(dot, "title").text = "\n".join(map(printable, [f"trial {trial.number}: {values}", *trial.overrides]))


def _text(svg: ET.Element, x: float, y: float, words: str, *, anchor: str = "start", colour: str = _INK) -> ET.Element:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": colour}
    element = ET.SubElement(svg, "text", place)
    element.text = printable(words)
    return element


def _polyline(svg: ET.Element, points: Sequence[tuple[float, float]], colour: str, *, width: float = 2) -> None:
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    ET.SubElement(svg, "polyline", {"points": through, "fill": "none", "stroke": colour, "stroke-width": f"{width:g}"})

"""A picture of the plans tried: loss against the share of int8 multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from runner.printable import printable
from runner.report.axis import scale, ticks
from runner.search.pareto import Point

CHART = "pareto.svg"
_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 28, 52, 64
_INK, _FAINT, _FRONT, _CHOSEN, _TARGET = "#222222", "#dddddd", "#1f5fa8", "#c8501e", "#2e7d32"


def curve_chart(curve: Sequence[Point], *, title: str, unit: str, target: float | None) -> str:
    """Return an SVG: filled points that no plan beats, joined; hollow ones that one beats; a ring around the chosen one.

    Args:
        curve: the plans, at least one.
        title: above the picture.
        unit: of the loss.
        target: what the loss must stay below, drawn as a line; None for none.
    """
    shares = [100 * point.int8_share for point in curve]
    losses = [point.loss for point in curve] + ([] if target is None else [target])
    xs, ys = ticks(min(shares), 100.0), ticks(min(0.0, *losses), max(0.0, *losses))
    x = scale(xs, _LEFT, _WIDTH - _RIGHT)
    y = scale(ys, _HEIGHT - _BOTTOM, _TOP)
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", width=str(_WIDTH))
    svg.set("font-family", "sans-serif")
    svg.set("font-size", "13")
    ET.SubElement(svg, "rect", width="100%", height="100%", fill="white")
    _text(svg, _LEFT, 28, title, size=16)
    for tick in xs:
        _line(svg, (x(tick), _TOP), (x(tick), _HEIGHT - _BOTTOM), _FAINT)
        _text(svg, x(tick), _HEIGHT - _BOTTOM + 20, f"{tick:g} %", anchor="middle")
    for tick in ys:
        _line(svg, (_LEFT, y(tick)), (_WIDTH - _RIGHT, y(tick)), _FAINT)
        _text(svg, _LEFT - 8, y(tick) + 4, f"{tick:g}", anchor="end")
    _text(svg, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 18, "multiply-accumulates in int8", anchor="middle")
    turned = _text(svg, 0, 0, f"loss, {unit}", anchor="middle")
    turned.set("transform", f"translate(22 {(_TOP + _HEIGHT - _BOTTOM) / 2:g}) rotate(-90)")
    if target is not None:
        _line(svg, (_LEFT, y(target)), (_WIDTH - _RIGHT, y(target)), _TARGET, dash="6 4")
        _text(svg, _LEFT + 6, y(target) - 6, f"target {target:g}", colour=_TARGET)
    front = " ".join(f"{x(100 * p.int8_share):.1f},{y(p.loss):.1f}" for p in curve if p.best_of_its_price)
    ET.SubElement(svg, "polyline", {"points": front, "fill": "none", "stroke": _FRONT, "stroke-width": "1.5"})
    for point in curve:
        _mark(svg, x(100 * point.int8_share), y(point.loss), point)
    return ET.tostring(svg, encoding="unicode")


def _mark(svg: ET.Element, x: float, y: float, point: Point) -> None:
    fill = _FRONT if point.best_of_its_price else "white"
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}"}
    dot = ET.SubElement(svg, "circle", {**place, "r": "4", "fill": fill, "stroke": _FRONT})
    names = ", ".join(point.plan.fallback) or "none"
    ET.SubElement(dot, "title").text = printable(
        f"trial {point.step}: loss {point.loss:.4g}, {point.int8_share:.1%} int8; float: {names}"
    )
    if point.chosen:
        ET.SubElement(svg, "circle", {**place, "r": "8", "fill": "none", "stroke": _CHOSEN, "stroke-width": "2"})
        # Above the picture: around the point others may lie close.
        label = f"chosen: {point.int8_share:.1%} int8, loss {point.loss:.4g}"
        _text(svg, _WIDTH - _RIGHT, 28, label, anchor="end", colour=_CHOSEN)


def _text(
    svg: ET.Element, x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, colour: str = _INK
) -> ET.Element:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": colour, "font-size": str(size)}
    element = ET.SubElement(svg, "text", attributes)
    element.text = printable(text)
    return element


def _line(
    svg: ET.Element, start: tuple[float, float], end: tuple[float, float], colour: str, *, dash: str = "none"
) -> None:
    (x1, y1), (x2, y2) = start, end
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    ET.SubElement(svg, "line", {**ends, "stroke": colour, "stroke-dasharray": dash})

"""The curve's picture: points where their figures say."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from runner.report.curve_chart import curve_chart
from runner.search.pareto import Point
from runner.search.plan import Plan

NS = "{http://www.w3.org/2000/svg}"
START = Plan.all_int8(["a", "<b&c>"])


def point(step: int, share: float, loss: float, *, front: bool = True, chosen: bool = False) -> Point:
    fallback = ["<b&c>"] if step else []
    return Point(step, share, loss, loss < 1, front, chosen, START.with_fallback(fallback))


CURVE = [point(0, 1.0, 2.0), point(2, 0.9, 2.5, front=False), point(1, 0.6, 0.5, chosen=True)]


def drawn(curve: list[Point], target: float | None = 1.0) -> ET.Element:
    return ET.fromstring(curve_chart(curve, title="net on <photos>", unit="nats", target=target))


def dots(svg: ET.Element) -> list[ET.Element]:
    return [circle for circle in svg.iter(f"{NS}circle") if circle.get("r") == "4"]


def texts(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{NS}text")]


def tick(svg: ET.Element, label: str, axis: str) -> float:
    (text,) = [text for text in svg.iter(f"{NS}text") if text.text == label]
    return float(text.get(axis, ""))


def test_points_lie_where_the_axes_say() -> None:
    svg = drawn(CURVE)
    x100, x60 = tick(svg, "100 %", "x"), tick(svg, "60 %", "x")
    y0, y2 = tick(svg, "0", "y") - 4, tick(svg, "2", "y") - 4
    for dot, (share, loss) in zip(dots(svg), [(100, 2.0), (90, 2.5), (60, 0.5)], strict=True):
        assert float(dot.get("cx", "")) == pytest.approx(x60 + (share - 60) / 40 * (x100 - x60), abs=0.2)
        assert float(dot.get("cy", "")) == pytest.approx(y0 + loss / 2 * (y2 - y0), abs=0.2)


def test_line_joins_the_points_that_no_plan_beats_and_a_ring_marks_the_chosen_one() -> None:
    svg = drawn(CURVE)
    (line,) = svg.iter(f"{NS}polyline")
    first, beaten, chosen = dots(svg)
    assert line.get("points") == " ".join(f"{dot.get('cx')},{dot.get('cy')}" for dot in (first, chosen))
    assert beaten.get("fill") == "white" != first.get("fill")
    (ring,) = [circle for circle in svg.iter(f"{NS}circle") if circle.get("r") == "8"]
    assert (ring.get("cx"), ring.get("cy")) == (chosen.get("cx"), chosen.get("cy"))
    assert "chosen: 60.0% int8, loss 0.5" in texts(svg)


def test_target_is_a_dashed_line_at_its_height() -> None:
    svg = drawn(CURVE, target=1.0)
    (dashed,) = [line for line in svg.iter(f"{NS}line") if line.get("stroke-dasharray") != "none"]
    assert dashed.get("y1") == dashed.get("y2") == f"{tick(svg, '1', 'y') - 4:.1f}"
    assert "target 1" in texts(svg)
    assert not any(text.startswith("target") for text in texts(drawn(CURVE, target=None)))


def test_names_from_the_model_are_text() -> None:
    svg = drawn(CURVE)
    assert "net on <photos>" in texts(svg)
    assert [dot[0].text for dot in dots(svg)][-1] == "trial 1: loss 0.5, 60.0% int8; float: <b&c>"


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param([point(0, 1.0, 0.0)], id="one point without loss"),
        pytest.param([point(0, 1.0, -0.25), point(1, 0.5, -0.5)], id="gains"),
        pytest.param([point(0, 0.0, 1e-9)], id="no multiply-accumulates, a tiny loss"),
        pytest.param([point(0, 1.0, 12345.0)], id="a large loss"),
    ],
)
def test_every_point_is_inside_the_picture(curve: list[Point]) -> None:
    svg = drawn(curve, target=None)
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    for dot in dots(svg):
        assert 0 < float(dot.get("cx", "")) < width and 0 < float(dot.get("cy", "")) < height


def test_same_curve_gives_the_same_bytes() -> None:
    assert curve_chart(CURVE, title="a", unit="b", target=1.0) == curve_chart(CURVE, title="a", unit="b", target=1.0)

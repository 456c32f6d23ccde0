"""Loss against the share of int8: marks where their figures say."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from runner.report.charts.loss_against_share import loss_against_share
from runner.report.charts.style import standing_alone
from runner.report.charts.tried import Tried
from tests.report.charts.drawn import classed, parsed, texts, tick, tips


def plan(step: int, share: float, loss: float, *, early: bool = False, chosen: bool = False) -> Tried:
    return Tried(step, share, loss, loss < 1, 7 if early else None, chosen, ["<b&c>"] if step else [], 2)


CURVE = [plan(0, 1.0, 2.0), plan(1, 0.6, 0.5, chosen=True), plan(2, 0.9, 2.5), plan(3, 0.7, 0.8, early=True)]


def drawn(plans: list[Tried], target: float | None = 1.0) -> ET.Element:
    return parsed(loss_against_share(plans, {0, 1}, title="net on <photos>", unit="nats", target=target))


def places(svg: ET.Element) -> list[tuple[float, float]]:
    """Return where marks lie, by what is put over each for the pointer, in the order of drawing."""
    return [(float(hit.get("cx", "")), float(hit.get("cy", ""))) for hit in classed(svg, "hit")]


def test_points_lie_where_the_axes_say() -> None:
    svg = drawn(CURVE)
    x100, x60 = tick(svg, "100 %", "x"), tick(svg, "60 %", "x")
    y0, y2 = tick(svg, "0", "y") - 4.5, tick(svg, "2", "y") - 4.5
    # The chosen one is drawn last.
    for (x, y), (share, loss) in zip(places(svg), [(100, 2.0), (90, 2.5), (70, 0.8), (60, 0.5)], strict=True):
        assert x == pytest.approx(x60 + (share - 60) / 40 * (x100 - x60), abs=0.2)
        assert y == pytest.approx(y0 + loss / 2 * (y2 - y0), abs=0.2)


def test_line_joins_the_points_that_no_plan_beats_and_a_ring_marks_the_chosen_one() -> None:
    svg = drawn(CURVE)
    (line,) = classed(svg, "front")
    first, _, _, chosen = places(svg)
    assert line.get("points") == " ".join(f"{x:g},{y:g}" for x, y in (first, chosen))
    (ring,) = classed(svg, "ring")
    assert (float(ring.get("cx", "")), float(ring.get("cy", ""))) == chosen
    assert "chosen: 60.0% int8, loss 0.5" in texts(svg)


def test_verdicts_have_shapes_and_those_settled_early_are_hollow() -> None:
    svg = drawn(CURVE)
    assert len(classed(svg, "refused")) == 2 and len(classed(svg, "dot")) == 2
    assert len(classed(svg, "open")) == 1 and "accepted, settled after 7 items" in tips(svg)[2]


def test_target_is_a_line_at_its_height() -> None:
    svg = drawn(CURVE, target=1.0)
    (line,) = classed(svg, "target")
    heights = {pair.split(",")[1] for pair in line.get("points", "").split()}
    assert heights == {f"{tick(svg, '1', 'y') - 4.5:.1f}".removesuffix(".0")}
    assert "target 1" in texts(svg)
    assert not any(text.startswith("target") for text in texts(drawn(CURVE, target=None)))


def test_names_from_the_model_are_text() -> None:
    svg = drawn(CURVE)
    assert "net on <photos>" in texts(svg)
    assert tips(svg)[-1] == "trial 1: accepted, loss 0.5 nats\n60.0% int8; 1 of 2 layers float: <b&c>"


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param([plan(0, 1.0, 0.0)], id="one point without loss"),
        pytest.param([plan(0, 1.0, -0.25), plan(1, 0.5, -0.5)], id="gains"),
        pytest.param([plan(0, 0.0, 1e-9)], id="no multiply-accumulates, a tiny loss"),
        pytest.param([plan(0, 1.0, 12345.0)], id="a large loss"),
        pytest.param([plan(0, 1.0, 12345.0), plan(1, 1.0, 1e-4), plan(2, 1.0, -3.0)], id="losses far apart"),
        pytest.param([plan(0, 1.0, float("inf")), plan(1, 1.0, 1.0)], id="a loss without end"),
        pytest.param([plan(0, 1.0, float("nan"))], id="no loss"),
    ],
)
@pytest.mark.parametrize("target", [None, 0.0, 0.2])
def test_every_point_is_inside_the_picture(curve: list[Tried], target: float | None) -> None:
    svg = drawn(curve, target=target)
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    for x, y in places(svg):
        assert 0 < x < width and 0 < y < height


def test_same_curve_gives_the_same_bytes_and_a_file_has_its_colours_with_it() -> None:
    first, again = (loss_against_share(CURVE, {0}, unit="b", target=1.0) for _ in range(2))
    assert first == again
    assert "--blue: #1f5fa8" in (ET.fromstring(standing_alone(first))[0].text or "")

"""The page of a sweep: parsed as HTML and as SVG, whatever names hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from runner.report.sweep.page import sweep_page
from runner.report.sweep.parallel import parallel
from runner.report.sweep.scatter import scatter
from runner.report.sweep.swept import Sweep
from tests.report.sweep.swept import job, sweep

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<script>alert("1")</script> & 数据 \'"'


class Reader(HTMLParser):
    """Keeps tags, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def circles(svg: str) -> list[tuple[float, float]]:
    """Return the places of the marks, rings left out."""
    marks = [c for c in ET.fromstring(svg).iter(f"{SVG}circle") if c.get("class") != "ring"]
    return [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in marks]


def many() -> Sweep:
    statuses = ["met", "not_met", "failed", "not run", "interrupted"]
    jobs = [
        job(n, statuses[n % 5], n / 10, 1 - n / 40, target_loss=str(n / 7), name=NASTY * n, kind="abc"[n % 3])
        for n in range(20)
    ]
    return sweep(*jobs)


@pytest.mark.parametrize(
    "swept",
    [sweep(job(0)), many(), sweep(job(0, "failed", a="1")), sweep(job(0, loss=0, a="1"), job(1, loss=0, a="2"))],
    ids=["one job", "twenty", "none with a result", "equal losses"],
)
def test_page_asks_for_nothing_from_elsewhere_and_runs_nothing(swept: Sweep) -> None:
    page = sweep_page(swept)
    read = Reader(page)
    assert {"script", "link", "img", "iframe", "object"} & set(read.tags) == set()
    assert all(re.fullmatch(r"\d+_job/report\.html", link) for link in read.links)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "prefers-color-scheme: dark" in page


def test_names_are_text_on_the_page_and_in_the_pictures() -> None:
    swept = sweep(job(0, name=NASTY), job(1, "failed", name="b"))
    read = Reader(sweep_page(swept))
    assert NASTY in read.text
    assert "script" not in read.tags
    assert NASTY in "".join(ET.fromstring(parallel(swept)).itertext())


def test_points_lie_where_loss_and_share_say() -> None:
    swept = sweep(
        job(0, loss=0.0, share=0.5, a="1"), job(1, loss=1.0, share=0.75, a="2"), job(2, loss=2.0, share=1.0, a="3")
    )
    (x0, y0), (x1, y1), (x2, y2) = circles(scatter(swept))
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and x0 < x1
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y0 > y1


def test_jobs_at_one_place_are_one_mark_that_names_all() -> None:
    swept = sweep(*(job(number, loss=0.0, a=str(number)) for number in range(9)))
    svg = scatter(swept)
    assert len(circles(svg)) == 1
    assert "0, 1, 2, 3, 4, 5 and 3 more" in "".join(ET.fromstring(svg).itertext())


def test_line_of_a_job_meets_each_axis_where_its_value_is() -> None:
    swept = sweep(*(job(n, loss=float(n), share=1.0, target_loss=value) for n, value in enumerate(("10", "2", "0.5"))))
    lines = [e for e in ET.fromstring(parallel(swept)).iter(f"{SVG}polyline") if e.get("class") == "path"]
    places = [[float(point.split(",")[1]) for point in (line.get("points") or "").split()] for line in lines]
    assert [len(points) for points in places] == [4, 4, 4]  # target_loss, loss, MACs, seconds
    by_target = sorted(places, reverse=True)  # y grows downwards
    assert [points[1] for points in by_target] == sorted(
        points[1] for points in places
    )  # 0.5 lost most: order of numbers
    assert {points[2] for points in places} == {by_target[0][2]}  # equal shares


def test_best_job_is_told_with_the_rule_and_failures_with_their_reason() -> None:
    text = Reader(sweep_page(sweep(job(0, "met", seed="7"), job(1, "failed", seed="8")))).text
    assert "0: seed=7" in text
    assert "among the jobs that kept their target" in text
    assert "model.path: absent.onnx does not exist" in text
    assert "1 met, 1 failed" in text


def test_same_sweep_gives_the_same_bytes() -> None:
    assert sweep_page(many()) == sweep_page(many())

"""Parts of a picture inside a page, which gives the colours: the same picture is right on a light and on a dark ground."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote
from xml.etree import ElementTree as ET

from runner.printable import printable
from runner.report.sweep.swept import Sweep, SweptJob


def picture(width: float, height: float, shows: str) -> ET.Element:
    """Return an empty picture with what it shows, for whoever cannot see it."""
    size = {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "height": f"{height:g}"}
    return ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": shows, **size})


def text(
    parent: ET.Element, at: tuple[float, float], words: str, kind: str = "", *, anchor: str = "start", longest: int = 0
) -> ET.Element:
    """Add a text; one with more characters than ``longest`` is cut, and whole where the pointer rests on it; 0 cuts none."""
    place = {"x": f"{at[0]:.1f}", "y": f"{at[1]:.1f}", "text-anchor": anchor, "class": kind}
    element = ET.SubElement(parent, "text", place)
    words = printable(words)
    element.text = words
    if 0 < longest < len(words):
        element.text = f"{words[: longest - 1]}…"
        ET.SubElement(element, "title").text = words
    return element


def line(parent: ET.Element, points: Iterable[tuple[float, float]], kind: str) -> ET.Element:
    """Add a line through points."""
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return ET.SubElement(parent, "polyline", {"points": through, "class": kind})


def linked(parent: ET.Element, job: SweptJob) -> ET.Element:
    """Return where to draw what leads to a job's report; the parent itself where it has none."""
    return ET.SubElement(parent, "a", {"href": quote(job.report)}) if job.report else parent


def kind_of(job: SweptJob, sweep: Sweep) -> str:
    """Return the class that gives a job its look."""
    if job is sweep.best:
        return "best"
    return {0: "met", 3: "missed"}.get(-1 if job.exit_status is None else job.exit_status, "failed")


def tip(parent: ET.Element, job: SweptJob) -> None:
    """Say what a mark stands for where the pointer rests on it."""
    told = [f"{job.number}: {job.label}", job.status]
    if job.loss is not None:
        told.append(f"loss {job.loss:.4g}")
    if job.int8_share is not None:
        told.append(f"{job.int8_share:.1%} of MACs int8, {job.layers} layers")
    ET.SubElement(parent, "title").text = "\n".join(map(printable, [*told, *([job.reason] if job.reason else [])]))

"""Parts of the pictures of a sweep: what a job looks like, what is said of it, and where it leads."""

from __future__ import annotations

from urllib.parse import quote
from xml.etree import ElementTree as ET

from runner.printable import printable
from runner.report.sweep.swept import Sweep, SweptJob


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

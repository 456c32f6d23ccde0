"""A report as ``summary.json``: plain values; a key that does not apply is absent."""

from __future__ import annotations

from typing import Any

from runner.figure import Report, Section

SUMMARY = "summary.json"
# The file keeps its order of keys; what a section that is not named here tells comes before what it takes to run again.
_ORDER = (
    *(
        "run",
        "headline",
        "target_loss",
        "uncertainty",
        "metrics",
        "by_class",
        "inputs",
        "likeness",
        "outputs",
        "layers",
        "work",
    ),
    *("deployed", "coarse_outputs", "repaired", "data_split", "rewriting"),
)
_LAST = "environment"


def summary(report: Report) -> dict[str, Any]:
    """Return the summary of a job."""
    told: dict[str, Any] = {}
    for section in sorted(report.sections, key=_place):
        for figure in section.figures:
            *path, name = (figure.key,) if isinstance(figure.key, str) else figure.key or ("",)
            inner = told
            for part in path:
                inner = inner.setdefault(part, {})
            if name:
                inner[name] = figure.value
    return told


def _place(section: Section) -> int:
    if section.name == _LAST:
        return len(_ORDER) + 1
    return _ORDER.index(section.name) if section.name in _ORDER else len(_ORDER)

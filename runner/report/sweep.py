"""The jobs of a sweep as one table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def sweep_table(jobs: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a row a job: label, status, headline figures; below it, why a job failed."""
    table = Table(title="sweep", title_justify="left")
    table.add_column("job", no_wrap=True)
    for heading in ("status", "loss", "int8 layers", "quantized", "float", "seconds"):
        table.add_column(heading)
    for job in jobs:
        summary = job.get("summary") or {}
        seconds = summary.get("seconds", {}).get("total")
        layers = f"{summary['layers_int8']} of {summary['layers_total']}" if "layers_int8" in summary else ""
        cells = (
            str(job["label"]),
            str(job["status"]),
            _number(summary.get("loss")),
            layers,
            _number(summary.get("quantized_metric")),
            _number(summary.get("float_metric")),
            "" if seconds is None else f"{seconds:.1f}",
        )
        table.add_row(*map(Text, cells))
    # Below the table, where a narrow terminal does not cut them to pieces.
    return Group(table, *(Text(f"{job['label']}: {job['note']}") for job in jobs if job.get("note")))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

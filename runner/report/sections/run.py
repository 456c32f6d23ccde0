"""What was run on what, and what came of it."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.modes.result import JobResult


def run(result: JobResult) -> Section:
    """Return the section."""
    source = result.source
    figures = (
        Figure(key="mode", value=result.mode),
        Figure(key="model", value=source.model),
        Figure(key="model_sha256", value=source.model_sha256),
        Figure(key="dataset", value=source.dataset),
        Figure(key="dataset_fingerprint", value=source.dataset_fingerprint),
        Figure(key="status", value=result.status),
        Figure(key="complete", value=result.complete),
    )
    return Section(name="run", figures=figures)

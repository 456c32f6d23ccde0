"""Every metric of both models."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.modes.result import Comparison


def metrics(comparison: Comparison) -> Section:
    """Return the section; the deciding figure comes first."""
    headline = comparison.headline
    both = {headline.name: {"float": headline.before, "quantized": headline.after}}
    for metric in comparison.metrics:
        both[metric.name] = {
            "float": comparison.value(metric, comparison.float_),
            "quantized": comparison.value(metric, comparison.quantized),
        }
    figures = (Figure(key="metrics", value=both), Figure(key="samples", value=comparison.items))
    return Section(name="metrics", figures=figures)

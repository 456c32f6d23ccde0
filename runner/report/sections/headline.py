"""The figure that decides: of the float (or source) model, of the quantized one, and the loss between them."""

from __future__ import annotations

from runner.figure import Card, Figure, Section
from runner.modes.result import Comparison, Source
from runner.report.sections.metrics import shown, told


def headline(comparison: Comparison, source: Source, allowed: str = "") -> Section:
    """Return the section.

    Args:
        comparison: of the two models.
        source: what was run on what.
        allowed: what the loss was held against; empty where nothing was asked of it.
    """
    metric = comparison.headline
    items = items_phrase(comparison, source)
    loss = f"{shown(metric.loss)} {metric.unit}" + (f"; {allowed}" if allowed else "")
    before, after = shown(metric.before), shown(metric.after)
    figures = (
        Figure(
            key="float_metric",
            value=told(metric.before),
            tracked=f"float/{metric.name}",
            title=metric.name,
            phrase=f"{before} -> {after}  ({items})",
            card=Card(metric.name, f"{before} → {after}", items),
        ),
        Figure(key="quantized_metric", value=told(metric.after), tracked=f"quantized/{metric.name}"),
        Figure(
            key="loss",
            value=told(metric.loss),
            tracked="loss",
            title="loss",
            phrase=loss,
            sentence=f"Loss {loss}.",
            card=Card("loss", shown(metric.loss), allowed or metric.unit),
        ),
    )
    return Section(name="headline", figures=figures)


def items_phrase(comparison: Comparison, source: Source) -> str:
    """Return what the final figures were measured on."""
    items = f"{comparison.items} items"
    return f"{items} that the search of {source.search_items} never saw" if comparison.held_out else items

"""The figure that decides: of the float (or source) model, of the quantized one, and the loss between them."""

from __future__ import annotations

from collections.abc import Mapping

from runner.evaluation.distance import Kl, Sqnr
from runner.figure import Card, Figure, Section
from runner.modes.result import Comparison, Source
from runner.report.sections.metrics import shown, told
from runner.wording import listed, recalled, say

_DIGITS = 9
# Of the others the metric's name says enough.
_UNITS: Mapping[str, str] = {Kl.unit: " nats", Sqnr.unit: " dB"}


def headline(comparison: Comparison, source: Source, allowed: str = "") -> Section:
    """Return the section.

    Args:
        comparison: of the two models.
        source: what was run on what.
        allowed: what the loss was held against; empty where nothing was asked of it.
    """
    metric = comparison.headline
    items = items_phrase(comparison, source)
    loss = say("{loss} {unit}", loss=shown(metric.loss), unit=recalled(metric.unit))
    loss = listed((loss, allowed), "; ") if allowed else loss
    before, after = shown(metric.before), shown(metric.after)
    sure = "" if comparison.interval is None else comparison.interval.said()
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
            sentence=say("Loss {loss}.", loss=loss),
            card=Card(say("loss"), shown(metric.loss), allowed or recalled(metric.unit), sure),
        ),
    )
    return Section(name="headline", figures=figures)


def outcome(comparison: Comparison, target: float | None = None, *, decides: str = "") -> str:
    """Return the figure that decides and the loss in a few words, beside what that was to stay below.

    Args:
        comparison: of the two models.
        target: of the loss.
        decides: who does, where it is no target.
    """
    metric = comparison.headline
    unit = _UNITS.get(metric.unit, "")
    said = f"{metric.name} {shown(metric.before)} -> {shown(metric.after)}, loss {shown(metric.loss)}{unit}"
    # As plans are judged: differences beyond that are those of float sums.
    if target is None:
        return f"{said}; {decides}" if decides else said
    return f"{said} {'<' if round(metric.loss, _DIGITS) < target else '>='} {target:g}"


def items_phrase(comparison: Comparison, source: Source) -> str:
    """Return what the final figures were measured on."""
    if not comparison.held_out:
        return say("{count} items", count=comparison.items)
    return say(
        "{count} items that the search of {searched} never saw", count=comparison.items, searched=source.search_items
    )

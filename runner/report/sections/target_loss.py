"""What the loss was to stay below, and whether it does."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.modes.result import AccAutoResult
from runner.wording import say


def target_loss(result: AccAutoResult) -> Section:
    """Return the section."""
    asked = () if result.target_loss is None else (Figure(key="target_loss", value=result.target_loss),)
    met = result.status == "met" or (not result.complete and result.search.best is not None)
    return Section(name="target_loss", figures=(*asked, Figure(key="target_met", value=met)))


def allowed(target: float | None) -> str:
    """Return what the loss was held against."""
    return say("metric_eval decides") if target is None else say("allowed below {target:g}", target=target)

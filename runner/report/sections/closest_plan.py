"""The plan that came closest, where none met the target."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.search.plan import SearchResult


def closest_plan(search: SearchResult) -> Section:
    """Return the section; without figures where a plan was accepted."""
    if search.best is not None:
        return Section(name="closest_plan")
    loss, layers = f"{search.closest.loss:.4g}", f"{len(search.closest.plan.fallback)} layers float"
    figure = Figure(
        title="closest plan",
        phrase=f"loss {loss} with {layers}; no model is written",
        sentence=f"No plan met the target, so no model is written; the closest one loses {loss} with {layers}.",
    )
    return Section(name="closest_plan", figures=(figure,))

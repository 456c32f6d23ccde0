"""The plan that came closest, where none met the target."""

from __future__ import annotations

from runner.figure import Figure, Line, Section
from runner.search.plan import SearchResult
from runner.wording import say


def closest_plan(search: SearchResult) -> Section:
    """Return the section; without figures where a plan was accepted."""
    if search.best is not None:
        return Section(name="closest_plan")
    told = {"loss": search.closest.loss, "count": len(search.closest.plan.fallback)}
    figure = Figure(
        title="closest plan",
        phrase=say("loss {loss:.4g} with {count} layers float; no model is written", **told),
        sentence=say(
            "No plan met the target, so no model is written; the closest one loses {loss:.4g} with {count} layers float.",
            **told,
        ),
    )
    return Section(name="closest_plan", figures=(figure,), brief=(Line(figure.title, figure.phrase),))

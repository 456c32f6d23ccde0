"""The layers that do most damage to the outputs, where that was measured."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.search.end_to_end import LossContributions

_MOST = 5


def loss_contributions(measured: LossContributions | None) -> Section:
    """Return the section: the layer groups that do most damage at the model's outputs, with how much of it each alone does."""
    if measured is None:
        return Section(name="damage")
    worst = [(unit, value) for unit, value in measured.worst_first[:_MOST] if value > 0]
    shown = ", ".join(f"{' + '.join(unit.layers)} {measured.share(value):.0%}" for unit, value in worst)
    phrase = f"{shown or 'none'}  ({measured.measure} on {len(measured.items)} items)"
    return Section(name="damage", figures=(Figure(title="most damage", phrase=phrase),))

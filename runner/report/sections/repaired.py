"""The layers that are int8 in a repaired form."""

from __future__ import annotations

from collections.abc import Sequence

from runner.figure import Figure, Section
from runner.wording import say


def repaired(names: Sequence[str]) -> Section:
    """Return the section; without figures where no layer is repaired."""
    if not names:
        return Section(name="repaired")
    figure = Figure(
        key="repaired",
        value=list(names),
        title="repaired",
        phrase=f"{len(names)} of the int8 layers",
        sentence=say(
            "{count} of the int8 layers are repaired: their biases, weights or ranges were refitted.", count=len(names)
        ),
    )
    return Section(name="repaired", figures=(figure,))

"""How the pictures look: SVG without a background, in colours that stand out from a white and from a black page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# In the order in which they are used.
BLUE, ORANGE, GREEN, RED, GREY = "#4c8fd6", "#d9822b", "#3f9e58", "#d4564a", "#8a8f98"
_INK = "#7d838c"
_STYLE = {
    "svg.fonttype": "none",
    # Names of clip paths follow from it: the same picture has the same bytes.
    "svg.hashsalt": "docs",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.5,
}


def panels(count: int, *, wide: float = 8.0, high: float = 3.0, **options: Any) -> tuple[Figure, Sequence[Axes]]:  # noqa: ANN401
    """Return a figure with so many panels side by side; sizes in inches."""
    mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
    figure = Figure(figsize=(wide, high), layout="constrained")
    made = figure.subplots(1, count, squeeze=False, **options)
    return figure, list(made[0])


def write(figure: Figure, path: Path) -> None:
    """Write a picture as SVG, the same bytes for the same figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # Lines end without blanks, as in every other file.
    lines = (line.rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

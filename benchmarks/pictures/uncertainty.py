"""What a number of items can tell of a loss."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from benchmarks.pictures.look import BLUE, GREEN, GREY, ORANGE, RED, panels
from runner.evaluation.paired_shares import paired_interval

_TARGET = 0.5
# Of all items: those that only the float model gets right, and those that only the int8 model does.
_LOST, _GAINED = 0.004, 0.002


def interval() -> Figure:
    """Return the interval of a loss of 0.2 points as the items grow, and the verdict that follows."""
    counts = np.unique(np.geomspace(500, 64_000, 40).astype(int) // 500 * 500)
    limits = [paired_interval(round(_LOST * n), round(_GAINED * n), int(n)) for n in counts]
    low, high = (100 * np.array(side) for side in zip(*limits, strict=True))
    figure, (panel,) = panels(1, high=3.0)
    panel.fill_between(counts, low, high, color=BLUE, alpha=0.3, label="95 % interval (Tango)")
    panel.axhline(100 * (_LOST - _GAINED), color=BLUE, linewidth=1, label="loss measured")
    panel.axhline(_TARGET, color=RED, linestyle="--", linewidth=1, label=f"target {_TARGET:g}")
    told = int(counts[np.argmax(high < _TARGET)])
    panel.axvline(told, color=GREEN, linewidth=1)
    panel.text(told, float(low.min()), f"  met from {told:,} items", color=GREEN, fontsize=8)
    panel.text(1400, float(low.min()), "undecided", color=ORANGE, fontsize=8)
    panel.set(xscale="log", xlabel="items evaluated", ylabel="loss, percentage points")
    panel.axhline(0, color=GREY, linewidth=0.5)
    panel.legend(fontsize=8)
    return figure

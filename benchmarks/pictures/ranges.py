"""Where observers end a range, and what images lose before the first layer."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.pictures.digits import calibrated, items, model, values
from benchmarks.pictures.look import BLUE, GREEN, GREY, ORANGE, RED, panels
from runner.arithmetic import rounded
from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.calibration.observer import Observer
from runner.calibration.percentile import Percentile
from runner.correction.pixel_codes import levels_of
from runner.ranges import Range, activation_params

_LAYER = "block7/expand/Conv"
_OBSERVERS: dict[str, tuple[Observer, str]] = {
    "minmax": (MinMax(), GREY),
    "percentile": (Percentile(), GREEN),
    "ifmr": (Ifmr(), BLUE),
    "hfmg": (Hfmg(), ORANGE),
}


def observers() -> Figure:
    """Return the ranges that the observers choose for one tensor, and the squared error of each upper end."""
    x = values(model().layer(_LAYER).input, items("calibration")).reshape(-1)
    found = {name: calibrated(observer).seen.ranges[_LAYER] for name, (observer, _) in _OBSERVERS.items()}
    figure, (counts, errors) = panels(2, wide=8.6, high=3.2)
    counts.hist(x, bins=200, color=BLUE, alpha=0.35, log=True)
    low, high = float(x.min()), float(x.max())
    ends = np.linspace(0.5, 1.05, 111) * high
    errors.plot(ends, [_error(x, Range(low, end)) for end in ends], color=GREY, linewidth=1, label="lower end kept")
    for name, range_ in found.items():
        colour = _OBSERVERS[name][1]
        label = f"{name}: {range_.low:.2f} to {range_.high:.2f}"
        for end in (range_.low, range_.high):
            counts.axvline(end, color=colour, linestyle="--")
        errors.plot(range_.high, _error(x, range_), "o", color=colour, label=label)
    counts.set(title=f"{x.size:,} values over 100 images", xlabel="value", ylabel="how many")
    errors.set(title="what rounding them costs", xlabel="upper end of the range", ylabel="mean squared error")
    errors.legend(fontsize=8)
    return figure


def pixels() -> Figure:
    """Return how far each level of an image is from its code, before and after the rewriting."""
    seen = np.unique(values(model().layer("stem/Conv").input, items("calibration")))
    levels = levels_of([seen])
    assert levels is not None  # 8-bit images
    step, zero = levels.step[0], levels.zero[0]
    figure, (panel,) = panels(1, high=2.6)
    params = activation_params(Range(-1.0, 1.0))
    off = rounded(seen, params.scale, params.zero_point) - seen
    panel.plot(seen, off / step, ".", color=RED, label="one scale and zero point for -1 to 1")
    whole = ((seen - np.float32(zero)) * np.float32(1 / step)).astype(np.float32)
    panel.plot(seen, np.rint(whole) - whole, ".", color=BLUE, label="levels as codes")
    panel.set(xlabel="value of a pixel", ylabel="error, in levels", ylim=(-0.6, 0.8))
    panel.legend(loc="upper center", ncols=2, fontsize=8)
    return figure


def _error(x: NDArray[np.float32], range_: Range) -> float:
    params = activation_params(range_)
    return float(np.mean((rounded(x, params.scale, params.zero_point) - x) ** 2, dtype=np.float64))

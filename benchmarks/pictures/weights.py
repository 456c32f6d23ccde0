"""What rounding with compensation, and biases, bring layer by layer."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.pictures.digits import calibrated, engine, items, layer_sqnr, model
from benchmarks.pictures.look import BLUE, GREY, ORANGE, panels
from runner.calibration.layer_by_layer import MEAN_ERROR, layer_by_layer
from runner.correction.correct import correct
from runner.correction.options import Correction
from runner.dataset.subset import Subset
from runner.record import QuantizedLayers

_LAYER = "block2/depthwise/Conv"
_JUDGED = 100


def rounding() -> Figure:
    """Return each layer's own SQNR with weights rounded to nearest and with compensation, on images not calibrated on."""
    start, others = calibrated(), items("eval").at(range(_JUDGED))
    made = correct(start, items("calibration"), options=Correction(rounding="compensated"), engine=engine())
    nearest, compensated = layer_sqnr(start.form, others), layer_sqnr(made, others)
    names = list(nearest)
    figure, (panel,) = panels(1, high=4.2)
    place = np.arange(len(names))
    panel.barh(place - 0.2, [nearest[name] for name in names], height=0.4, color=GREY, label="rounded to nearest")
    panel.barh(place + 0.2, [compensated[name] for name in names], height=0.4, color=BLUE, label="compensated")
    panel.set_yticks(place, names, fontsize=7)
    panel.invert_yaxis()
    panel.set(xlabel="SQNR of the layer's output on float inputs, dB", xlim=(20, None))
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8)
    return figure


def bias() -> Figure:
    """Return the mean error of each channel of one layer before and after its bias was corrected, on other images."""
    start, others = calibrated(), items("eval").at(range(_JUDGED))
    made = correct(start, items("calibration"), options=Correction(bias="isolated"), engine=engine())

    before, after = _mean_errors(start.form, others), _mean_errors(made, others)
    order = np.argsort(before)
    figure, (panel,) = panels(1, high=2.8)
    panel.axhline(0, color=GREY, linewidth=0.8)
    panel.plot(before[order], "o", color=ORANGE, markersize=3, label="bias as it is")
    panel.plot(after[order], "o", color=BLUE, markersize=3, label="corrected")
    panel.set(xlabel=f"output channel of {_LAYER}, by its error", ylabel="mean of float less int8")
    panel.legend(fontsize=8)
    return figure


def _mean_errors(form: QuantizedLayers, of: Subset) -> NDArray[np.float64]:
    passes = layer_by_layer(model(), form, of, engine=engine(), reductions=(MEAN_ERROR,))
    return np.asarray(np.mean([sums[_LAYER][MEAN_ERROR.name] for sums in passes], axis=0))

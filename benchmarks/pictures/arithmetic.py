"""How a tensor is rounded, and how far the integer sums of layers reach."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from benchmarks.pictures.digits import calibrated, items, values
from benchmarks.pictures.look import BLUE, GREY, ORANGE, RED, panels
from runner.arithmetic import EXACT_FLOAT32_SUM, INT32_MAX, QMAX, QMIN, accumulator_bound, quantize, rounded
from runner.graph.layers import Layer
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer

_LAYER = "block7/expand/Conv"


def quantizer() -> Figure:
    """Return the steps of one layer's input around zero, and how often each of its codes occurs."""
    state = calibrated()
    params = state.form.layers[_LAYER].record.activation
    x = values(state.model.layer(_LAYER).input, items("calibration")).reshape(-1)
    figure, (steps, codes) = panels(2)
    near = np.linspace(-3.2, 3.2, 4000, dtype=np.float32) * np.float32(params.scale)
    steps.plot(near, near, color=GREY, linewidth=1, label="float")
    steps.plot(near, rounded(near, *_pair(params)), color=BLUE, label="int8")
    steps.set(title=f"one step is {params.scale:.4f}", xlabel="value of the input", ylabel="value of its code")
    steps.legend(loc="upper left")
    found = quantize(x, *_pair(params))
    counts = np.bincount(found.astype(np.int64) - QMIN, minlength=QMAX - QMIN + 1)
    places = np.arange(QMIN, QMAX + 1)
    ends = (places == QMIN) | (places == QMAX)
    codes.bar(places[~ends], counts[~ends], width=1.0, color=BLUE)
    codes.bar(places[ends], counts[ends], width=3.0, color=RED, label="first and last code")
    codes.axvline(params.zero_point, color=ORANGE, linestyle="--", label=f"zero point {params.zero_point}")
    codes.set(title=f"codes of {x.size:,} values", xlabel="code", yscale="log", ylim=(0.5, 3e4))
    codes.legend(loc="upper center", fontsize=8, ncols=2)
    return figure


def accumulators() -> Figure:
    """Return the proved bound of every layer's sums, beside what float32 and int32 hold."""
    state = calibrated()
    layers = state.form.layers
    bounds = [_bound(state.model.layer(name), layer) for name, layer in layers.items()]
    figure, (panel,) = panels(1, high=4.2)
    panel.barh(range(len(bounds)), bounds, color=BLUE)
    panel.axvline(EXACT_FLOAT32_SUM, color=ORANGE, linestyle="--", label="2^24: float32 sums are exact below")
    panel.axvline(INT32_MAX, color=RED, linestyle="--", label="2^31: int32 ends")
    panel.set(xscale="log", xlabel="largest magnitude that any input can bring a sum to")
    panel.set_yticks(range(len(bounds)), list(layers), fontsize=7)
    panel.invert_yaxis()
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8)
    return figure


def _bound(layer: Layer, quantized: QuantizedLayer) -> int:
    rows = layer.layout.rows(quantized.weight)
    return int(accumulator_bound(rows, quantized.bias, quantized.record.activation.zero_point, 0).max())


def _pair(params: ActivationParams) -> tuple[float, int]:
    return params.scale, params.zero_point
